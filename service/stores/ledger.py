"""The ledger: one row for every turn, queued when it opens and settled once, however it ends."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from datetime import date
from typing import Any, Literal

import msgspec
from sqlalchemy import RowMapping, select

from service.stores.corrections import priced
from service.stores.database import Database
from service.stores.schema import records, still_open
from service.stores.sums import Stats, Usage, added_up, sums, used
from service.stores.writer import Part

log = logging.getLogger(__name__)

Ending = Literal["done", "stopped", "abandoned", "failed", "timeout", "refused", "interrupted"]
UsageSource = Literal["provider", "estimate", "client"]

# What is known when a turn opens; the rest is learnt, and written, until it is settled.
ASKED = {
    "id",
    "kind",
    "day",
    "user",
    "key",
    "request_id",
    "wire",
    "provider_asked",
    "model_asked",
    "opened_at",
}
LONGEST = 1_000  # characters kept of a text that somebody else chose
# Bounded where they are made: JSON that is cut would be lost, and a correction may be below 0.
EXACT = {"legs", "cost"}
LARGEST = 10**12  # nobody uses more at once, and a sum of millions of them still fits


class Record(msgspec.Struct, kw_only=True):
    """What the ledger keeps of one turn; times in UTC seconds since 1970, `ending` is None while it runs.

    The kind "report" is what a client says that it used: listed, never counted.
    `error` is a class or a code, never a text. A count that nobody knows is None, not 0.
    """

    id: str
    kind: str = "turn"
    user: str | None = None
    request_id: str | None = None
    wire: str | None = None
    provider_asked: str | None = None
    model_asked: str | None = None
    provider: str | None = None
    model: str | None = None
    label: str | None = None
    attempts: int = 0
    opened_at: float = msgspec.field(default_factory=time.time)
    first_token_at: float | None = None
    ended_at: float | None = None
    ending: Ending | None = None
    error: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    saved_tokens: int | None = None
    usage_source: UsageSource | None = None
    legs: str | None = None
    """Where more than one provider had a part: each one's, as JSON."""
    key: str | None = None
    """The id of the key that it was asked with."""
    cost: int | None = None
    """In billionths of a US dollar; None where there is no price."""
    price: str | None = None
    """Where the price comes from: the table's name and version, `settings`, `local` or `unpriced`."""
    cache_write_tokens: int | None = None
    characters: int | None = None
    """Of what was spoken, and `bytes` of what was uploaded."""
    bytes: int | None = None
    corrects: str | None = None
    """The id of the record that this one corrects: its `cost` is added to that one's, and may be negative."""
    times: int | None = None
    """How many refusals one row stands for."""
    seconds: float | None = None
    """Of sound: how long what was spoken takes."""


class Ledger:
    """Opens and settles records, and reads them back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.insert(records)
        columns = (column.name for column in records.columns)
        learnt = {name: insert.excluded[name] for name in columns if name not in ASKED}
        # One statement for both: what opens after it was settled meets a closed row, and changes nothing.
        self._upsert = insert.on_conflict_do_update(index_elements=["id"], set_=learnt, where=still_open)
        again = {name: insert.excluded[name] for name in ("times", "ended_at")}
        refused = records.c.ending == "refused"
        self._refusal = insert.on_conflict_do_update(index_elements=["id"], set_=again, where=refused)

    def open(self, record: Record, *beside: Part) -> asyncio.Future[None]:
        """Queues the row of a turn that begins; not waited for, it may be lost with the process.

        What stands `beside` it is written in the same transaction, or not at all.
        """
        return self._database.write_together((self._upsert, _row(record)), *beside)

    def settle(self, record: Record, *beside: Part) -> asyncio.Future[None]:
        """Queues the row of a turn that has ended; done when it is durable. Shield it from a deadline.

        The row is whole: it needs no opening before it, and of several settlements the first one stays.
        """
        if record.ending is None:
            raise ValueError(f"record {record.id} has no ending")
        return self._database.write_together((self._upsert, _row(record)), *beside)

    def refuse(self, record: Record) -> None:
        """Queues a refusal; the same row again says how often there was another."""
        self._database.write(self._refusal, _row(record))

    async def unsettled(self) -> list[Record]:
        """What a dead process left open; ask before the first turn."""
        return [_record(row) for row in await self._database.read(select(records).where(still_open))]

    async def priced(self, since: date) -> AsyncGenerator[list[Record], None]:
        """What may have cost something since a local day, in pages; its `cost` has its corrections in it."""
        key = (records.c.opened_at, records.c.id)
        async with aclosing(self._database.pages(priced(since), *key)) as pages:
            async for page in pages:
                yield [_record(row) for row in page]

    async def usage(self, day: date, user: str | None) -> AsyncGenerator[list[Usage], None]:
        """What `user`, or everybody (None), used on a local `day`: in order, in pages of up to 1000."""
        key = (records.c.opened_at, records.c.id)
        async with aclosing(self._database.pages(used(day, storable(user)), *key)) as pages:
            async for page in pages:
                yield [Usage.of(row) for row in page]

    async def stats(self, days: int, user: str | None) -> Stats:
        """What `user`, or everybody (None), used on each of the last `days` local days, today included."""
        return added_up(await self._database.read(sums(days, storable(user))))


def _record(row: RowMapping) -> Record:
    return Record(**{name: row[name] for name in Record.__struct_fields__})


def _row(record: Record) -> dict[str, Any]:
    row = msgspec.structs.asdict(record)
    if not _are_storable(row.values()):
        row |= {name: storable(value) for name, value in row.items() if name not in EXACT}
    row["day"] = date.fromtimestamp(record.opened_at)
    return row


def _are_storable(values: Collection[Any]) -> bool:
    """Whether all of them are, as nearly always: asked at once, not one by one, for every turn does."""
    told = "".join([value for value in values if type(value) is str])
    counted = [value for value in values if type(value) is int]
    return (
        len(told) <= LONGEST
        and told.isascii()
        and told.isprintable()
        and (not counted or (min(counted) >= 0 and max(counted) <= LARGEST))
    )


def storable(value: Any) -> Any:
    """Nothing that a client or a provider chose may cost the row: what a database refuses is replaced."""
    if isinstance(value, str) and not (value.isascii() and value.isprintable() and len(value) <= LONGEST):
        return value[:LONGEST].encode(errors="replace").decode().replace("\0", "\ufffd")
    if isinstance(value, int) and not 0 <= value <= LARGEST:
        return None
    return value
