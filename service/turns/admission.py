"""Who may start a turn, with which provider; and where turns are found again."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias
from weakref import WeakValueDictionary

from msgspec.structs import replace

from service.errors import KeyReused, NotFound, ServiceError, StorageFull, Unavailable
from service.messages import Ask, estimated_tokens
from service.providers.auto import Auto
from service.providers.registry import Registry
from service.settings import Chats
from service.stores.journal import Kept
from service.stores.keys import Keys
from service.stores.ledger import Ledger, Record
from service.stores.prices import NANO, UNPRICED
from service.tasks import Tasks
from service.telemetry import Metrics, turn_id
from service.turns.attachments import Attachments
from service.turns.books import Books
from service.turns.chats import Scribe
from service.turns.copies import Copier
from service.turns.costs import price
from service.turns.limits import Limiter, Question
from service.turns.past import Past, end_unfinished
from service.turns.refusals import Refusals
from service.turns.settlement import Leg, parts
from service.turns.titles import Titles
from service.turns.turn import Terms, Turn
from service.turns.voiced import voiced

JOURNAL_SECONDS = 0.25
"""What a crash may cost of a running turn's log."""
AT_ONCE = 32
"""How many turns the journal takes from before the event loop goes on."""
EXPIRY_SECONDS = 10.0

Found: TypeAlias = Turn | Past
Key: TypeAlias = tuple[str | None, str]


class Turns:
    """Starts turns, finds them again for `keep` seconds, and ends them all when the service stops."""

    def __init__(
        self,
        registry: Registry,
        auto: Auto,
        keys: Keys,
        ledger: Ledger,
        books: Books,
        limiter: Limiter,
        copier: Copier,
        attachments: Attachments,
        scribe: Scribe,
        tasks: Tasks,
        metrics: Metrics,
        keep: float,
        titles: Chats,
    ) -> None:
        self._registry, self._auto = registry, auto
        self._keys, self._ledger, self._books, self._limiter = keys, ledger, books, limiter
        self._attachments, self._scribe = attachments, scribe
        self._copier, self._tasks, self._metrics, self._keep = copier, tasks, metrics, keep
        self._running: dict[Turn, asyncio.Task[None]] = {}
        self._present: dict[str, Turn] = {}
        """By id: the running turns, and those whose records are not durable yet."""
        self._keyed: dict[Key, Turn] = {}
        """The same, by whoever asked and his idempotency key."""
        self._past: WeakValueDictionary[str, Past] = WeakValueDictionary()
        """By id: the ended turns that are being read; who reads the same one shares its log."""
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._refusals = Refusals(books)
        self._titles = Titles(titles, registry, self._begin, limiter.free)
        self._busy = asyncio.Event()

    async def open(self) -> None:
        """Ends what a dead process left, and begins to keep the journal."""
        places = await self._scribe.left()
        await end_unfinished(self._books.journal, self._ledger, self._books.prices, places)
        self._tasks.start(self._keep_journal(), "journal")
        self._tasks.start(self._expire(), "expiry of turns")
        self._tasks.start(self._refusals.keep(), "refusals")

    async def start(self, ask: Ask, provider_name: str | None, record: Record, terms: Terms) -> Found:
        """Starts a turn, or finds the one that the same request has started before.

        Without a provider's name the service chooses. A `ServiceError` means that it cost nothing.
        """
        try:
            return await self._found_or_begun(ask, provider_name, record, terms)
        except ServiceError as error:
            self._refusals.note(record, error)
            raise

    async def _found_or_begun(
        self, ask: Ask, provider_name: str | None, record: Record, terms: Terms
    ) -> Found:
        if terms.idempotency_key is None:
            return await self._begin(ask, provider_name, record, terms)
        key = (record.user, terms.idempotency_key)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            found = self._keyed.get(key) or await self._kept_by(key)
            if found is None or (terms.again and found.ending not in {None, "done"}):
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

    async def forget(self, turn: Found) -> None:
        """Ends the turn, and keeps nothing of it but its record. Raises `Unavailable`."""
        if isinstance(turn, Turn):
            await turn.stopped()
            if turn.closed and not turn.closed.done():  # it would be kept after it was deleted
                raise Unavailable("Nothing can be deleted at present. Try again later.")
            self._forget(turn)
        self._past.pop(turn.id, None)
        await self._books.journal.forget(turn.id)

    async def reserve(self, record: Record, question: Question) -> None:
        """Admits what is no turn; `settle` must follow. Raises `LimitReached`."""
        try:
            await self._limiter.reserve(record, question)
        except ServiceError as error:
            self._refusals.note(record, error)
            raise

    async def settle(self, record: Record) -> None:
        """Settles what was no turn; a client's own report has no price."""
        try:
            if record.kind != "report":
                await price(record, self._books.prices)
        finally:
            self._limiter.settle(record)
            self._ledger.settle(record)
        self._measure_cost(parts(record))

    def running(self, owner: str | None) -> list[Turn]:
        """The running turns of an owner, or (None) of everybody."""
        return [turn for turn in self._running if owner is None or turn.owner == owner]

    def end_refused(self) -> None:
        """Stops the running turns of keys that are over."""
        for turn in [turn for turn in self._running if not self._keys.holds(turn.record.key)]:
            turn.stop()

    async def close(self, patience: float) -> None:
        """Gives running turns some seconds to end, sends away who reads the others, and settles them."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=patience)
        for turn in self._running:
            turn.log.dismiss()
            turn.stop("interrupted")
        if self._running:
            await asyncio.wait(self._running.values())
        self._refusals.write()

    async def _begin(self, ask: Ask, provider_name: str | None, record: Record, terms: Terms) -> Turn:
        if record.key is not None:
            allowed = self._keys.allowed(record.key)
            ask = replace(ask, allowed=allowed) if allowed != ask.allowed else ask
        provider = self._auto.named(provider_name)
        record.provider_asked, record.model_asked = provider.name, ask.model
        route = await self._auto.route(provider, ask)
        attached = await self._attachments.of(ask, record.user)
        await route.check(attached.rest if attached else ask)
        if self._books.failing:
            raise StorageFull(
                f"What is answered cannot be recorded now: {self._books.failing} Try again later."
            )
        tokens = estimated_tokens(ask.messages)
        if self._limiter.limits(record):
            more = attached.tokens(route.choices[0]) if attached else 0
            await self._limiter.reserve(record, Question.of(ask, tokens + more, route.choices))
        try:
            informed = attached.answered_by(route, route.choices[0], record) if attached else route
            answering = voiced(self._copier.copied(informed, ask, record.user), ask, record.id)
            answering = self._titles.after(answering, ask, record)
            if terms.conversation is None:
                return self._opened(Turn(ask, answering, record, self._books, self._limiter, terms), tokens)
            async with self._scribe.placed(ask, provider_name, record, terms.conversation) as place:
                turn = Turn(ask, answering, record, self._books, self._limiter, terms, place)
                return self._opened(turn, tokens)
        except BaseException:
            self._limiter.give_back(record)
            raise

    def _opened(self, turn: Turn, prompt: int) -> Turn:
        turn.record.kind = turn.record.kind or "turn"
        turn.open(prompt)
        self._present[turn.id] = turn
        if (key := turn.terms.idempotency_key) is not None:
            self._keyed[turn.owner, key] = turn
        self._running[turn] = self._tasks.start(self._run(turn), f"turn {turn.id}")
        self._busy.set()
        self._metrics.streams.inc()
        return turn

    async def _run(self, turn: Turn) -> None:
        turn_id.set(turn.id)
        try:
            await turn.run()
        finally:
            del self._running[turn]
            self._limiter.settle(turn.record)
            self._measure(turn)
            if turn.closed:
                turn.closed.add_done_callback(lambda _: self._forget(turn))
            else:
                self._forget(turn)

    def _forget(self, turn: Turn) -> None:
        """The journal has it now."""
        self._present.pop(turn.id, None)
        if (key := turn.terms.idempotency_key) is not None and self._keyed.get((turn.owner, key)) is turn:
            del self._keyed[turn.owner, key]

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
            # What waits for a disk should not grow by itself: a slow one gets longer pieces, not more.
            if not self._books.failing and (last := await self._write_down()):
                await asyncio.wait([last])
            if not self._running:
                self._busy.clear()

    async def _write_down(self) -> asyncio.Future[None] | None:
        """By itself, for its variable would keep the last turn, with all its log, until the next one.

        Done when all of it is durable, as rows are written in their order; None if there was nothing. Many
        turns are written a few at a time: between them others speak.
        """
        last = None
        for number, turn in enumerate(list(self._running), 1):
            last = turn.write_down() or last
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return last

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
        legs = parts(record)
        for leg in legs:
            labels = (leg.provider, self._listed(leg), leg.usage_source)
            self._metrics.tokens.labels("prompt", *labels).inc(leg.prompt_tokens)
            self._metrics.tokens.labels("completion", *labels).inc(leg.completion_tokens)
        self._measure_cost(legs)

    def _measure_cost(self, legs: Sequence[Leg]) -> None:
        for leg in legs:
            if leg.cost is not None:
                self._metrics.cost.labels(leg.provider, self._listed(leg)).inc(leg.cost / NANO)
            elif leg.price == UNPRICED:
                self._metrics.unpriced.labels(leg.provider).inc()

    def _listed(self, leg: Leg) -> str:
        """The model where a provider lists it: names that clients make up would be labels without end."""
        listed = self._registry.listing(leg.provider) if leg.provider in self._registry else None
        return leg.model if leg.model and listed and listed.has(leg.model) else "other"
