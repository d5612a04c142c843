"""Buckets and the files in them, as the database has them; their bytes are blobs."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    RowMapping,
    Select,
    Text,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)

from service.errors import NotFound
from service.stores.database import PAGE, Database
from service.stores.names import numbered
from service.stores.schema_files import buckets, files, is_waiting

State = Literal["waiting", "ready", "failed"]
Family = Literal["document", "image", "audio", "video"]
Order = Literal["asc", "desc"]


def new_id() -> str:
    """With 128 random bits; nothing that a client has said is in it."""
    return f"file-{secrets.token_hex(16)}"


class File(Struct, kw_only=True):
    """One file of a user's bucket; times in UTC seconds since 1970, lengths in bytes, pixels and seconds.

    A document is `waiting` until its text is there; then it is `ready`, or `failed` for a `reason`. What is
    no document is ready at once. `media_type` is that of its content, whatever the client said. What
    nobody knows is None.
    """

    id: str
    user: str
    bucket: str
    name: str
    kind: Family
    media_type: str
    bytes: int
    sha256: str
    state: State = "ready"
    created_at: float = field(default_factory=time.time)
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    pages: int | None = None
    characters: int | None = None
    purpose: str | None = None
    """What a client of `/v1/files` says that it is for."""
    words: str | None = None
    """By which it is found, in small letters; only of what a provider has generated."""
    source: str | None = None
    """The address from which it was fetched."""

    @property
    def is_document(self) -> bool:
        return self.kind == "document"

    @property
    def room(self) -> int:
        """What it takes of a quota: its bytes, and a byte for each character of its text."""
        return self.bytes + (self.characters or 0)

    @property
    def blob(self) -> str:
        """The key of its bytes."""
        return self.id.removeprefix("file-")

    @property
    def text_blob(self) -> str:
        """The key of its text with the marks of its pages, once it is ready."""
        return f"{self.blob}.text"

    @property
    def thumbnail_blob(self) -> str:
        """The key of a small picture of it, where it is one."""
        return f"{self.blob}.thumbnail"

    @property
    def blobs(self) -> tuple[str, str, str]:
        """Every key that may be its."""
        return self.blob, self.text_blob, self.thumbnail_blob


class Bucket(Struct, kw_only=True):
    """A user's bucket; times in UTC seconds since 1970."""

    id: str
    created_at: float
    used_at: float
    files: int
    bytes: int


LEARNT = ("state", "reason", "pages", "characters")
"""What is known of a document only when it has been read."""


class Buckets:
    """Adds files, finds them and removes them; the bytes are somebody else's affair.

    Nothing is found by an id alone: what is another's is not there. All raise `Unavailable`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        """Two uploads might choose the same name, or fill a bucket that is just being removed."""
        bucket, file = database.insert(buckets), database.insert(files)
        self._use = bucket.on_conflict_do_update(
            index_elements=["user", "id"], set_={"used_at": bucket.excluded.used_at}
        )
        self._add = file.on_conflict_do_nothing(index_elements=["id"])
        whose, which = _named("whose"), _named("which")
        its_id = files.c.id == which
        its_bucket = (buckets.c.user == whose, buckets.c.id == which)
        self._touch = update(buckets).where(*its_bucket).values(used_at=bindparam("now"))
        self._settle = update(files).where(its_id).values({name: bindparam(f"new_{name}") for name in LEARNT})
        self._drop_file = delete(files).where(its_id)
        self._drop_files = delete(files).where(files.c.user == whose, files.c.bucket == which)
        self._drop_bucket = delete(buckets).where(*its_bucket)

    async def add(self, added: Sequence[File]) -> list[File]:
        """Adds files to one bucket of one user, all or none; returns them when they are durable.

        A name that is taken gets a number. The same bytes under the same name are the file that is there
        already: that one is returned in its place.
        """
        if not added:
            return []
        user, bucket = added[0].user, added[0].bucket
        async with self._lock:
            there = {file.name: file for file in await self._found(_in(user, bucket))}
            placed = [_placed(file, there) for file in added]
            rows = [(self._add, msgspec.structs.asdict(file)) for file in added if file in placed]
            await self._database.write_together((self._use, _row(user, bucket)), *rows)
        return placed

    async def settle(self, file: File) -> bool:
        """Keeps what was learnt of a document, durably; False if it was removed before."""
        learnt = {f"new_{name}": getattr(file, name) for name in LEARNT}
        async with self._lock:
            if not await self.existing([file.id]):
                return False
            await self._database.write(self._settle, {"which": file.id, **learnt})
        return True

    def use(self, user: str, bucket: str) -> asyncio.Future[None]:
        """Queues that somebody needs a bucket now."""
        return self._database.write(self._touch, {"whose": user, "which": bucket, "now": time.time()})

    async def bucket(self, user: str, bucket: str) -> list[File]:
        """The files of a bucket in the order in which they came. Raises `NotFound`."""
        if found := await self._found(_in(user, bucket)):
            return found
        raise NotFound("There is no such bucket. GET /backend-api/v2/files lists yours.", "bucket")

    async def named(self, user: str, bucket: str, name: str) -> File:
        """Raises `NotFound`."""
        return _one(await self._found((*_in(user, bucket), files.c.name == name)))

    async def find(self, user: str, id: str) -> File:
        """Raises `NotFound`."""
        return _one(await self._found((files.c.user == user, files.c.id == id)) if id.isprintable() else [])

    async def remove(self, user: str, bucket: str) -> list[File]:
        """Removes a bucket with all its files, and returns those. Raises `NotFound`."""
        async with self._lock:
            found = await self.bucket(user, bucket)
            row = {"whose": user, "which": bucket}
            await self._database.write_together((self._drop_files, row), (self._drop_bucket, row))
        return found

    async def remove_file(self, user: str, id: str) -> File:
        """Removes one file, and its bucket if nothing else is in it. Raises `NotFound`."""
        async with self._lock:
            file = await self.find(user, id)
            others = await self._found((*_in(user, file.bucket), files.c.id != id))
            row = {"whose": user, "which": file.bucket}
            emptied = () if others else ((self._drop_bucket, row),)
            await self._database.write_together((self._drop_file, {"which": id}), *emptied)
        return file

    async def of(self, user: str) -> list[Bucket]:
        """A user's buckets, a thousand at most, those last used first."""
        mine = (files.c.user == buckets.c.user) & (files.c.bucket == buckets.c.id)
        sums = (func.count(files.c.id).label("files"), func.sum(files.c.bytes).label("bytes"))
        found = (
            select(buckets.c.id, buckets.c.created_at, buckets.c.used_at, *sums)
            .join(files, mine)
            .where(buckets.c.user == user)
            .group_by(buckets.c.user, buckets.c.id)
            .order_by(buckets.c.used_at.desc(), buckets.c.id)
            .limit(PAGE)
        )
        return [Bucket(**{**row, "bytes": int(row["bytes"])}) for row in await self._database.read(found)]

    async def listed(
        self, user: str, purpose: str | None, after: File | None, limit: int, order: Order
    ) -> list[File]:
        """A user's files of all buckets by the time when they came, from the one `after` which they begin."""
        key = tuple_(files.c.created_at, files.c.id)
        found = select(files).where(files.c.user == user)
        if purpose is not None:
            found = found.where(files.c.purpose == purpose)
        if after is not None:
            place = (after.created_at, after.id)
            found = found.where(key > place if order == "asc" else key < place)
        columns = (files.c.created_at, files.c.id)
        ordered = [column if order == "asc" else column.desc() for column in columns]
        return _files(await self._database.read(found.order_by(*ordered).limit(limit)))

    async def waiting(self) -> list[File]:
        """Every document whose text is not there yet, the oldest first."""
        return await self._found((is_waiting,))

    async def used(self) -> dict[str, int]:
        """The room that each user's files take."""
        room = func.sum(files.c.bytes + func.coalesce(files.c.characters, 0)).label("room")
        used = select(files.c.user, room).group_by(files.c.user)
        return {row["user"]: int(row["room"]) for row in await self._database.read(used)}

    async def existing(self, ids: Iterable[str]) -> set[str]:
        """Those of some ids that are a file's, whoever's it is."""
        found = select(files.c.id).where(files.c.id.in_(list(ids)))
        return {row["id"] for row in await self._database.read(found)}

    async def unused(self, before: float) -> list[tuple[str, str]]:
        """Users and buckets that nobody has needed since a time, a thousand at most."""
        old = select(buckets.c.user, buckets.c.id).where(buckets.c.used_at < before).limit(PAGE)
        return [(row["user"], row["id"]) for row in await self._database.read(old)]

    async def all(self, user: str) -> AsyncGenerator[list[File], None]:
        """Every file of a user, in pages."""
        own = select(files).where(files.c.user == user)
        async with aclosing(self._database.pages(own, files.c.created_at, files.c.id)) as pages:
            async for page in pages:
                yield _files(page)

    async def _found(self, which: Iterable[ColumnElement[bool]]) -> list[File]:
        found: Select[Any] = select(files).where(*which).order_by(files.c.created_at, files.c.id)
        return _files(await self._database.read(found))


def _named(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


def _in(user: str, bucket: str) -> tuple[ColumnElement[bool], ...]:
    return files.c.user == user, files.c.bucket == bucket


def _placed(file: File, there: dict[str, File]) -> File:
    """The file under a name that is free from now on, or the same file that is there."""
    name, number = file.name, 1
    while (other := there.get(name)) and other.sha256 != file.sha256:
        number += 1
        name = numbered(file.name, number)
    file.name = name
    return there.setdefault(name, file)


def _row(user: str, bucket: str) -> dict[str, Any]:
    now = time.time()
    return {"user": user, "id": bucket, "created_at": now, "used_at": now}


def _files(rows: Sequence[RowMapping]) -> list[File]:
    return [File(**row) for row in rows]


def _one(found: Sequence[File]) -> File:
    if not found:
        raise NotFound("There is no such file. GET /v1/files lists yours.", "file")
    return found[0]
