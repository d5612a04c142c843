"""The books: the ledger says what a turn used, the journal what it said. Both are written together."""

import asyncio
from collections.abc import Sequence

from service.events import Event
from service.stores.database import Database
from service.stores.journal import Entry, Journal
from service.stores.ledger import Ledger, Record
from service.stores.prices import Prices
from service.turns.chats import Place


class Books:
    """`patience`: how many seconds the end of a turn waits for its records to be durable."""

    def __init__(
        self, database: Database, ledger: Ledger, journal: Journal, prices: Prices, patience: float
    ) -> None:
        self.journal, self.prices = journal, prices
        self._database, self._ledger, self._patience = database, ledger, patience

    @property
    def failing(self) -> str | None:
        """Why nothing can be written now, or None."""
        return self._database.failing

    def open(self, record: Record, entry: Entry, place: Place | None = None) -> None:
        """Queues the record of a turn that begins, and what its journal begins with, where that is needed.

        What stands in a chat is written with the record, here as at the end. A record without a journal is a
        turn that has said nothing yet; only what the client may ask for by other means than its id has to be
        there from the beginning.
        """
        opened = self._ledger.open(record, *(place.opening if place else ()))
        if place:
            place.note(opened)
        if entry.idempotency_key is not None or entry.request is not None:
            self.journal.open(entry)

    def refuse(self, record: Record) -> None:
        """Queues a refusal, or how often there was another one."""
        self._ledger.refuse(record)

    def note(self, record: Record) -> None:
        """Queues what has become known of a running turn: it stands if the process dies."""
        self._ledger.open(record)

    def write_down(self, entry: Entry, first: int, events: Sequence[Event]) -> asyncio.Future[None]:
        """Queues a piece of a running turn's log; `first` is the index of its first event."""
        if first == 0:
            self.journal.open(entry)
        return self.journal.append(entry.id, first, events)

    def close(
        self,
        record: Record,
        entry: Entry,
        events: Sequence[Event],
        *,
        pieces: bool,
        place: Place | None = None,
    ) -> asyncio.Future[bool]:
        """Settles the record and keeps the log, of which `pieces` may have been written.

        Done when both are durable, False if one never will be.
        """
        settled = self._ledger.settle(record, *(place.closing(record, events) if place else ()))
        if place:
            place.note(settled)
        kept = self.journal.close(entry, events, pieces=pieces)
        closed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def written(_: object) -> None:
            if settled.done() and kept.done() and not closed.done():
                closed.set_result(_is_durable(settled) and _is_durable(kept))

        settled.add_done_callback(written)
        kept.add_done_callback(written)
        return closed

    async def in_time(self, closed: asyncio.Future[bool]) -> bool:
        """Whether it was durable within the patience; if not, the writer goes on trying."""
        done, _ = await asyncio.wait([closed], timeout=self._patience)
        return bool(done) and closed.result()


def _is_durable(row: asyncio.Future[None]) -> bool:
    return not row.cancelled() and row.exception() is None
