"""A turn: one question, its answer as a log of events, and one ending, whatever ended it."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import ProviderAuth, ProviderTimeout, ServiceError
from service.events import (
    Batch,
    Chosen,
    Content,
    Event,
    Failed,
    Finish,
    Finished,
    Reasoning,
    ToolCalls,
    Unauthorized,
    Used,
)
from service.messages import Ask
from service.providers.provider import Provider
from service.stores.ledger import Ending, Ledger, Record
from service.turns.log import Log
from service.turns.usage import usage_of

log = logging.getLogger(__name__)

TOKENS = (Content, Reasoning, ToolCalls)


class Turn:
    """Runs once, in a task of its own that nothing but the turn cancels; `patience` is in seconds."""

    def __init__(self, ask: Ask, provider: Provider, record: Record, ledger: Ledger, patience: float) -> None:
        self.id, self.owner = record.id, record.user
        self.record = record
        self.log = Log()
        self._ask, self._provider = ask, provider
        self._ledger, self._patience = ledger, patience
        self._used: Used | None = None
        self._readers = 0
        self._speaking: asyncio.Task[None] | None = None
        self._stopped: Ending | None = None

    async def run(self) -> None:
        """Asks the provider, and ends."""
        ending, error = await self._speak()
        await self._end(ending, error)

    def append(self, events: Batch) -> None:
        """Takes what the provider says; its usage is held back, for it is told when it is recorded."""
        if self.record.first_token_at is None and any(isinstance(event, TOKENS) for event in events):
            self.record.first_token_at = time.time()
        for event in events:
            if type(event) is Used:
                self._used = event
        if said := [event for event in events if type(event) is not Used]:
            self.log.append(said)

    def stop(self, ending: Ending = "stopped") -> None:
        """Ends the turn early; once it has ended, or was stopped, this does nothing."""
        if self._stopped is None:
            self._stopped = ending
            if self._speaking:
                self._speaking.cancel()

    @contextmanager
    def reading(self) -> Iterator[Log]:
        """Held by whoever reads the answer; when the last one lets go early, the rest is not wanted."""
        self._readers += 1
        try:
            yield self.log
        finally:
            self._readers -= 1
            if not self._readers and not self.log.ended:
                self.stop("abandoned")

    async def _speak(self) -> tuple[Ending, ServiceError | None]:
        """Lets the provider speak until it is done, fails or is stopped."""
        if self._stopped:
            return self._stopped, None
        self._speaking = asyncio.current_task()
        try:
            await self._provider.pump(self._ask, self.append)
        except asyncio.CancelledError:
            return self._ending(), None
        except ServiceError as error:
            return "timeout" if isinstance(error, ProviderTimeout) else "failed", error
        except Exception:
            log.exception("provider %s raised what it should not", self._provider.name)
            return "failed", ServiceError("The service failed while answering; its log says why.")
        finally:
            self._speaking = None
        return "done", None

    def _ending(self) -> Ending:
        return self._stopped or "interrupted"

    async def _end(self, ending: Ending, error: ServiceError | None) -> None:
        """The one ending: the last words, the record, and only when that is durable the last frame."""
        try:
            used = self._settle(ending, error)
            if error or not any(type(event) is Finished for event in self.log.events[-3:]):
                self.log.append([_last_words(ending, error)])
            recorded = await self._recorded()
            if error is None:
                self.log.append([Used(used.usage, used.model, used.provider, recorded)])
        finally:
            self.log.end()

    def _settle(self, ending: Ending, error: ServiceError | None) -> Used:
        """Completes the record from the log."""
        record, events = self.record, self.log.events
        usage = usage_of(self._ask, events, self._used, error is not None)
        record.ended_at, record.ending = time.time(), ending
        record.error = type(error).__name__ if error else None
        chosen = [event.provider for event in events if type(event) is Chosen]
        if chosen:
            record.provider, record.label, record.model = chosen[-1].name, chosen[-1].label, chosen[-1].model
            record.attempts = len({answerer.name for answerer in chosen})
        record.prompt_tokens, record.completion_tokens = usage.prompt_tokens, usage.completion_tokens
        if usage.prompt_tokens_details:
            record.cached_tokens = usage.prompt_tokens_details.cached_tokens
        if usage.completion_tokens_details:
            record.reasoning_tokens = usage.completion_tokens_details.reasoning_tokens
        record.usage_source = "estimate" if usage.estimated else "provider"
        return Used(usage, record.model, record.provider or self._provider.name)

    async def _recorded(self) -> bool:
        """Waits until the record is durable, but not for ever: the ledger goes on trying by itself."""
        done, _ = await asyncio.wait([self._ledger.settle(self.record)], timeout=self._patience)
        return bool(done) and not any(future.exception() for future in done)


def _last_words(ending: Ending, error: ServiceError | None) -> Event:
    if isinstance(error, ProviderAuth):
        return Unauthorized(type(error).__name__, error.message)
    if error:
        return Failed(type(error).__name__, error.message)
    return Finished(Finish("stop" if ending == "done" else ending))
