"""The journal: the logs of turns, piece by piece while they run, as a whole when they have ended."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, RowMapping, bindparam, delete, select

from service.events import Event
from service.stores.database import PAGE, Database
from service.stores.packing import packed, unpacked
from service.stores.schema import journal, turns

log = logging.getLogger(__name__)


class Entry(Struct, kw_only=True):
    """A turn as the journal knows it; times in UTC seconds since 1970.

    `digest` tells whether a repeated request with the same `idempotency_key` is the same request.
    """

    id: str
    owner: str | None
    epoch: str
    opened_at: float
    idempotency_key: str | None = None
    digest: str | None = None
    ended_at: float | None = None
    ending: str | None = None
    request: bytes | None = None
    """What was asked, as the wire's handler wants it back."""


class Kept(Struct, frozen=True):
    """A turn that has ended, with everything it said."""

    entry: Entry
    events: list[Event]


class Journal:
    """Keeps logs and finds them again. Rows are queued for the database's writer; nothing waits here."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.insert(turns)
        learnt = {name: insert.excluded[name] for name in ("epoch", "ended_at", "ending", "events")}
        unfinished = turns.c.ended_at.is_(None)
        # One statement for both, as in the ledger: what opens after it has ended changes nothing.
        self._turn = insert.on_conflict_do_update(index_elements=["id"], set_=learnt, where=unfinished)
        self._piece = database.insert(journal).on_conflict_do_nothing(index_elements=["turn", "first"])
        self._drop_pieces = delete(journal).where(journal.c.turn == bindparam("ended"))
        self._drop_turn = delete(turns).where(turns.c.id == bindparam("ended"))

    def open(self, entry: Entry) -> None:
        """Queues the row of a turn that begins."""
        self._database.write(self._turn, _row(entry, None))

    def append(self, turn: str, first: int, events: Sequence[Event]) -> asyncio.Future[None]:
        """Queues a piece of a running turn's log; `first` is the index of its first event."""
        return self._database.write(self._piece, {"turn": turn, "first": first, "events": packed(events)})

    def close(self, entry: Entry, events: Sequence[Event], *, pieces: bool = True) -> asyncio.Future[None]:
        """Queues the whole log of an ended turn, in the place of its `pieces`; done when it is durable."""
        whole = self._database.write(self._turn, _row(entry, packed(events)))
        if pieces:
            self._database.write(self._drop_pieces, {"ended": entry.id})
        return whole

    async def find(self, turn: str) -> Kept | None:
        """The ended turn with this id; one that no database could hold is no turn's."""
        return await self._one(turns.c.id == turn) if turn.isprintable() else None

    async def find_by_key(self, owner: str | None, key: str) -> Kept | None:
        """The ended turn that a request of this owner with this idempotency key began."""
        return await self._one(turns.c.owner == owner, turns.c.idempotency_key == key)

    async def unfinished(self) -> list[Kept]:
        """What a dead process left: its turns with as much of their logs as it had written."""
        open_turns = select(turns).where(turns.c.ended_at.is_(None))
        pieces = select(journal).join(turns, turns.c.id == journal.c.turn).where(turns.c.ended_at.is_(None))
        rows = await self._database.read(pieces.order_by(journal.c.turn, journal.c.first))
        logs = {turn: _joined(list(group)) for turn, group in groupby(rows, itemgetter("turn"))}
        entries = [_entry(row) for row in await self._database.read(open_turns)]
        return [Kept(entry, logs.get(entry.id, [])) for entry in entries]

    def forget(self, turn: str) -> asyncio.Future[None]:
        """Queues the end of a turn's log; done when it is gone."""
        self._database.write(self._drop_pieces, {"ended": turn})
        return self._database.write(self._drop_turn, {"ended": turn})

    async def expire(self, before: float) -> None:
        """Forgets turns that ended before a time, a page of them: the ends of others wait meanwhile.

        Pieces that were written together with the end of their turn go with it.
        """
        old = select(turns.c.id).where(turns.c.ended_at < before).order_by(turns.c.ended_at).limit(PAGE)
        self._database.write(delete(journal).where(journal.c.turn.in_(old)), {})
        await self._database.write(delete(turns).where(turns.c.id.in_(old)), {})

    async def _one(self, *which: ColumnElement[bool]) -> Kept | None:
        """The last one, where there are several: a key may stand for another try."""
        ended = select(turns).where(turns.c.ended_at.is_not(None), *which)
        rows = await self._database.read(ended.order_by(turns.c.opened_at.desc()).limit(1))
        return Kept(_entry(rows[0]), unpacked(rows[0]["events"])) if rows else None


def _row(entry: Entry, events: bytes | None) -> dict[str, Any]:
    return {**msgspec.structs.asdict(entry), "events": events}


def _entry(row: RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__struct_fields__})


def _joined(pieces: list[RowMapping]) -> list[Event]:
    """The log as far as it is without a gap."""
    events: list[Event] = []
    for piece in pieces:
        if piece["first"] != len(events):
            log.warning("the journal of turn %s has a gap at event %d", piece["turn"], len(events))
            break
        events += unpacked(piece["events"])
    return events
