"""What a turn comes to: its record, completed from its log, leg by leg.

A leg is the part of one provider: what is said between two switches.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.errors import ServiceError
from service.events import (
    Answerer,
    Chosen,
    CompletionDetails,
    Content,
    Event,
    PromptDetails,
    Reasoning,
    Switched,
    ToolCalls,
    Usage,
    Used,
)
from service.stores.ledger import Ending, Record, UsageSource

LONGEST_NAME = 200
"""Characters of a model's name in a leg; a client may have made it up."""


class Leg(Struct, frozen=True):
    """The part of one provider in a turn, as the ledger has it; `error` is a class, `cost` as in a record."""

    provider: str
    model: str | None
    error: str | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    usage_source: UsageSource
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    asked: str | None = None
    """The model that was asked, where another one has answered."""
    cost: int | None = None
    price: str | None = None

    @property
    def idle(self) -> bool:
        """It cost nothing, as far as anybody knows."""
        return not self.prompt_tokens and not self.completion_tokens


_decode = msgspec.json.Decoder(list[Leg]).decode


def note(record: Record, events: Sequence[Event], counted: Sequence[Used | None]) -> None:
    """Fills in the legs so far; `counted` is what their providers counted, by leg."""
    record.legs = _json(_legs(record, events, counted, None))


def settle(
    record: Record,
    events: Sequence[Event],
    counted: Sequence[Used | None],
    ending: Ending,
    error: ServiceError | None,
) -> Used:
    """Fills in all but the time of the ending; `counted` is as in `note`. Returns what is told.

    The record comes with an estimate of its prompt, and with the legs that were noted.
    """
    legs = _legs(record, events, counted, error)
    if answerer := _answerer(events):
        record.provider, record.label, record.model = answerer.name, answerer.label, answerer.model
    alone = counted[0] if counted and len(legs) == 1 else None
    usage = alone.usage if alone else _sum(legs, 0 if error else record.prompt_tokens or 0)
    record.ending = ending
    record.error = type(error).__name__ if error else None
    record.attempts, record.legs = len(legs), _json(legs) if len(legs) > 1 else None
    record.prompt_tokens, record.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    if usage.prompt_tokens_details:
        record.cached_tokens = usage.prompt_tokens_details.cached_tokens
        record.cache_write_tokens = _set(usage.prompt_tokens_details.cache_write_tokens)
    if usage.completion_tokens_details:
        record.reasoning_tokens = usage.completion_tokens_details.reasoning_tokens
    record.usage_source = "estimate" if usage.estimated else "provider"
    return Used(usage, record.model, record.provider or record.provider_asked or "")


def parts(record: Record) -> list[Leg]:
    """The legs of a settled record; where there is one, it is the record."""
    return _noted(record) or [
        Leg(
            record.provider or "none",
            record.model,
            record.error,
            record.prompt_tokens or 0,
            record.completion_tokens or 0,
            record.cached_tokens,
            record.usage_source or "estimate",
            record.reasoning_tokens,
            record.cache_write_tokens,
            record.model_asked,
            record.cost,
            record.price,
        )
    ]


def said_tokens(events: Iterable[Event]) -> int:
    """Tokens of an answer as far as nobody has counted them, four bytes each."""
    return -(-sum(len(_text(event).encode()) for event in events) // 4)


def _legs(
    record: Record, events: Sequence[Event], counted: Sequence[Used | None], error: ServiceError | None
) -> list[Leg]:
    """The noted legs, which may know more than the events do, and those that followed."""
    legs, prompt, said = _noted(record), record.prompt_tokens or 0, 0
    for index, (piece, switched) in enumerate(_pieces(events)):
        if index >= len(legs):
            used = counted[index] if index < len(counted) else None
            failure = switched.switch.error if switched else type(error).__name__ if error else None
            if who := _who(piece, switched):
                usage = used.usage if used else _estimate(prompt + said, piece, failure is not None)
                legs.append(_leg(*who, failure, usage))
        if switched and switched.seam:  # what was said is a part of the next prompt
            said += said_tokens(event for event in piece if type(event) is Content)
    return legs


def _pieces(events: Sequence[Event]) -> Iterator[tuple[Sequence[Event], Switched | None]]:
    """What was said between two switches, and the switch that ends it."""
    start = 0
    for index, event in enumerate(events):
        if type(event) is Switched:
            yield events[start:index], event
            start = index + 1
    yield events[start:], None


def _who(piece: Sequence[Event], switched: Switched | None) -> tuple[str, str | None, str | None] | None:
    """Who answers, with which model, and which one was asked if it is another; None if nobody was asked."""
    if answerer := _answerer(piece):
        asked = next(event.provider.model for event in piece if type(event) is Chosen)
        return answerer.name, answerer.model, asked if asked != answerer.model else None
    return (switched.switch.provider, switched.switch.model, None) if switched else None


def _answerer(events: Sequence[Event]) -> Answerer | None:
    return next((event.provider for event in reversed(events) if type(event) is Chosen), None)


def _leg(provider: str, model: str | None, asked: str | None, error: str | None, usage: Usage) -> Leg:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Leg(
        provider,
        model[:LONGEST_NAME] if model else None,
        error,
        usage.prompt_tokens,
        usage.completion_tokens,
        prompt.cached_tokens if prompt else None,
        "estimate" if usage.estimated else "provider",
        completion.reasoning_tokens if completion else None,
        _set(prompt.cache_write_tokens) if prompt else None,
        asked[:LONGEST_NAME] if asked else None,
    )


def _sum(legs: Sequence[Leg], prompt: int) -> Usage:
    """All legs together, as counted where all that cost something were; the prompt where nobody was asked."""
    if not legs:
        return Usage(prompt, 0, prompt, estimated=True)
    prompt, completion = sum(leg.prompt_tokens for leg in legs), sum(leg.completion_tokens for leg in legs)
    cached = _known(leg.cached_tokens for leg in legs)
    written = _known(leg.cache_write_tokens for leg in legs)
    reasoning = _known(leg.reasoning_tokens for leg in legs)
    counted = {leg.usage_source for leg in legs if not leg.idle} or {leg.usage_source for leg in legs}
    return Usage(
        prompt,
        completion,
        prompt + completion,
        None if cached is None else PromptDetails(cached, UNSET if written is None else written),
        None if reasoning is None else CompletionDetails(reasoning),
        estimated="estimate" in counted,
    )


def _set(number: int | UnsetType) -> int | None:
    return None if number is UNSET else number


def _known(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _estimate(prompt: int, events: Sequence[Event], failed: bool) -> Usage:
    """Nothing where it failed before it said anything."""
    completion = said_tokens(events)
    if failed and not completion:
        return Usage(0, 0, 0, estimated=True)
    return Usage(prompt, completion, prompt + completion, estimated=True)


def _text(event: Event) -> str:
    if isinstance(event, Content):
        return event.content
    if isinstance(event, Reasoning) and isinstance(event.token, str):
        return event.token
    if isinstance(event, ToolCalls):
        functions = [call.function for call in event.tool_calls if call.function]
        return "".join((function.name or "") + (function.arguments or "") for function in functions)
    return ""


def _json(legs: Sequence[Leg]) -> str:
    return msgspec.json.encode(legs).decode()


def _noted(record: Record) -> list[Leg]:
    """A row that somebody has written by hand must not keep the service from starting."""
    try:
        return _decode(record.legs) if record.legs else []
    except msgspec.DecodeError:
        return []
