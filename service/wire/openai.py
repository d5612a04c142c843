"""OpenAI's chat completions, and its older completions, on the wire.

Source: OpenAI's API reference, "The chat completion chunk object", "The chat completion object", "The
completion object". Its name for thoughts is DeepSeek's, `reasoning_content`, which most servers and clients
share; `reasoning` is OpenRouter's and Ollama's.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from service.errors import ServiceError, Unavailable
from service.events import (
    Batch,
    Chosen,
    Content,
    Event,
    Extra,
    Failed,
    Finish,
    Finished,
    Reasoning,
    Resumable,
    Sources,
    ToolCalls,
    Unauthorized,
    Used,
)
from service.wire.answers import Answer, Answers
from service.wire.projection import cited, raised, reason, shown

CHOICES = 128
"""OpenAI's limit on `n`."""
UNFINISHED = reason(Finish("interrupted"))

_encode = msgspec.json.Encoder().encode
_NOTHING = Extra()


class _Token(Struct):
    token: str
    logprob: float
    top_logprobs: list["_Token"] = []


class _Logprobs(Struct):
    content: list[_Token]


class ChatChunks:
    """`data: <chat.completion.chunk>`, a chunk for each event that has a place in one, and `[DONE]`.

    What stands around a token is made once. What the vocabulary has no word for goes into the chunk of the
    event that follows, whichever batch brings it: the bytes depend on the log alone.
    """

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = {}
    heartbeat = b": ping\n\n"

    _prefix: ClassVar[str] = "chatcmpl"
    _object: ClassVar[str] = "chat.completion.chunk"

    def __init__(self, turn_id: str, created: int, model: str | None, include_usage: bool) -> None:
        identity = {"id": f"{self._prefix}-{turn_id}", "object": self._object, "created": created}
        self._of_chunk: dict[str, Any] = {**identity, "model": model or ""}
        self._counts = include_usage
        self._begun: dict[int, bool] = {}
        """The choices that have begun, and whether they go on."""
        self._around: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        """By field and choice, the chunk that is all but its text."""
        self._extra: Extra | None = None
        self._failed = False
        self._name({})

    def encode(self, events: Batch, first: int) -> bytes:
        pieces: list[bytes] = []
        for event in events:
            if type(event) is Content:
                text = shown(event) if event.urls else event.content
                pieces.append(self._text("content", event.choice, text))
            elif type(event) is Reasoning:
                if isinstance(event.token, str):
                    pieces.append(self._thought(event.choice, event.token))
            else:
                pieces += self._told(event)
        return b"".join(pieces)

    def aside(self, event: Event) -> bytes:
        if not isinstance(event, Resumable):
            return b""
        path = f"/backend-api/v2/turns/{event.resume}"
        return self._failure(
            Unavailable(f"The service is being restarted. The answer goes on at GET {path}.")
        )

    def end(self) -> bytes:
        return b"" if self._failed else self._left() + b"data: [DONE]\n\n"

    def _told(self, event: Event) -> Iterable[bytes]:
        match event:
            case ToolCalls():
                yield self._called(event)
            case Finished():
                yield self._said(event.choice, {}, reason(event.finish))
            case Extra():
                yield self._left()
                self._keep(event)
            case Sources():
                yield self._left()
                self._keep(cited(event))
            case Chosen():
                self._name({"model": event.provider.model or self._of_chunk["model"]})
            case Used():
                yield self._left()
                yield from [self._said(index, {}, UNFINISHED) for index in self._begun if self._begun[index]]
                yield self._usage(event) if self._counts else b""
            case Failed() | Unauthorized():
                yield self._left()
                yield self._failure(raised(event))
            case _:
                pass

    def _thought(self, choice: int, text: str) -> bytes:
        return self._text("reasoning_content", choice, text)

    def _called(self, event: ToolCalls) -> bytes:
        return self._said(event.choice, {"tool_calls": event.tool_calls})

    def _text(self, field: str, choice: int, text: str) -> bytes:
        """The next piece of a text."""
        if around := self._around.get((field, choice)):
            return b"%b%b%b" % (around[0], _encode(text), around[1])
        data = self._said(choice, {field: text})
        head, _, tail = self._chunk(choice, {field: ""}).rpartition(b'""')
        self._around[field, choice] = head, tail
        return data

    def _said(self, choice: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        """What an event says, with what was kept for it."""
        before = self._left() if self._extra and self._extra.choice != choice else b""
        before += self._opening(choice)
        data = self._chunk(choice, delta, self._extra or _NOTHING, finish)
        self._extra = None
        return before + data

    def _opening(self, choice: int) -> bytes:
        """The first chunk of a choice, which names the role alone, as OpenAI's does.

        No choice begins before the ones with a lower index: the SDK cannot read that.
        """
        if choice in self._begun:
            return b""
        earlier = [index for index in range(min(choice, CHOICES)) if index not in self._begun]
        return b"".join([self._chunk(index, {"role": "assistant"}) for index in [*earlier, choice]])

    def _left(self) -> bytes:
        """The chunk of what no event has come for."""
        return self._said(self._extra.choice, {}) if self._extra else b""

    def _keep(self, extra: Extra) -> None:
        if extra.of_chunk:
            self._name(extra.of_chunk)
        if extra.extra or extra.of_choice:
            self._extra = extra
            self._around.clear()

    def _name(self, of_chunk: dict[str, Any]) -> None:
        """What all further chunks have besides their choices."""
        self._of_chunk |= of_chunk
        self._head = b"data: " + _encode(self._of_chunk)[:-1] + b',"choices":'
        self._tail = b',"usage":null}\n\n' if self._counts else b"}\n\n"
        self._around.clear()

    def _chunk(
        self, index: int, delta: dict[str, Any], extra: Extra = _NOTHING, finish: str | None = None
    ) -> bytes:
        choice = self._choice(index, delta, extra)
        self._begun[index] = finish is None and self._begun.get(index, True)
        return b"%b[%b]%b" % (self._head, _encode(choice | {"finish_reason": finish}), self._tail)

    def _choice(self, index: int, delta: dict[str, Any], extra: Extra) -> dict[str, Any]:
        return {"index": index, "delta": {**delta, **extra.extra}, **extra.of_choice}

    def _usage(self, event: Used) -> bytes:
        recorded = b"" if event.recorded else b',"recorded":false'
        return b'%b[],"usage":%b%b}\n\n' % (self._head, _encode(event.usage), recorded)

    def _failure(self, error: ServiceError) -> bytes:
        self._failed = True
        return b"data: %b\n\n" % _encode(error.body())


class TextChunks(ChatChunks):
    """The older interface: text and nothing else, in `data: <text_completion>`."""

    _prefix, _object = "cmpl", "text_completion"

    def __init__(self, turn_id: str, created: int, model: str | None, include_usage: bool) -> None:
        super().__init__(turn_id, created, model, include_usage)
        self._lengths: dict[int, int] = {}
        """By choice, the characters that log probabilities were told of."""

    def _thought(self, choice: int, text: str) -> bytes:
        return b""

    def _called(self, event: ToolCalls) -> bytes:
        return b""

    def _opening(self, choice: int) -> bytes:
        return b""

    def _choice(self, index: int, delta: dict[str, Any], extra: Extra) -> dict[str, Any]:
        begin = self._lengths.get(index, 0)
        fields = _columns(extra.of_choice, begin)
        if logprobs := fields["logprobs"]:
            self._lengths[index] = begin + len("".join(logprobs["tokens"]))
        return {"text": delta.get("content", ""), "index": index, **fields}


def completion(events: Sequence[Event], *, turn_id: str, created: int, model: str | None) -> dict[str, Any]:
    """A log that has not failed, as the chat.completion of a request that does not stream."""
    answers = Answers(events, model)
    choices = [
        {"index": index, "message": _message(answer), "finish_reason": _finish(answer), **answer.of_choice}
        for index, answer in answers
    ]
    return _whole(f"chatcmpl-{turn_id}", "chat.completion", created, answers, choices)


def text_completion(
    events: Sequence[Event], *, turn_id: str, created: int, model: str | None
) -> dict[str, Any]:
    """The same as the older interface's text_completion."""
    answers = Answers(events, model)
    choices = [
        {"text": answer.text or "", "index": index, "finish_reason": _finish(answer)}
        | _columns(answer.of_choice)
        for index, answer in answers
    ]
    return _whole(f"cmpl-{turn_id}", "text_completion", created, answers, choices)


def _columns(of_choice: dict[str, Any], begin: int = 0) -> dict[str, Any]:
    """A choice's fields with its log probabilities as the older interface has them, in columns.

    `begin` is where the first token stands in the answer, in characters.
    """
    rows = _rows(of_choice.get("logprobs"))
    tokens = [row.token for row in rows]
    columns = {
        "tokens": tokens,
        "token_logprobs": [row.logprob for row in rows],
        "top_logprobs": [{top.token: top.logprob for top in row.top_logprobs} for row in rows],
        "text_offset": list(accumulate(map(len, tokens[:-1]), initial=begin)),
    }
    return {**of_choice, "logprobs": columns if rows else None}


def _rows(logprobs: object) -> list[_Token]:
    with suppress(msgspec.ValidationError):  # an upstream may have its own idea of them
        return msgspec.convert(logprobs, _Logprobs).content
    return []


def _message(answer: Answer) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.text}
    thoughts = {"reasoning_content": answer.thoughts} if answer.thoughts is not None else {}
    calls = {"tool_calls": answer.calls} if answer.calls else {}
    return {**message, **thoughts, **calls, **answer.extra}


def _finish(answer: Answer) -> str:
    return reason(answer.finish) if answer.finish else UNFINISHED


def _whole(
    id: str, kind: str, created: int, answers: Answers, choices: list[dict[str, Any]]
) -> dict[str, Any]:
    identity = {"id": id, "object": kind, "created": created, "model": answers.model}
    used = {"usage": answers.used.usage} if answers.used else {}
    recorded = {"recorded": False} if answers.used and not answers.used.recorded else {}
    return {**identity, "choices": choices, **used, **recorded, **answers.of_chunk}
