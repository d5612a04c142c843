"""What is kept of one person: all of it can be handed out, and all of it forgotten."""

import base64
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Table, bindparam, delete, func, literal, select, update

from service.errors import NotFound
from service.stores.blobs import Blobs
from service.stores.buckets import Buckets
from service.stores.chats import Chat, Chats
from service.stores.database import Database
from service.stores.key_costs import key_costs
from service.stores.ledger import storable
from service.stores.packing import unpacked
from service.stores.passages import Passages
from service.stores.schema import journal, keys, records, still_open, turns
from service.stores.schema_complaints import complaints
from service.stores.shares import Shares
from service.stores.totals import KEY, LONGEST_USER, SUMS, totals

Row = dict[str, Any]
FORGOTTEN = {"user": None, "key": None, "request_id": None}
KEY_COLUMNS = [column for column in keys.columns if column.name not in {"hash", "changes"}]


class Forgotten(msgspec.Struct):
    """How many turns, files and chats are gone, and how many records have no name any more."""

    turns: int = 0
    records: int = 0
    files: int = 0
    chats: int = 0


class People:
    """Users by their names, as keys and records have them; `chats` is what else writes chats meanwhile."""

    def __init__(self, database: Database, blobs: Blobs, chats: Chats | None = None) -> None:
        self._database, self._blobs, self._buckets = database, blobs, Buckets(database)
        self._passages, self._chats = Passages(database), chats or Chats(database)
        self._shares = Shares(database, quota=0)
        self._drop_pieces = delete(journal).where(journal.c.turn == bindparam("gone"))
        self._drop_turn = delete(turns).where(turns.c.id == bindparam("gone"))
        self._anonymize = update(records).where(records.c.id == bindparam("gone")).values(FORGOTTEN)
        self._forget_sums = delete(totals).where(totals.c.user == bindparam("gone"))
        own_keys = select(keys.c.id).where(keys.c.user == bindparam("gone"))
        self._forget_complaints = delete(complaints).where(complaints.c.user == bindparam("gone"))
        self._forget_costs = delete(key_costs).where(key_costs.c.key.in_(own_keys))
        self._move_sums = self._nobodys_sums()

    async def export(self, user: str) -> AsyncGenerator[Row, None]:
        """Rows to be written as JSON, in flat memory: a `type`, and what is kept under the columns' names.

        First the turns, with what was asked and every event, then the chats, each followed by its messages,
        what of them is shared, and the files, each followed by its bytes in pieces, then the records, and the
        keys without their secrets. Raises `Unavailable`.
        """
        async with aclosing(self._ids(turns, turns.c.owner == user)) as pages:
            async for page in pages:
                for id in page:
                    for row in await self._database.read(select(turns).where(turns.c.id == id)):
                        yield await self._turn(row)
        async with aclosing(self._chats.all(user)) as chats:
            async for chat in chats:
                for told in _told(chat):
                    yield told
        async with aclosing(self._shares.all(user)) as shares:
            async for share, posted in shares:
                yield {
                    "type": "share",
                    **msgspec.structs.asdict(share),
                    "object": posted and msgspec.Raw(posted),
                }
        async with aclosing(self._files(user)) as files:
            async for piece in files:
                yield piece
        key = (records.c.day, records.c.opened_at, records.c.id)
        own = select(records).where(records.c.user == user)
        async with aclosing(self._database.pages(own, *key)) as found:
            async for rows in found:
                for row in rows:
                    yield {"type": "record", **row}
        for row in await self._database.read(select(*KEY_COLUMNS).where(keys.c.user == user)):
            yield {"type": "key", **row}
        for row in await self._database.read(select(complaints).where(complaints.c.user == storable(user))):
            yield {**row, "type": "complaint", "kind": row["type"]}

    async def running(self, user: str) -> int:
        """How many answers of a user have not ended, or were left by a process that died."""
        own = select(func.count().label("running")).where(still_open, records.c.user == user)
        (row,) = await self._database.read(own)
        return int(row["running"])

    async def forget(self, user: str) -> Forgotten:
        """Removes what a user asked, was told and uploaded; his records lose his name, and add up as before.

        What he does meanwhile, and answers that still run, stay: revoke his keys first. It can be repeated.
        Raises `Unavailable`.
        """
        forgotten = Forgotten(files=await self._forget_files(user), chats=await self._chats.remove_all(user))
        await self._shares.forget(user)
        async with aclosing(self._ids(turns, turns.c.owner == user)) as pages:
            async for page in pages:
                forgotten.turns += len(page)
                for id in page:
                    self._database.write(self._drop_pieces, {"gone": id})
                    gone = self._database.write(self._drop_turn, {"gone": id})
                await gone
        async with aclosing(self._ids(records, records.c.user == user)) as pages:
            async for page in pages:
                forgotten.records += len(page)
                for id in page:
                    gone = self._database.write(self._anonymize, {"gone": id})
                await gone
        name = {"gone": user[:LONGEST_USER]}
        self._database.write(self._forget_costs, {"gone": user})
        self._database.write(self._forget_complaints, {"gone": storable(user)})
        await self._database.write_together((self._move_sums, name), (self._forget_sums, name))
        return forgotten

    async def _files(self, user: str) -> AsyncGenerator[Row, None]:
        """Each file, and its bytes; one that is removed meanwhile has none."""
        async with aclosing(self._buckets.all(user)) as pages:
            async for page in pages:
                for file in page:
                    yield {"type": "file", **msgspec.structs.asdict(file)}
                    with suppress(NotFound):
                        async with aclosing(self._blobs.read(file.blob)) as chunks:
                            async for chunk in chunks:
                                yield {
                                    "type": "bytes",
                                    "file": file.id,
                                    "base64": base64.b64encode(chunk).decode(),
                                }

    async def _forget_files(self, user: str) -> int:
        """First the bytes: should that fail, the rows still say what is left to do."""
        count = 0
        async with aclosing(self._buckets.all(user)) as pages:
            async for page in pages:
                await self._blobs.delete([key for file in page for key in file.blobs])
                for file in page:
                    await self._passages.drop(file.id)
                    with suppress(NotFound):
                        await self._buckets.remove_file(user, file.id)
                count += len(page)
        return count

    def _nobodys_sums(self) -> Any:
        """Adds what a user has used to what nobody in particular has."""
        names = {name: literal("") if name == "user" else totals.c[name] for name in KEY}
        own = select(*names.values(), *(totals.c[name] for name in SUMS))
        insert = self._database.insert(totals).from_select(
            [*KEY, *SUMS], own.where(totals.c.user == bindparam("gone"))
        )
        added = {name: totals.c[name] + insert.excluded[name] for name in SUMS}
        return insert.on_conflict_do_update(index_elements=list(KEY), set_=added)

    async def _ids(self, table: Table, whose: ColumnElement[bool]) -> AsyncGenerator[list[str], None]:
        async with aclosing(self._database.pages(select(table.c.id).where(whose), table.c.id)) as pages:
            async for page in pages:
                yield [row["id"] for row in page]

    async def _turn(self, row: RowMapping) -> Row:
        """One that has not ended is told as far as it is written down."""
        if row["events"] is None:
            pieces = select(journal.c.events).where(journal.c.turn == row["id"]).order_by(journal.c.first)
            told = [
                event for piece in await self._database.read(pieces) for event in unpacked(piece["events"])
            ]
        else:
            told = unpacked(row["events"])
        request = None if row["request"] is None else msgspec.Raw(row["request"])
        shown = {name: row[name] for name in ("id", "opened_at", "ended_at", "ending")}
        return {"type": "turn", **shown, "request": request, "events": told}


def _told(chat: Chat) -> Iterator[Row]:
    """A chat, and then its messages."""
    about = msgspec.structs.asdict(chat)
    del about["messages"]
    yield {"type": "chat", **about}
    for message in chat.messages:
        yield {"type": "message", "chat": chat.id, **msgspec.structs.asdict(message)}
