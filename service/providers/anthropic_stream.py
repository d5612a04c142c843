"""Anthropic's stream -> events.

Source: Anthropic's API reference, "Create a Message", and its guide "Streaming messages".
"""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from service.errors import ProviderError, ServiceError
from service.events import (
    Content,
    Event,
    Finish,
    Finished,
    Function,
    Reasoning,
    ToolCall,
    ToolCalls,
    Usage,
    Used,
)
from service.providers.dialects import counted, finish_reason
from service.providers.failures import complaint, translated

log = logging.getLogger(__name__)

PAUSED = "pause_turn"
"""A search of the provider's own took too long: like an answer that was too long, it can be gone on with."""


class _Message(Struct):
    model: str | None = None
    usage: dict[str, Any] | None = None


class _Block(Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str = ""
    thinking: str = ""
    data: str = ""


class _Delta(Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Frame(Struct, gc=False):
    """Any event of the stream; one of a type that is not known here, such as ping, says nothing."""

    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Frame).decode


class Answer:
    """Reads the events of one answer.

    `chosen` makes the event that names another model than was `asked`; `broken` says that the answer is cut.
    """

    def __init__(self, label: str, asked: str | None, chosen: Callable[[str], Event], broken: str) -> None:
        self._label, self._asked, self._chosen, self._broken = label, asked, chosen, broken
        self._thinking = False
        self._calls: dict[int, int] = {}
        """The places of calls among the calls, by those of their blocks."""
        self._usage: Usage | None = None
        self._finish = Finish("stop")
        self._skipped = 0
        self._error: ServiceError | None = None
        self.done = False

    def events(self, payloads: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for payload in payloads:
            try:
                frame = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._skipped += 1
                continue
            if frame.type == "content_block_delta" and frame.delta:
                self._grow(frame.index, frame.delta, events)
            else:
                self._turn(frame, events)
            if self.done:
                break
        return events

    def left(self) -> list[Event]:
        return []

    def end(self) -> list[Event]:
        if self._skipped:
            log.warning("%s sent %d events that make no sense; they were skipped", self._label, self._skipped)
        if self._error:
            raise self._error
        if not self.done:
            raise ProviderError(self._broken)
        return [*self._thought(), Finished(self._finish)]

    def _grow(self, index: int, delta: _Delta, events: list[Event]) -> None:
        match delta.type:
            case "text_delta":
                self._say(delta.text, events)
            case "thinking_delta":
                self._think(delta.thinking, events)
            case "signature_delta":
                events.append(Reasoning(signature=delta.signature))
            case "input_json_delta" if index in self._calls:
                function = Function(arguments=delta.partial_json)
                events.append(ToolCalls([ToolCall(self._calls[index], function=function)]))
            case _:
                pass

    def _turn(self, frame: _Frame, events: list[Event]) -> None:
        """All that happens a few times in an answer."""
        match frame.type:
            case "message_start" if frame.message:
                self._start(frame.message, events)
            case "content_block_start" if frame.content_block:
                self._open(frame.index, frame.content_block, events)
            case "content_block_stop":
                events += self._thought()
            case "message_delta":
                self._close(frame, events)
            case "message_stop":
                self.done = True
            case "error":
                error = complaint({"error": frame.error})
                self._error, self.done = translated(error or "", self._label), True
            case _:
                pass

    def _start(self, message: _Message, events: list[Event]) -> None:
        self._usage = counted(message.usage or {})
        if message.model and message.model != self._asked:
            events.append(self._chosen(message.model))

    def _open(self, index: int, block: _Block, events: list[Event]) -> None:
        match block.type:
            case "tool_use":
                self._calls[index] = len(self._calls)
                call = ToolCall(self._calls[index], block.id, "function", Function(block.name, ""))
                events.append(ToolCalls([call]))
            case "redacted_thinking":
                events.append(Reasoning(redacted=block.data))
            case "thinking":
                self._think(block.thinking, events)
            case "text":
                self._say(block.text, events)
            case _:
                pass

    def _close(self, frame: _Frame, events: list[Event]) -> None:
        """The reason to stop, and the count, which is only now that of the whole answer."""
        if frame.delta and (reason := frame.delta.stop_reason):
            met = frame.delta.stop_sequence
            ours = "length" if reason == PAUSED else finish_reason(reason)
            self._finish = Finish(ours, UNSET if met is None else met)
        if usage := counted(frame.usage or {}, self._usage):
            events.append(Used(usage))

    def _say(self, text: str, events: list[Event]) -> None:
        if text:
            events.append(Content(text))

    def _think(self, thought: str, events: list[Event]) -> None:
        if thought:
            self._thinking = True
            events.append(Reasoning(token=thought))

    def _thought(self) -> list[Event]:
        """Closes the thoughts, if there were any."""
        if not self._thinking:
            return []
        self._thinking = False
        return [Reasoning(token=None, status="")]
