"""A turn that has ended and lies in the journal; and those of a dead process, which are ended here."""

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from service.events import Event, Finish, Finished
from service.stores.journal import Entry, Journal, Kept
from service.stores.ledger import Ledger
from service.turns.log import Log
from service.turns.settlement import settle

log = logging.getLogger(__name__)


class Past:
    """Reads like a `Turn`, and says nothing new."""

    def __init__(self, kept: Kept) -> None:
        self.id, self.owner, self.epoch = kept.entry.id, kept.entry.owner, kept.entry.epoch
        self.ending, self.digest = kept.entry.ending, kept.entry.digest
        self.log = Log()
        self.log.append(kept.events)
        self.log.end()

    @contextmanager
    def reading(self) -> Iterator[Log]:
        """Nothing depends on who reads."""
        yield self.log


async def end_unfinished(journal: Journal, ledger: Ledger) -> None:
    """Ends what a dead process left, as interrupted, with what it had written of it.

    It may have said more than it wrote: so the epoch changes, and ids of the old one are not trusted.
    """
    left = {kept.entry.id: kept for kept in await journal.unfinished()}
    for record in await ledger.unsettled():
        kept = left.pop(record.id, None)
        used = settle(record, kept.events if kept else [], None, "interrupted", None)
        if kept:
            await journal.close(_ended(kept.entry), [*kept.events, *_last_words(kept.events), used])
        await ledger.settle(record)
        log.warning("turn %s was interrupted by the end of the last process", record.id)
    for kept in left.values():
        await journal.close(_ended(kept.entry), kept.events)


def _ended(entry: Entry) -> Entry:
    return msgspec.structs.replace(
        entry, epoch=secrets.token_hex(4), ended_at=time.time(), ending="interrupted"
    )


def _last_words(events: list[Event]) -> list[Event]:
    return [] if any(type(event) is Finished for event in events) else [Finished(Finish("interrupted"))]
