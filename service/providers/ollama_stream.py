"""Ollama's lines of JSON -> events.

Source: Ollama's API reference, "Generate a chat message", the streamed response.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import ProviderError, ServiceError
from service.events import Event, Extra, Usage, Used
from service.providers.calls import CallDelta
from service.providers.dialects import finish_reason
from service.providers.failures import complaint, translated
from service.providers.repair import Choice
from service.providers.sse import LIMIT, StreamTooLong

log = logging.getLogger(__name__)


class Lines:
    """Cuts a stream into its lines, whatever pieces it arrives in; raises `StreamTooLong`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, but for empty ones."""
        self._rest += chunk
        if b"\n" not in chunk:
            if len(self._rest) > self._limit:
                raise StreamTooLong(self._limit)
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        return [line for line in lines if line.strip()]

    def end(self) -> list[bytes]:
        return self.feed(b"\n")


class _Message(Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[CallDelta] | None = None


class _Line(Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Line).decode


class Answer:
    """Reads the lines of one answer; `broken` says that it is cut, `tools` are those that the model has."""

    def __init__(self, label: str, broken: str, tools: Sequence[Mapping[str, Any]] | None) -> None:
        self._label, self._broken = label, broken
        names = (str((tool.get("function") or {}).get("name")) for tool in tools or ())
        self._choice = Choice(0, frozenset(names), secrets.token_hex(8))
        self._skipped = 0
        self._error: ServiceError | None = None
        self.done = False

    def events(self, payloads: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for payload in payloads:
            try:
                line = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._skipped += 1
                continue
            if line.error is not None:
                self._error = translated(complaint({"error": line.error}) or "", self._label)
                self.done = True
                break
            if line.message:
                self._say(line.message, line.logprobs, events)
            if line.done:
                self._close(line, events)
                break
        return events

    def left(self) -> list[Event]:
        events: list[Event] = []
        self._choice.left(events)
        return events

    def end(self) -> list[Event]:
        if self._skipped:
            log.warning("%s sent %d lines that make no sense; they were skipped", self._label, self._skipped)
        if self._error:
            raise self._error
        if not self.done:
            raise ProviderError(self._broken)
        events: list[Event] = []
        self._choice.end(events)
        return events

    def _say(self, message: _Message, logprobs: list[Any] | None, events: list[Event]) -> None:
        if message.thinking:
            self._choice.think(message.thinking, events)
        if message.content:
            if logprobs:
                events.append(Extra(of_choice={"logprobs": {"content": logprobs, "refusal": None}}))
            self._choice.say(message.content, events)
        if message.tool_calls:
            self._choice.call(message.tool_calls, events)

    def _close(self, line: _Line, events: list[Event]) -> None:
        self.done = True
        self._choice.finish = finish_reason(line.done_reason or "stop")
        prompt, completion = line.prompt_eval_count, line.eval_count
        if prompt is not None and completion is not None:
            events.append(Used(Usage(prompt, completion, prompt + completion)))
