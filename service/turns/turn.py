"""A turn: one question, its answer as a log of events, and one ending, whatever ended it."""

import asyncio
import logging
import time
from collections.abc import Sequence
from random import getrandbits
from typing import Literal

from msgspec import Struct

from service.errors import ProviderAuth, ProviderTimeout, ServiceError, named
from service.events import (
    Batch,
    Begun,
    Chosen,
    Event,
    Failed,
    Finish,
    Finished,
    Switched,
    Unauthorized,
    Used,
    begins,
)
from service.messages import Ask
from service.providers.provider import Provider
from service.stores.journal import Entry
from service.stores.ledger import Ending, Record
from service.turns.books import Books
from service.turns.chats import Place
from service.turns.costs import price
from service.turns.limits import Limiter
from service.turns.log import Log
from service.turns.settlement import note, settle

log = logging.getLogger(__name__)

OnDisconnect = Literal["cancel", "wait", "detach"]


class Terms(Struct, frozen=True):
    """How a turn is to be held.

    `on_disconnect`: when its last reader leaves, it is cancelled, or waits `grace` seconds for one to come
    back, or finishes by itself. A repeated request with the same `idempotency_key` is the same turn; that its
    `digest` is the same as well is checked.
    """

    on_disconnect: OnDisconnect = "cancel"
    grace: float = 60.0
    idempotency_key: str | None = None
    digest: str | None = None
    again: bool = False
    """The same key stands for another turn once one has failed."""
    request: bytes | None = None
    """Kept with the turn: what was asked, as the wire's handler wants it back."""
    chat: str | None = None
    """The client's name for the conversation, by which its running turn is found."""
    conversation: str | None = None
    """The chat in which the turn is kept; None is nowhere."""


class Turn:
    """Runs once, in a task of its own that nothing but the turn cancels."""

    def __init__(
        self,
        ask: Ask,
        provider: Provider,
        record: Record,
        books: Books,
        limiter: Limiter,
        terms: Terms,
        place: Place | None = None,
    ) -> None:
        self.id, self.owner, self.digest = record.id, record.user, terms.digest
        self.request, self.opened_at = terms.request, record.opened_at
        self.epoch = f"{getrandbits(32):08x}"
        self.record, self.terms = record, terms
        self.log = Log()
        self.readers = 0
        self.closed: asyncio.Future[bool] | None = None
        """Its records are durable, or never will be; None until it ends."""
        self._ask, self._provider, self._books, self._limiter = ask, provider, books, limiter
        self._place = place
        self._chosen: Chosen | None = None
        self._counted: list[Used | None] = [None]
        """What was used according to the providers, of each leg."""
        self._journalled = 0
        self._speaking: asyncio.Task[None] | None = None
        self._stopped: Ending | None = None
        self._grace: asyncio.TimerHandle | None = None

    def open(self, prompt: int) -> None:
        """Opens its records, with an estimate of the prompt's tokens, and says its first word."""
        self.record.prompt_tokens, self.record.usage_source = prompt, "estimate"
        self._books.open(self.record, self.entry(), self._place)
        self.log.append([Begun(self.id)])

    async def run(self) -> None:
        """Lets the provider speak until it is done, fails or is stopped; and ends."""
        ending: Ending = self._stopped or "done"
        error: ServiceError | None = None
        try:
            if self._stopped is None:
                self._speaking = asyncio.current_task()
                await self._provider.pump(self._ask, self.append)
        except asyncio.CancelledError:
            ending = self._stopped or "interrupted"
        except ServiceError as failed:
            ending, error = "timeout" if isinstance(failed, ProviderTimeout) else "failed", failed
        except Exception:
            log.exception("provider %s raised what it should not", self._provider.name)
            ending, error = "failed", ServiceError("The service failed while answering; its log says why.")
        finally:
            self._speaking = None
        await self._end(ending, error)

    def append(self, events: Batch) -> None:
        """Takes what a provider says; its usage is held back, for it is told when it is recorded."""
        if self.record.first_token_at is None and begins(events):
            self.record.first_token_at = time.time()
        if said := [event for event in events if type(event) is not Used]:
            self.log.append(said)
        for event in events:
            kind = type(event)
            if kind is Used or kind is Chosen or kind is Switched:
                self._notice(event)

    def _notice(self, event: Event) -> None:
        """What matters to the record, or to whoever asks who answers."""
        match event:
            case Used():
                self._counted[-1] = event
            case Chosen():
                self._chosen = event
            case Switched():
                note(self.record, self.log.events, self._counted)
                self._books.note(self.record)
                self._counted.append(None)
            case _:
                pass

    def stop(self, ending: Ending = "stopped") -> None:
        """Ends the turn early; once it has ended, or was stopped, this does nothing."""
        if self._stopped is None:
            self._stopped = ending
            self._limiter.free(self.record)
            if self._speaking:
                self._speaking.cancel()

    async def stopped(self) -> None:
        """Stops it, and returns when it has ended."""
        self.stop()
        await self.log.over()

    @property
    def ending(self) -> Ending | None:
        return self.record.ending

    def answerer(self) -> tuple[str | None, str | None]:
        """The provider and the model that answer, by name, as far as they are known."""
        if self._chosen:
            return self._chosen.provider.name, self._chosen.provider.model
        return self.record.provider_asked, self.record.model_asked

    def reading(self) -> "Reading":
        """Held by whoever reads the answer; when the last one lets go early, the turn's terms decide."""
        return Reading(self)

    def write_down(self) -> asyncio.Future[None] | None:
        """Hands the journal what was said since last time; done when it is durable, None if nothing was."""
        if self.closed or not (events := self.log.events[self._journalled :]):
            return None
        first, self._journalled = self._journalled, len(self.log.events)
        return self._books.write_down(self.entry(), first, events)

    def entry(self) -> Entry:
        """The turn as the journal keeps it."""
        return Entry(
            id=self.id,
            owner=self.owner,
            epoch=self.epoch,
            opened_at=self.record.opened_at,
            idempotency_key=self.terms.idempotency_key,
            digest=self.terms.digest,
            ended_at=self.record.ended_at,
            ending=self.record.ending,
            request=self.terms.request,
        )

    def joined(self) -> None:
        """Somebody reads."""
        self.readers += 1
        if self._grace:
            self._grace.cancel()
            self._grace = None

    def left(self) -> None:
        """Somebody reads no longer."""
        self.readers -= 1
        if not self.readers and self.ending is None and not self.log.dismissed:
            self._left_alone()

    def _left_alone(self) -> None:
        match self.terms.on_disconnect:
            case "cancel":
                self.stop("abandoned")
            case "wait":
                loop = asyncio.get_running_loop()
                self._grace = loop.call_later(self.terms.grace, self.stop, "abandoned")
            case "detach":
                pass

    async def _end(self, ending: Ending, error: ServiceError | None) -> None:
        """The one ending: the last words, the records, and only when these are durable the last frame."""
        try:
            if self._grace:
                self._grace.cancel()
            self.record.ended_at = time.time()
            used = settle(self.record, self.log.events, self._counted, ending, error)
            await price(self.record, self._books.prices, self._ask.keys)
            self._limiter.settle(self.record)
            words = [] if _has_finished(self.log.events, error) else [_last_words(ending, error)]
            count = [used] if error is None else []
            whole = [*self.log.events, *words, *count]
            self.closed = self._books.close(
                self.record, self.entry(), whole, pieces=self._journalled > 0, place=self._place
            )
            self.log.append(words)
            recorded = await self._books.in_time(self.closed)
            last: list[Event] = [Used(used.usage, used.model, used.provider, recorded) for used in count]
        except Exception:  # nobody may take what was said so far for the whole
            log.exception("the ending of a turn failed")
            last = [_last_words("failed", ServiceError("The service failed; its log says why."))]
        except BaseException:
            self.log.end()
            raise
        self.log.end(last)


class Reading:
    """The context in which somebody reads a turn; no generator, for a frame is kept as long as a stream."""

    __slots__ = ("_turn",)

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def __enter__(self) -> Log:
        self._turn.joined()
        return self._turn.log

    def __exit__(self, *_: object) -> None:
        self._turn.left()


def failure(events: Sequence[Event]) -> ServiceError | None:
    """What these events say that the turn failed with."""
    for event in events:
        if isinstance(event, Failed):
            return named(event.error, event.message, event.retry_after)
        if isinstance(event, Unauthorized):
            return named(event.auth, event.message)
    return None


def _has_finished(events: list[Event], error: ServiceError | None) -> bool:
    return error is None and any(type(event) is Finished for event in events[-3:])


def _last_words(ending: Ending, error: ServiceError | None) -> Event:
    if isinstance(error, ProviderAuth):
        return Unauthorized(type(error).__name__, error.message)
    if error:
        return Failed(type(error).__name__, error.message, getattr(error, "retry_after", None))
    return Finished(Finish("stop" if ending == "done" else ending))
