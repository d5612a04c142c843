"""Anthropic's messages on the wire.

Source: Anthropic's API reference, "Create a Message", "Streaming messages" and "Errors".
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeAlias, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from service.errors import ServiceError, Unavailable
from service.events import Batch, Chosen, Event, Failed, Finish, Finished, Resumable, Unauthorized, Used
from service.events import Usage as Tokens
from service.wire.blocks import Block, BlockDelta, Blocks, BlockStart, BlockStop, Step, put_together
from service.wire.projection import raised, reason

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
ERROR_TYPES = {
    "request_too_large": "request_too_large",
    "unavailable": "overloaded_error",
    "insufficient_quota": "rate_limit_error",
    "upstream_timeout": "timeout_error",
}
"""By our code; the other errors have our type, but for `server_error`, which is called api_error here."""

_encode = msgspec.json.Encoder().encode


class Thoughts(Struct):
    thinking_tokens: int


class Usage(Struct):
    """In tokens: the first three make up the prompt."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0
    output_tokens_details: Thoughts | UnsetType = UNSET


class Message(Struct, tag="message", kw_only=True):
    """`recorded` is False only when the ledger could not be written in time."""

    id: str
    role: str = "assistant"
    content: list[Block] = []
    model: str
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage
    recorded: bool | UnsetType = UNSET


class Stop(Struct):
    stop_reason: str
    stop_sequence: str | None


class MessageStart(Struct, tag="message_start"):
    message: Message


class MessageDelta(Struct, tag="message_delta"):
    delta: Stop
    usage: Usage
    recorded: bool | UnsetType


class MessageStop(Struct, tag="message_stop"):
    pass


class Explanation(Struct):
    type: str
    message: str


class Problem(Struct, tag="error"):
    """The body of every failure."""

    error: Explanation
    request_id: str | None | UnsetType = UNSET


Frame: TypeAlias = MessageStart | Step | MessageDelta | MessageStop | Problem
_names = {kind: str(kind.__struct_config__.tag).encode() for kind in get_args(Frame)}


def problem(error: ServiceError, request_id: str | None | UnsetType = UNSET) -> Problem:
    """An error as Anthropic tells it."""
    kind = ERROR_TYPES.get(error.code) or error.type
    return Problem(Explanation("api_error" if kind == "server_error" else kind, error.message), request_id)


class MessageEvents:
    """Named events: the message's start, its blocks one after the other, its end with the usage.

    Nothing is said before the first word, so that the message's start names the model that says it; clients
    take a ping before it. `prompt_tokens` is an estimate, which the end corrects.
    """

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = {}
    heartbeat = b'event: ping\ndata: {"type": "ping"}\n\n'

    def __init__(self, turn_id: str, model: str | None, prompt_tokens: int) -> None:
        self._id, self._model, self._prompt_tokens = f"msg_{turn_id}", model or "", prompt_tokens
        self._blocks = Blocks(turn_id)
        self._finish = Finish("stop")
        self._used: Used | None = None
        self._started = self._failed = False

    def encode(self, events: Batch, first: int) -> bytes:
        return b"".join([_framed(frame) for event in events for frame in self.told(event)])

    def aside(self, event: Event) -> bytes:
        if not isinstance(event, Resumable):
            return b""
        self._failed = True
        path = f"/backend-api/v2/turns/{event.resume}"
        return _framed(
            problem(Unavailable(f"The service is being restarted. The answer goes on at GET {path}."))
        )

    def end(self) -> bytes:
        return b"".join([_framed(frame) for frame in self.rest()])

    def told(self, event: Event) -> Iterator[Frame]:
        """What an event adds."""
        match event:
            case Failed() | Unauthorized():
                self._failed = True
                yield problem(raised(event))
            case Chosen():
                self._model = event.provider.model or self._model
            case Used():
                yield from self._ended(event)
            case _:
                for step in self._blocks.steps(event):
                    yield from self._begun()
                    yield step
        if isinstance(event, Finished) and event.choice == 0:
            self._finish = event.finish

    def rest(self) -> Iterator[Frame]:
        """What closes the message; a turn that its process did not survive may have no usage."""
        if not self._failed:
            if self._used is None:
                yield from self._ended(Used(Tokens(self._prompt_tokens, 0, self._prompt_tokens)))
            yield MessageStop()

    def _begun(self) -> Iterator[Frame]:
        if not self._started:
            self._started = True
            yield MessageStart(Message(id=self._id, model=self._model, usage=Usage(self._prompt_tokens)))

    def _ended(self, used: Used) -> Iterator[Frame]:
        self._used = used
        yield from self._begun()
        recorded = UNSET if used.recorded else False
        yield MessageDelta(_stop(self._finish), _usage(used.usage), recorded)


def message(events: Sequence[Event], *, turn_id: str, model: str | None) -> Message:
    """A log that has not failed, as the message of a request that does not stream."""
    wire = MessageEvents(turn_id, model, 0)
    whole = Message(id="", model="", usage=Usage(0))
    steps: list[Step] = []
    for frame in chain(*map(wire.told, events), wire.rest()):
        match frame:
            case MessageStart():
                whole = frame.message
            case BlockStart() | BlockDelta() | BlockStop():
                steps.append(frame)
            case MessageDelta(stop, usage, recorded):
                end = structs.asdict(stop)
                whole = structs.replace(whole, **end, usage=usage, recorded=recorded)
            case _:
                pass
    return structs.replace(whole, content=put_together(steps))


def _framed(frame: Frame) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (_names[type(frame)], _encode(frame))


def _stop(finish: Finish) -> Stop:
    """Anthropic knows more reasons than OpenAI, but none for an answer that was stopped: it was cut off."""
    if isinstance(finish.stop_sequence, str):
        return Stop("stop_sequence", finish.stop_sequence)
    return Stop(STOP_REASONS.get(reason(finish), "end_turn"), None)


def _usage(tokens: Tokens) -> Usage:
    details, thoughts = tokens.prompt_tokens_details, tokens.completion_tokens_details
    read = details.cached_tokens if details else 0
    written = details.cache_write_tokens if details and isinstance(details.cache_write_tokens, int) else 0
    return Usage(
        max(0, tokens.prompt_tokens - read - written),
        written,
        read,
        tokens.completion_tokens,
        Thoughts(thoughts.reasoning_tokens) if thoughts else UNSET,
    )
