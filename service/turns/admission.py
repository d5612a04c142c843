"""Who may start a turn, with which provider; and all the turns that run."""

import asyncio

import msgspec

from service.errors import ModelNotFound, StorageFull
from service.messages import Ask
from service.providers.auto import Auto
from service.providers.provider import Provider
from service.providers.registry import Registry
from service.stores.database import Database
from service.stores.ledger import Ledger, Record
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.turn import Turn


class Turns:
    """Starts turns, and ends them all when the service stops; `patience` for a record is in seconds."""

    def __init__(
        self,
        registry: Registry,
        auto: Auto,
        database: Database,
        ledger: Ledger,
        tasks: Tasks,
        metrics: Metrics,
        patience: float,
    ) -> None:
        self._registry, self._auto = registry, auto
        self._database, self._ledger = database, ledger
        self._tasks, self._metrics, self._patience = tasks, metrics, patience
        self._running: dict[Turn, asyncio.Task[None]] = {}

    async def start(self, ask: Ask, provider_name: str | None, record: Record) -> Turn:
        """Starts a turn; without a name the service chooses. A `ServiceError` means that it cost nothing."""
        provider = self._registry[provider_name] if provider_name else self._auto
        record.provider_asked, record.model_asked = provider.name, ask.model
        if provider is not self._auto:
            ask = self._with_model(provider, ask)
        await provider.check(ask)
        if self._database.failing:
            raise StorageFull(
                f"What is answered cannot be recorded now: {self._database.failing} Try again later."
            )
        record.kind = "turn"
        turn = Turn(ask, provider, record, self._ledger, self._patience)
        self._ledger.open(record)
        self._running[turn] = self._tasks.start(self._run(turn), f"turn {turn.id}")
        self._metrics.streams.inc()
        return turn

    async def close(self, patience: float) -> None:
        """Gives running turns some seconds to end, interrupts the others, and waits until all are settled."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=patience)
        for turn in self._running:
            turn.stop("interrupted")
        if self._running:
            await asyncio.wait(self._running.values())

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
        try:
            await turn.run()
        finally:
            del self._running[turn]
            self._measure(turn.record)

    def _measure(self, record: Record) -> None:
        provider = record.provider or "none"
        self._metrics.streams.dec()
        self._metrics.endings.labels(provider, record.ending).inc()
        if record.first_token_at is not None:
            self._metrics.first_token.labels(provider).observe(record.first_token_at - record.opened_at)
        for direction, tokens in (("prompt", record.prompt_tokens), ("completion", record.completion_tokens)):
            self._metrics.tokens.labels(direction, provider, record.usage_source).inc(tokens or 0)
