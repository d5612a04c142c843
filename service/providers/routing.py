"""A route: those who may answer a question. One who fails before the first word is followed by the next."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from operator import itemgetter

from msgspec import Struct
from msgspec.structs import replace

from service.errors import ProviderError, RateLimited, ServiceError
from service.events import (
    Attempt,
    Batch,
    Content,
    Event,
    Extra,
    Finished,
    Reasoning,
    Switched,
    ToolCalls,
    begins,
)
from service.messages import Ask, Message
from service.providers.circuit import Circuit
from service.providers.provider import Append, Provider

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 0.25
"""Seconds before somebody is asked again; twice as long each time."""
JITTER = 1.2
"""Turns that were sent away together do not come back together."""

HELD = (Finished, Extra)


class Target(Struct, frozen=True):
    """Somebody to be asked; `model` None means the provider's own choice."""

    provider: Provider
    model: str | None
    circuit: Circuit


class Route(Provider):
    """What a turn asks; `patience` says how many seconds it waits where all targets want to be left alone.

    With `continuation` another target goes on where one has broken off, whatever the question says.
    """

    def __init__(
        self, name: str, targets: Sequence[Target], *, patience: float, continuation: bool = False
    ) -> None:
        self.name = self.label = name
        self._targets = targets
        self._checked: Target | None = None
        self._patience, self._continuation = patience, continuation

    @property
    def choices(self) -> list[tuple[str, str | None]]:
        """Who may answer, and with which model, by name."""
        return [(target.provider.name, target.model) for target in self._targets]

    def reads(self, media_type: str) -> bool:
        return all(target.provider.reads(media_type) for target in self._targets)

    async def check(self, ask: Ask) -> None:
        """Leaves out the targets that refuse, up to the first that does not; raises where all of them do."""
        refusals: list[ServiceError] = []
        for index, target in enumerate(self._targets):
            try:
                await target.provider.check(replace(ask, model=target.model))
            except ServiceError as error:
                refusals.append(error)
            else:
                self._targets, self._checked = self._targets[index:], target
                return
        raise refusals[0]

    async def pump(self, ask: Ask, append: Append) -> None:
        said = Said(append, continues=self._continues(ask))
        course = Course(self._targets, self._patience)
        step = course.first()
        while True:
            if step.pause:
                await asyncio.sleep(step.pause)
            error = await self._asked(step.target, ask, said)
            if error is None and said.anything:
                return
            failure = error or ProviderError(f"{step.target.provider.label} finished without a word.")
            following = course.after(step.target, failure) if said.leaves_room_after(failure) else None
            if following is None:
                break
            said.switch(step.target, failure)
            step = following
        if error:
            raise error
        said.end()

    def _continues(self, ask: Ask) -> bool:
        """Whether half an answer can be gone on with: one in a given format, or one of several, cannot."""
        asked = ask.generation
        wanted = ask.continuation or self._continuation
        return wanted and not asked.response_format and (asked.n or 1) == 1

    async def _asked(self, target: Target, ask: Ask, said: "Said") -> ServiceError | None:
        """What it failed with; None when it has answered."""
        own_key = target.provider.name in ask.keys
        try:
            with target.circuit.asked() as question:
                said.begin(question.heard)
                await self._pumped(target, said.continued(replace(ask, model=target.model)), said.append)
        except ServiceError as error:
            if error.retry_after is not None and not own_key:  # one client's limit is nobody else's
                target.circuit.leave_alone(error.retry_after)
            return error
        return None

    async def _pumped(self, target: Target, ask: Ask, append: Append) -> None:
        try:
            if target is not self._checked:
                await _checked(target, ask)
            await target.provider.pump(ask, append)
        except ServiceError:
            raise
        except Exception as error:
            log.exception("provider %s raised what it should not", target.provider.name)
            raise ServiceError("The service failed while answering; its log says why.") from error


async def _checked(target: Target, ask: Ask) -> None:
    """What one provider refuses may be nothing to another."""
    try:
        await target.provider.check(ask)
    except ServiceError as refusal:
        refusal.elsewhere = True
        raise


class Step(Struct, frozen=True):
    """Who is asked next, after a pause in seconds."""

    target: Target
    pause: float = 0.0


class Course:
    """The way of one turn through its targets: each is asked once, and again only when it has said when."""

    __slots__ = ("_back", "_left", "_patience", "_pause")

    def __init__(self, targets: Sequence[Target], patience: float) -> None:
        self._left = list(targets)
        self._back: list[tuple[float, Target]] = []
        """Who may be asked again, and when; on the loop's clock."""
        self._patience, self._pause = patience, SHORTEST_PAUSE

    def first(self) -> Step:
        """Somebody, even where all are left out: nothing is gained by refusing. Raises `RateLimited`.

        Those who want to be left alone are waited for, unless there is nobody else from the beginning.
        """
        awake = [target for target in self._left if not target.circuit.rest]
        anyway = awake or (self._left if len(self._left) == 1 else [])
        if step := self._free() or (self._taken(anyway[0]) if anyway else self._rested()):
            return step
        rest = math.ceil(min(target.circuit.rest for target in self._left))
        raise RateLimited(f"All who could answer want to be left alone. Ask again in {rest} s.", rest)

    def after(self, target: Target, error: ServiceError) -> Step | None:
        """Who follows one that has failed; None where nobody does."""
        if error.retry_after is not None:
            self._back.append((_now() + error.retry_after, target))
        return self._free() or self._rested()

    def _free(self) -> Step | None:
        target = next((target for target in self._left if target.circuit.free), None)
        return self._taken(target) if target else None

    def _rested(self) -> Step | None:
        """The first to come back, if that is soon enough."""
        now = _now()
        resting = [(now + target.circuit.rest, target) for target in self._left if target.circuit.rest]
        at, target = min([*self._back, *resting], key=itemgetter(0), default=(math.inf, None))
        pause = max(at - now, self._pause)
        if target is None or pause > self._patience:
            return None
        pause = min(pause * random.uniform(1, JITTER), self._patience)
        self._patience -= pause
        self._pause *= 2
        return self._taken(target, pause)

    def _taken(self, target: Target, pause: float = 0.0) -> Step:
        self._left = [other for other in self._left if other is not target]
        self._back = [(at, other) for at, other in self._back if other is not target]
        return Step(target, pause)


class Said:
    """Passes on what is said, and knows what of it can no longer be taken back.

    With `continues` it keeps the text, for whoever may have to go on with it.
    """

    __slots__ = ("_append", "_called", "_continues", "_heard", "_held", "_thinking", "_words", "anything")

    def __init__(self, append: Append, *, continues: bool) -> None:
        self._append, self._continues = append, continues
        self.anything = False
        """A first token was passed on."""
        self._heard: Callable[[], None] | None = None
        """There until the first token of who speaks."""
        self._held: list[Event] = []
        self._words: list[str] = []
        self._thinking = self._called = False

    def begin(self, heard: Callable[[], None]) -> None:
        """Somebody speaks; `heard` is called at the first token."""
        self._heard, self._held = heard, []

    def append(self, events: Batch) -> None:
        """Before anything was said, an end is held back: it may be no end, for somebody else can be asked."""
        if self._heard and begins(events):
            self._heard()
            self._heard, self.anything = None, True
            events, self._held = [*self._held, *events], []
        if not self.anything:
            self._held += [event for event in events if isinstance(event, HELD)]
            events = [event for event in events if not isinstance(event, HELD)]
        if self._continues:
            self._keep(events)
        self._append(events)

    def end(self) -> None:
        """It was no answer, but the last one."""
        self._append(self._held)

    def leaves_room_after(self, error: ServiceError) -> bool:
        """Whether somebody else may answer what has failed here; never after a tool call."""
        return error.elsewhere and (not self.anything or (self._continues and not self._called))

    def switch(self, target: Target, error: ServiceError) -> None:
        """Says that somebody else is asked, and why."""
        thought = [Reasoning(token=None, status="")] if self._thinking else []
        attempt = Attempt(target.provider.name, target.model, type(error).__name__, error.message)
        self._append([*thought, Switched(attempt, seam=self.anything)])
        self._thinking = False

    def continued(self, ask: Ask) -> Ask:
        """The ask with what was said so far as the beginning of its answer."""
        if not (text := "".join(self._words)):
            return ask
        *others, last = ask.messages
        if last.role == "assistant" and isinstance(last.content, str) and not last.tool_calls:
            return replace(ask, messages=[*others, replace(last, content=last.content + text)])
        return replace(ask, messages=[*ask.messages, Message("assistant", text)])

    def _keep(self, events: Batch) -> None:
        for event in events:
            match event:
                case Content():
                    self._words.append(event.content)
                    self._thinking = False
                case Reasoning():
                    self._thinking = isinstance(event.token, str)
                case ToolCalls():
                    self._called = True
                case _:
                    pass


def _now() -> float:
    return asyncio.get_running_loop().time()
