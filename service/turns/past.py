"""A turn that has ended and lies in the journal; and those of a dead process, which are ended here."""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from service.events import Begun, Event, Finish, Finished
from service.stores.journal import Entry, Journal, Kept
from service.stores.ledger import Ledger, Record
from service.stores.prices import Prices
from service.turns.chats import Place
from service.turns.costs import price
from service.turns.log import Log
from service.turns.settlement import settle

log = logging.getLogger(__name__)

NOWHERE: Mapping[str, Place] = {}
AT_ONCE = 1_000
"""Rows that are written together; so many turns may have been left that the start must not wait for each."""


class Past:
    """Reads like a `Turn`, and says nothing new."""

    def __init__(self, kept: Kept) -> None:
        self.id, self.owner, self.epoch = kept.entry.id, kept.entry.owner, kept.entry.epoch
        self.ending, self.digest = kept.entry.ending, kept.entry.digest
        self.request, self.opened_at = kept.entry.request, kept.entry.opened_at
        self.log = Log()
        self.log.append(kept.events)
        self.log.end()

    @contextmanager
    def reading(self) -> Iterator[Log]:
        """Nothing depends on who reads."""
        yield self.log


async def end_unfinished(
    journal: Journal, ledger: Ledger, prices: Prices, places: Mapping[str, Place] = NOWHERE
) -> None:
    """Ends what a dead process left, as interrupted, with what it had written of it.

    `places` are those of the turns in chats. Each may have said more than it wrote: so the epoch changes, and
    ids of the old one are not trusted.
    """
    left = {kept.entry.id: kept for kept in await journal.unfinished()}
    rows: list[asyncio.Future[None]] = []
    for record in await ledger.unsettled():
        kept = left.pop(record.id, None) or Kept(_silent(record), [])
        used = settle(record, kept.events, [], "interrupted", None)
        await price(record, prices)
        place = places.get(record.id)
        rows.append(ledger.settle(record, *(place.closing(record, _told(kept)) if place else ())))
        if record.kind == "turn":
            rows.append(journal.close(_ended(kept.entry), [*_told(kept), used]))
        if len(rows) > AT_ONCE:
            await asyncio.gather(*rows, return_exceptions=True)
            rows.clear()
        log.warning("turn %s was interrupted by the end of the last process", record.id)
    rows += [journal.close(_ended(kept.entry), _told(kept)) for kept in left.values()]
    # A bad row is logged where it is written, and must not keep the service from starting.
    await asyncio.gather(*rows, return_exceptions=True)


def _silent(record: Record) -> Entry:
    """Of a turn whose journal had not begun."""
    return Entry(id=record.id, owner=record.user, epoch="", opened_at=record.opened_at)


def _ended(entry: Entry) -> Entry:
    return msgspec.structs.replace(
        entry, epoch=secrets.token_hex(4), ended_at=time.time(), ending="interrupted"
    )


def _told(kept: Kept) -> list[Event]:
    """What it said, from its first word to a last one."""
    events = kept.events or [Begun(kept.entry.id)]
    finished = any(type(event) is Finished for event in events)
    return events if finished else [*events, Finished(Finish("interrupted"))]
