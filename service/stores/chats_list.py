"""The list of a user's chats, a page at a time, the last used first: all, or those that words are in."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Executable,
    RowMapping,
    Select,
    func,
    literal_column,
    select,
    text,
    tuple_,
)

from service.stores.chats_content import plain
from service.stores.chats_rows import owner, place_of
from service.stores.database import Database
from service.stores.schema_chats import PLACES, chats, is_running, messages
from service.stores.snippets import Snippet, snippet
from service.stores.words import Term, terms

COLUMNS = [chats.c[name] for name in ("number", "id", "title", "created_at", "updated_at")]
COLUMNS += [chats.c[name] for name in ("starred", "archived", "share")]
KEY = (chats.c.updated_at, chats.c.number)
"""The order of a list, which an index has."""
HIT = ("chat", "first", "last")
QUOTED_AT_ONCE = 25
"""Messages that are read together: each may have a mebibyte."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which chats; None is either. With `words`: those whose title, or one of whose messages, has them."""

    archived: bool | None = None
    starred: bool | None = None
    words: str = ""


class Listed(Struct, kw_only=True):
    """A chat in the list: how many messages it has, and the turn that runs.

    Where it was looked for: the words around the first hit, in the title, or else in the newest message that
    has all the words, whose number is `message`.
    """

    number: int
    id: str
    title: str
    created_at: float
    updated_at: float
    starred: bool
    archived: bool
    share: str | None
    messages: int
    running: str | None
    message: int | None = None
    snippet: Snippet | None = None


class ChatList:
    """Finds chats; nothing here writes. All raise `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = _postgresql if database.dialect == "postgresql" else _sqlite

    async def page(
        self, user: str, wanted: Wanted, before: str | None, count: int
    ) -> tuple[list[Listed], str | None]:
        """So many chats, or those after a mark; and the mark of more, None where there is none.

        Raises `ValueError` for what is no mark.
        """
        sought = _sought(wanted.words)
        if wanted.words and not sought:
            return [], None
        chosen = self._found(user, sought) if sought else select(*COLUMNS)
        chosen = chosen.where(*_facts(user, wanted)).order_by(*(part.desc() for part in KEY)).limit(count + 1)
        if before is not None:
            chosen = chosen.where(tuple_(*KEY) < _place(before))
        rows = await self._database.read(_counted(chosen))
        mark = _mark(rows[count - 1]) if len(rows) > count else None
        listed = [_listed(row) for row in rows[:count]]
        if sought:
            await self._quote(listed, rows, sought)
        return listed, mark

    async def one(self, user: str, id: str) -> Listed | None:
        """One chat, as it stands in the list."""
        for row in await self._database.read(
            _counted(select(*COLUMNS).where(chats.c.user == user, chats.c.id == id))
        ):
            return _listed(row)
        return None

    def _found(self, user: str, sought: Sequence[Term]) -> Select[Any]:
        hits = self._index(owner(user), sought).columns(*map(literal_column, HIT)).cte("hits")
        joined = chats.join(hits, hits.c.chat == chats.c.number)
        return select(*COLUMNS, hits.c.first, hits.c.last).select_from(joined)

    async def _quote(self, listed: list[Listed], rows: Sequence[RowMapping], sought: Sequence[Term]) -> None:
        """Fills in what was found, and where."""
        hits = {row["number"]: row["last"] for row in rows if row["first"] != place_of(row["number"], 0)}
        for chat in listed:
            if chat.number not in hits:
                chat.snippet = snippet(chat.title, sought)
        within = [chat for chat in listed if chat.number in hits]
        for start in range(0, len(within), QUOTED_AT_ONCE):
            some = {hits[chat.number]: chat for chat in within[start : start + QUOTED_AT_ONCE]}
            said = select(messages.c.number, messages.c.content).where(messages.c.number.in_(list(some)))
            for row in await self._database.read(said):
                chat = some[row["number"]]
                chat.message, chat.snippet = row["number"], snippet(_text(row), sought)
                await asyncio.sleep(0)  # a message may be long


def _text(row: RowMapping) -> str:
    return plain(msgspec.json.decode(row["content"]))


def _counted(chosen: Select[Any]) -> Executable:
    """With what is to be counted of each: for those of one page only."""
    page = chosen.subquery("page")
    begin, end = page.c.number * 2**PLACES, (page.c.number + 1) * 2**PLACES
    inside = (messages.c.number > begin, messages.c.number < end)
    count = select(func.count()).select_from(messages).where(*inside).scalar_subquery()
    running = select(func.max(messages.c.turn)).where(*inside, is_running).scalar_subquery()
    key = (page.c.updated_at.desc(), page.c.number.desc())
    return select(page, count.label("messages"), running.label("running")).order_by(*key)


def _facts(user: str, wanted: Wanted) -> list[ColumnElement[bool]]:
    facts = [chats.c.user == user]
    if wanted.archived is not None:
        facts.append(chats.c.archived.is_(wanted.archived))
    if wanted.starred is not None:
        facts.append(chats.c.starred.is_(wanted.starred))
    return facts


def _listed(row: RowMapping) -> Listed:
    return Listed(
        **{name: row[name] for name in Listed.__struct_fields__ if name in row and name != "message"}
    )


def _sought(question: str) -> list[Term]:
    """The beginnings of all words of two letters or more; each once, also where one begins like another.

    What begins with a digit is meant as it stands: so does the word of an owner.
    """
    found = dict.fromkeys(Term(term.word, _may_go_on(term)) for term in terms(question))
    shorter = {term.word for term in found if term.begins}
    return [term for term in found if not any(map(term.word.startswith, shorter - {term.word}))]


def _may_go_on(term: Term) -> bool:
    return term.begins or (len(term.word) > 1 and term.word.isalpha())


def _sqlite(own: str, sought: Sequence[Term]) -> Any:
    """FTS5: all the words, in what is the user's."""
    query = " AND ".join([f'"{own}"', *(f'"{term.word}"{" *" if term.begins else ""}' for term in sought)])
    return text(
        f"""
SELECT rowid >> {PLACES} AS chat, min(rowid) AS first, max(rowid) AS last FROM chat_words
WHERE chat_words MATCH :words GROUP BY rowid >> {PLACES}
"""
    ).bindparams(words=query)


def _postgresql(own: str, sought: Sequence[Term]) -> Any:
    query = " & ".join([f"'{own}'", *(f"'{term.word}'{':*' if term.begins else ''}" for term in sought)])
    return text(
        f"""
SELECT rowid >> {PLACES} AS chat, min(rowid) AS first, max(rowid) AS last FROM chat_words
WHERE words @@ CAST(:words AS tsquery) GROUP BY rowid >> {PLACES}
"""
    ).bindparams(words=query)


def _mark(row: RowMapping) -> str:
    return f"{row['updated_at']!r}_{row['number']}"


def _place(mark: str) -> tuple[float, int]:
    updated_at, _, number = mark.partition("_")
    place = float(updated_at), int(number)
    if not math.isfinite(place[0]) or not 0 <= place[1] < 2**62:
        raise ValueError(mark)
    return place
