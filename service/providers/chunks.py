"""OpenAI's chat.completion chunks -> events; what a provider calls its numbers is translated here.

Source: OpenAI's API reference, "The chat completion chunk object"; `reasoning_content` is DeepSeek's,
`reasoning` OpenRouter's and Ollama's.
"""

import logging
from collections.abc import Callable

import msgspec
from msgspec import Struct

from service.errors import ContextTooLong, ProviderAuth, ProviderError, RateLimited, ServiceError
from service.events import (
    CompletionDetails,
    Content,
    Event,
    Finish,
    Finished,
    PromptDetails,
    Reasoning,
    ToolCall,
    ToolCalls,
    Usage,
    Used,
)

log = logging.getLogger(__name__)


class _Delta(Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None


class _Choice(Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    """In place of `delta` where the upstream did not stream."""
    finish_reason: str | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class UpstreamError(Struct):
    """An error as upstreams write it, in a body or in the middle of a stream."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = None
    error: UpstreamError | str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Chunks:
    """Reads the chunks of one answer.

    `chosen` makes the event that names another model than was `asked`; `broken` says that the answer is cut.
    """

    def __init__(self, label: str, asked: str | None, chosen: Callable[[str], Event], broken: str) -> None:
        self._label, self._asked, self._chosen, self._broken = label, asked, chosen, broken
        self._named = False
        self._thinking = False
        self._finish: str | None = None
        self._skipped = 0
        self._error: ServiceError | None = None
        self.done = False
        """The upstream said that nothing follows."""

    def events(self, payloads: list[bytes]) -> list[Event]:
        """The events of these payloads; a payload that is no chunk is skipped."""
        events: list[Event] = []
        for payload in payloads:
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                chunk = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._skipped += 1
                continue
            if chunk.error is not None:
                self._error, self.done = translated(chunk.error, self._label), True
                break
            self._translate(chunk, events)
        return events

    def end(self) -> list[Event]:
        """What is left to say when the stream is over; raises `ServiceError` if it failed or broke off."""
        if self._skipped:
            log.warning("%s sent %d lines that are no chunks; they were skipped", self._label, self._skipped)
        if self._error:
            raise self._error
        if self._finish is None and not self.done:
            raise ProviderError(self._broken)
        return [*self._thought(), Finished(Finish(self._finish or "stop"))]

    def _translate(self, chunk: _Chunk, events: list[Event]) -> None:
        if chunk.model and not self._named:
            self._named = True
            if chunk.model != self._asked:
                events.append(self._chosen(chunk.model))
        for choice in chunk.choices:
            if delta := choice.delta or choice.message:
                self._say(delta, events)
            if choice.finish_reason is not None:
                self._finish = choice.finish_reason
        if chunk.usage is not None:
            events.append(_used(chunk.usage))

    def _say(self, delta: _Delta, events: list[Event]) -> None:
        if thought := delta.reasoning_content or delta.reasoning:
            self._thinking = True
            events.append(Reasoning(token=thought))
        if delta.content:
            events += self._thought()
            events.append(Content(delta.content))
        if delta.tool_calls:
            events += self._thought()
            events.append(ToolCalls(delta.tool_calls))

    def _thought(self) -> list[Event]:
        """Closes the thoughts, if there were any."""
        if not self._thinking:
            return []
        self._thinking = False
        return [Reasoning(token=None, status="")]


def _used(usage: _Usage) -> Used:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return Used(
        Usage(
            prompt,
            completion,
            prompt + completion,
            usage.prompt_tokens_details,
            usage.completion_tokens_details,
        )
    )


def translated(error: UpstreamError | str, label: str, status: int | None = None) -> ServiceError:
    """What an upstream complains of, as one of ours; `status` is that of its response, if it had one."""
    if isinstance(error, str):
        error = UpstreamError(error)
    if error.n_prompt_tokens and error.n_ctx:  # llama.cpp's exceed_context_size_error
        return ContextTooLong(error.n_prompt_tokens, error.n_ctx)
    code = status or (error.code if isinstance(error.code, int) else None)
    said = f"{label} answered" + (f" {code}" if code else "") + f": {_sentence(error.message)}"
    if code in {401, 403}:
        return ProviderAuth(said)
    if code == 429:
        return RateLimited(said)
    return ProviderError(said)


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:300] + "…" if len(text) > 300 else text or "no reason given."
