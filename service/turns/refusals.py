"""Questions that were refused: rows in the ledger, one for all of a minute that are alike."""

import asyncio
import secrets
import time

from msgspec.structs import replace

from service.errors import ServiceError
from service.stores.ledger import Record, storable
from service.turns.books import Books

WINDOW = 60.0
PAUSE = 0.25
"""Seconds in which refusals gather before they are written; a crash may cost them."""
MOST = 1_000
"""Rows of a window; who comes then is counted with everybody else."""


class Refusals:
    """Whoever knocks again and again, or under a thousand names, costs memory and disk only so much."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._rows: dict[tuple[str | None, str | None, str], Record] = {}
        """By key, user and error."""
        self._changed: dict[str, Record] = {}
        self._since = 0.0
        self._news = asyncio.Event()

    def note(self, asked: Record, error: ServiceError) -> None:
        """Counts a refusal; nothing waits here."""
        now = time.time()
        if now - self._since >= WINDOW and not self._changed:
            self._rows.clear()
            self._since = now
        row = self._row(asked, type(error).__name__)
        row.times, row.ended_at = (row.times or 0) + 1, now
        self._changed[row.id] = row
        self._news.set()

    async def keep(self) -> None:
        """Writes what was counted, as long as it can be written."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PAUSE)
            if not self._books.failing:
                self.write()

    def write(self) -> None:
        """Queues what has changed."""
        for row in self._changed.values():
            self._books.refuse(row)
        self._changed.clear()
        self._news.clear()

    def _row(self, asked: Record, error: str) -> Record:
        which = (asked.key, asked.user, error)
        if which not in self._rows and len(self._rows) >= MOST:
            which = (None, None, error)
        if which not in self._rows:
            key, user, _ = which
            self._rows[which] = replace(
                asked,
                id=secrets.token_urlsafe(16),
                kind="turn",
                key=key,
                user=user,
                model_asked=storable(asked.model_asked),
                ending="refused",
                error=error,
            )
        return self._rows[which]
