"""Generated media: files with the words by which they are found, and with where they came from."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select

from service.errors import NotFound
from service.stores.buckets import File
from service.stores.database import Database
from service.stores.schema_files import files, is_generated


class Generated:
    """Finds them; what is another's is not there. Raises `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def named(self, user: str | None, name: str) -> File:
        """The newest one of that name; of whichever user, if none is given. Raises `NotFound`."""
        if not name.isprintable():  # no database could hold it
            raise _missing()
        return await self._newest(select(files).where(*_own(user), files.c.name == name), 0)

    async def count(self, user: str, words: Sequence[str], least: int) -> int:
        """How many of a user's have so many of the words, at least."""
        matching = select(func.count().label("found")).where(*_own(user), _matches(words, least))
        (row,) = await self._database.read(matching)
        return int(row["found"])

    async def found(self, user: str, words: Sequence[str], least: int, place: int) -> File:
        """One of those, the newest at place 0. Raises `NotFound`."""
        return await self._newest(select(files).where(*_own(user), _matches(words, least)), place)

    async def _newest(self, which: Select[Any], place: int) -> File:
        ordered = which.order_by(files.c.created_at.desc(), files.c.id).offset(place).limit(1)
        for row in await self._database.read(ordered):
            return File(**row)
        raise _missing()


def _own(user: str | None) -> tuple[ColumnElement[bool], ...]:
    return (is_generated,) if user is None else (is_generated, files.c.user == user)


def _matches(words: Sequence[str], least: int) -> ColumnElement[bool]:
    hits = [case((files.c.words.contains(word, autoescape=True), 1), else_=0) for word in words]
    return sum(hits[1:], hits[0]) >= least


def _missing() -> NotFound:
    return NotFound("Not found: nothing of yours that was generated has this name, or these words.", "name")
