"""OpenAI's chat.completion chunks -> events, and what upstreams make of such chunks.

Decode, mend, tell: nearly every chunk is decoded into structs that know what chunks usually have; one that
has more, or has it otherwise, is read as a dict, and what the vocabulary has no word for goes out as an
`Extra`. Each answer of the stream is mended by a `Choice`.

Source: OpenAI's API reference, "The chat completion chunk object"; `reasoning_content` is DeepSeek's,
`reasoning` OpenRouter's and Ollama's.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from random import getrandbits
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import ProviderError, ServiceError
from service.events import Event, Extra, Finish, Finished, Usage, Used
from service.providers import odd
from service.providers.calls import CallDelta
from service.providers.dialects import counted, finish_reason
from service.providers.failures import translated
from service.providers.repair import Choice
from service.providers.surrogates import mended

log = logging.getLogger(__name__)

CHOICES = 128
"""OpenAI's limit on `n`."""
NO_NAMES = frozenset[str]()
PATIENCE = 64
"""For how many chunks at most nobody looks whether they have become usual again."""


class _Delta(Struct, gc=False, forbid_unknown_fields=True):
    """What is None here by its type makes a chunk odd where it is there."""

    role: Any = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: None = None
    refusal: None = None


class _Choice(Struct, gc=False, forbid_unknown_fields=True):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    """In place of `delta` where the upstream did not stream."""
    finish_reason: str | None = None
    logprobs: None = None
    native_finish_reason: None = None
    stop_reason: None = None
    matched_stop: None = None
    token_ids: None = None


class _Chunk(Struct, gc=False, forbid_unknown_fields=True):
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    model: str | None = None
    id: Any = None
    object: Any = None
    created: Any = None
    obfuscation: Any = None
    p: Any = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    provider: str | None = None
    error: None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Chunks:
    """Reads the chunks of one answer.

    `chosen` makes the event that names another model than was `asked`; `broken` says that the answer is cut.
    `tools` are those that the model was given, `n` is how many answers were asked for: some upstreams number
    their chunks where choices are numbered (Foundry Local #144).
    """

    def __init__(
        self,
        label: str,
        asked: str | None,
        chosen: Callable[[str], Event],
        broken: str,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        n: int = CHOICES,
    ) -> None:
        self._label, self._asked, self._chosen, self._broken = label, asked, chosen, broken
        self._tools, self._n = _names(tools) if tools else NO_NAMES, n
        self._seed = f"{getrandbits(64):016x}"
        self._named = False
        self._choices: dict[int, Choice] = {}
        self._used: Usage | None = None
        self._told: dict[str, Any] = {}
        self._fingerprint: str | None = None
        self._tier: str | None = None
        self._provider: str | None = None
        self._odd = 0
        """How many chunks are still taken for odd ones without a look."""
        self._patience = 1
        self._skipped = 0
        self._error: ServiceError | None = None
        self.done = False
        """The upstream said that nothing follows."""

    def events(self, payloads: list[bytes]) -> list[Event]:
        """The events of these payloads; a payload that is no chunk is skipped."""
        events: list[Event] = []
        for payload in payloads:
            if self._odd:
                self._odd -= 1
                self._take_odd(payload, events)
            else:
                try:
                    self._take(_decode(payload), events)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    self._odd, self._patience = self._patience, min(self._patience * 2, PATIENCE)
                    self._take_odd(payload, events)
            if self.done:
                break
        if self._error:
            events += self.left()
        return events

    def left(self) -> list[Event]:
        """What is withheld, as the text that it is: for a stream that has broken off."""
        events: list[Event] = []
        for choice in self._choices.values():
            choice.left(events)
        return events

    def end(self) -> list[Event]:
        """What is left to say when the stream is over; raises `ServiceError` if it failed or broke off."""
        events: list[Event] = []
        if self._error is None and self._is_whole():
            for _, choice in sorted(self._choices.items()):
                choice.end(events)
            events = events or [Finished(Finish("stop"))]
        self._warn()
        if not events:
            raise self._error or ProviderError(self._broken)
        return events

    def _is_whole(self) -> bool:
        """Whether nothing is missing at the stream's end: some say so, others give each answer a reason."""
        finished = bool(self._choices) and all(choice.finish for choice in self._choices.values())
        return self.done or finished

    def _take(self, chunk: _Chunk, events: list[Event]) -> None:
        """A chunk like most."""
        if not self._named and chunk.model:
            self._name(chunk.model, events)
        if (
            chunk.system_fingerprint != self._fingerprint
            or chunk.service_tier != self._tier
            or chunk.provider != self._provider
        ):
            self._tell_of(chunk, events)
        for found in chunk.choices:
            choice = self._choices.get(found.index) or self._begun(found.index)
            delta = found.delta or found.message
            if delta is not None:
                if thought := delta.reasoning_content or delta.reasoning:
                    choice.think(thought, events)
                if delta.content:
                    choice.say(delta.content, events)
                if delta.tool_calls:
                    choice.call(delta.tool_calls, events)
            if found.finish_reason:
                self._finish(choice, found.finish_reason)
        if chunk.usage:
            self._count(chunk.usage, events)

    def _tell_of(self, chunk: _Chunk, events: list[Event]) -> None:
        self._fingerprint, self._tier = chunk.system_fingerprint, chunk.service_tier
        self._provider = chunk.provider
        told = {
            "system_fingerprint": self._fingerprint,
            "service_tier": self._tier,
            "provider": self._provider,
        }
        _tell(Extra(of_chunk=self._news(told)), events)

    def _take_odd(self, payload: bytes, events: list[Event]) -> None:
        """Any other chunk, and whatever else there may be."""
        if payload == b"[DONE]":
            self.done = True
            return
        try:
            found, careful = odd.decoded(payload)
            if isinstance(found, dict):
                self._take_dict(found, mended if careful else _as_it_is, events)
            else:
                self._skip(payload)
        except (ValueError, RecursionError):
            self._skip(payload)

    def _take_dict(self, chunk: dict[str, Any], mend: Callable[[Any], Any], events: list[Event]) -> None:
        if not self._named and isinstance(model := chunk.get("model"), str) and model:
            self._name(mend(model), events)
        error = odd.failure(chunk)
        news = {} if error else self._news(mend(odd.of_chunk(chunk)))
        for found in odd.choices(chunk):
            choice = self._choices.get(found.index) or self._begun(found.index)
            if mend is mended:
                choice.careful()
            _tell(Extra(mend(found.extra), mend(found.of_choice), news, choice.index), events)
            news = {}
            self._say(choice, found, events)
        _tell(Extra(of_chunk=news), events)
        for usage in odd.usages(chunk):
            self._count(usage, events)
        if error:
            self._fail(translated(error, self._label))

    def _say(self, choice: Choice, found: odd.OddChoice, events: list[Event]) -> None:
        if found.thought:
            choice.think(found.thought, events)
        if found.text:
            choice.say(found.text, events)
        if found.urls:
            choice.show(found.urls, events)
        if found.calls:
            choice.call(found.calls, events)
        choice.stop_sequence = choice.stop_sequence or found.stop_sequence
        if found.finish:
            self._finish(choice, found.finish)

    def _begun(self, index: int) -> Choice:
        index = index if 0 <= index < self._n else 0
        if index not in self._choices:
            self._choices[index] = Choice(index, self._tools, self._seed)
        return self._choices[index]

    def _name(self, model: str, events: list[Event]) -> None:
        self._named = True
        if model != self._asked:
            events.append(self._chosen(model))

    def _finish(self, choice: Choice, dialect: str) -> None:
        reason = finish_reason(dialect)
        if reason == "error":
            self._fail(ProviderError(f"{self._label} could not go on with its answer. Try again."))
        choice.finish = reason

    def _fail(self, error: ServiceError) -> None:
        self._error, self.done = error, True

    def _count(self, usage: dict[str, Any], events: list[Event]) -> None:
        """Told whenever it changes: a stream that is stopped has been counted up to there."""
        used = counted(usage, self._used)
        if used and used != self._used:
            self._used = used
            events.append(Used(used))

    def _news(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What was not told yet."""
        news = {
            name: value
            for name, value in values.items()
            if value is not None and self._told.get(name) != value
        }
        self._told |= news
        return news

    def _skip(self, payload: bytes) -> None:
        if payload.strip(b' \t\r\n"') == b"[DONE]":
            self.done = True
        elif payload.strip():
            self._skipped += 1

    def _warn(self) -> None:
        if self._skipped:
            log.warning("%s sent %d lines that are no chunks; they were skipped", self._label, self._skipped)
        halves = sum(choice.halves.dropped for choice in self._choices.values() if choice.halves)
        if halves:
            log.warning("%s sent %d halves of characters; they were dropped", self._label, halves)


def _tell(extra: Extra, events: list[Event]) -> None:
    if extra.extra or extra.of_choice or extra.of_chunk:
        events.append(extra)


def _names(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The names by which tools are called."""
    functions = [tool.get("function", tool) for tool in tools]
    names = [function.get("name") for function in functions if isinstance(function, Mapping)]
    return frozenset(name for name in names if isinstance(name, str))


def _as_it_is(value: Any) -> Any:
    return value
