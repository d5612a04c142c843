"""Who may start a turn, with which provider; and where turns are found again."""

import asyncio
import time
from contextlib import suppress
from typing import TypeAlias
from weakref import WeakValueDictionary

import msgspec

from service.errors import KeyReused, ModelNotFound, NotFound, StorageFull, Unavailable
from service.messages import Ask
from service.providers.auto import Auto
from service.providers.provider import Provider
from service.providers.registry import Registry
from service.stores.journal import Kept
from service.stores.ledger import Ledger, Record
from service.tasks import Tasks
from service.telemetry import Metrics, turn_id
from service.turns.books import Books
from service.turns.past import Past, end_unfinished
from service.turns.turn import Terms, Turn

JOURNAL_SECONDS = 0.25
"""What a crash may cost of a running turn's log."""
EXPIRY_SECONDS = 10.0

Found: TypeAlias = Turn | Past
Key: TypeAlias = tuple[str | None, str]


class Turns:
    """Starts turns, finds them again for `keep` seconds, and ends them all when the service stops."""

    def __init__(
        self,
        registry: Registry,
        auto: Auto,
        ledger: Ledger,
        books: Books,
        tasks: Tasks,
        metrics: Metrics,
        keep: float,
    ) -> None:
        self._registry, self._auto = registry, auto
        self._ledger, self._books = ledger, books
        self._tasks, self._metrics, self._keep = tasks, metrics, keep
        self._running: dict[Turn, asyncio.Task[None]] = {}
        self._present: dict[str, Turn] = {}
        """By id: the running turns, and those whose records are not durable yet."""
        self._keyed: dict[Key, Turn] = {}
        """The same, by whoever asked and his idempotency key."""
        self._past: WeakValueDictionary[str, Past] = WeakValueDictionary()
        """By id: the ended turns that are being read; who reads the same one shares its log."""
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._busy = asyncio.Event()

    async def open(self) -> None:
        """Ends what a dead process left, and begins to keep the journal."""
        await end_unfinished(self._books.journal, self._ledger)
        self._tasks.start(self._keep_journal(), "journal")
        self._tasks.start(self._expire(), "expiry of turns")

    async def start(self, ask: Ask, provider_name: str | None, record: Record, terms: Terms) -> Found:
        """Starts a turn, or finds the one that the same request has started before.

        Without a provider's name the service chooses. A `ServiceError` means that it cost nothing.
        """
        if terms.idempotency_key is None:
            return await self._begin(ask, provider_name, record, terms)
        key = (record.user, terms.idempotency_key)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            found = self._keyed.get(key) or await self._kept_by(key)
            if found is None:
                return await self._begin(ask, provider_name, record, terms)
        if found.digest != terms.digest:
            raise KeyReused()
        return found

    async def find(self, id: str, owner: str | None) -> Found:
        """A turn of this owner; raises `NotFound`, also for somebody else's."""
        found = self._present.get(id) or await self._kept(id)
        if found is None or found.owner != owner:
            raise NotFound(f"There is no turn {id!r}; it may have expired.", "id")
        return found

    def running(self, owner: str | None) -> list[Turn]:
        """The running turns of an owner, or (None) of everybody."""
        return [turn for turn in self._running if owner is None or turn.owner == owner]

    async def close(self, patience: float) -> None:
        """Gives running turns some seconds to end, sends away who reads the others, and settles them."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=patience)
        for turn in self._running:
            turn.log.dismiss()
            turn.stop("interrupted")
        if self._running:
            await asyncio.wait(self._running.values())

    async def _begin(self, ask: Ask, provider_name: str | None, record: Record, terms: Terms) -> Turn:
        provider = self._provider(provider_name)
        record.provider_asked, record.model_asked = provider.name, ask.model
        if provider is not self._auto:
            ask = self._with_model(provider, ask)
        await provider.check(ask)
        if self._books.failing:
            raise StorageFull(
                f"What is answered cannot be recorded now: {self._books.failing} Try again later."
            )
        record.kind = "turn"
        turn = Turn(ask, provider, record, self._books, terms)
        turn.open()
        self._present[turn.id] = turn
        if terms.idempotency_key is not None:
            self._keyed[turn.owner, terms.idempotency_key] = turn
        self._running[turn] = self._tasks.start(self._run(turn), f"turn {turn.id}")
        self._busy.set()
        self._metrics.streams.inc()
        return turn

    def _provider(self, name: str | None) -> Provider:
        return self._auto if name in {None, "", self._auto.name, self._auto.label} else self._registry[name]

    def _with_model(self, provider: Provider, ask: Ask) -> Ask:
        """The ask with a model that the provider has, where its list is known; raises `ModelNotFound`."""
        listing = self._registry.listing(provider.name)
        if ask.model is None:
            first = listing.models[0].id if listing.models else None
            return msgspec.structs.replace(ask, model=provider.default_model or first)
        if listing.has(ask.model) is False:
            raise ModelNotFound(ask.model, provider.name)
        return ask

    async def _run(self, turn: Turn) -> None:
        turn_id.set(turn.id)
        try:
            await turn.run()
        finally:
            del self._running[turn]
            self._measure(turn)
            if turn.closed:
                turn.closed.add_done_callback(lambda _: self._forget(turn))
            else:
                self._forget(turn)

    def _forget(self, turn: Turn) -> None:
        """The journal has it now."""
        self._present.pop(turn.id, None)
        if turn.terms.idempotency_key is not None:
            self._keyed.pop((turn.owner, turn.terms.idempotency_key), None)

    async def _kept(self, id: str) -> Past | None:
        return self._past.get(id) or self._read(await self._books.journal.find(id))

    async def _kept_by(self, key: Key) -> Past | None:
        return self._read(await self._books.journal.find_by_key(*key))

    def _read(self, kept: Kept | None) -> Past | None:
        return self._past.setdefault(kept.entry.id, Past(kept)) if kept else None

    async def _keep_journal(self) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep(JOURNAL_SECONDS)
            if not self._books.failing:  # what waits for a disk should not grow by itself
                self._write_down()
            if not self._running:
                self._busy.clear()

    def _write_down(self) -> None:
        """By itself, for its variable would keep the last turn, with all its log, until the next one."""
        for turn in self._running:
            turn.write_down()

    async def _expire(self) -> None:
        while True:
            with suppress(Unavailable):  # while nothing can be written, nothing expires
                await self._books.journal.expire(time.time() - self._keep)
            await asyncio.sleep(EXPIRY_SECONDS)

    def _measure(self, turn: Turn) -> None:
        record, provider = turn.record, turn.record.provider or "none"
        self._metrics.streams.dec()
        self._metrics.endings.labels(provider, record.ending).inc()
        if record.first_token_at is not None and record.ended_at is not None:
            self._metrics.first_token.labels(provider).observe(record.first_token_at - record.opened_at)
            spoken = record.ended_at - record.first_token_at
            self._metrics.chunk_seconds.labels(provider).observe(spoken / len(turn.log.events))
        for direction, tokens in (("prompt", record.prompt_tokens), ("completion", record.completion_tokens)):
            labels = (direction, provider, self._listed(record), record.usage_source)
            self._metrics.tokens.labels(*labels).inc(tokens or 0)

    def _listed(self, record: Record) -> str:
        """The model where a provider lists it: names that clients make up would be labels without end."""
        listed = self._registry.listing(record.provider) if record.provider else None
        return record.model if record.model and listed and listed.has(record.model) else "other"
