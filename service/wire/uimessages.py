"""The UI message stream of Vercel's AI SDK, which `useChat` reads: version 1, that of its releases 5 to 7.

Source: AI SDK, "Stream Protocols", "UI Message Stream Protocol", and the schema `uiMessageChunkSchema`.
"""

from collections.abc import Iterator, Mapping

import msgspec

from service.events import (
    Batch,
    Begun,
    Content,
    Event,
    Extra,
    Failed,
    Finished,
    Reasoning,
    Resumable,
    Sources,
    ToolCalls,
    Unauthorized,
    Used,
)
from service.wire.projection import EARLY
from service.wire.uiparts import (
    Calls,
    Part,
    UIMessage,
    data,
    documents,
    files,
    metadata,
    refusal,
    retold,
    sources,
)

FINISH_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}
RESTARTING = "The service is being restarted. Resume in a moment."

_encode = msgspec.json.Encoder().encode


class MessageParts:
    """`data: <part>` for each step in which a message grows, and `[DONE]`; the bytes depend on the log alone.

    A message that is `continued`, for the client has run the tools that it called, keeps its id. Whoever
    resumes builds it anew: `retell` begins with what it had before.
    """

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = {"X-Vercel-AI-UI-Message-Stream": "v1"}
    heartbeat = b": ping\n\n"

    def __init__(self, turn_id: str, continued: UIMessage | None = None, *, retell: bool = False) -> None:
        self._turn_id, self._continued, self._retell = turn_id, continued, retell
        self._open: str | None = None
        """The kind of the part that grows, text or reasoning."""
        self._count = 0
        """Of such parts; the last one has it as its id."""
        self._head = b""
        """The next piece of the part that grows, up to its text."""
        self._cited = 0
        self._calls = Calls(turn_id)
        self._reason: str | None = None
        self._over = False

    def encode(self, events: Batch, first: int) -> bytes:
        pieces: list[bytes] = []
        for event in events:
            if type(event) is Content and self._open == "text" and _plain(event):  # most events are
                pieces.append(b"%b%b}\n\n" % (self._head, _encode(event.content)))
            else:
                pieces += map(_framed, self._told(event))
        return b"".join(pieces)

    def aside(self, event: Event) -> bytes:
        return b"".join(map(_framed, self._failed(RESTARTING))) if isinstance(event, Resumable) else b""

    def end(self) -> bytes:
        rest = () if self._over else self._finished({})
        return b"".join(map(_framed, rest)) + b"data: [DONE]\n\n"

    def _told(self, event: Event) -> Iterator[Part]:
        match event:
            case Content(choice=0):
                yield from self._said(event)
            case Reasoning(choice=0):
                yield from self._thought(event)
            case ToolCalls(choice=0):
                yield from self._closed()
                yield from self._calls.told(event.tool_calls)
            case Extra(choice=0):
                yield from self._told_beside(event)
            case Sources():
                yield from self._read(event)
            case Begun():
                yield from self._begun()
            case Finished(choice=0):
                yield from self._stopped(event.finish.reason)
            case Used():
                yield from self._finished(metadata(event))
            case Failed() | Unauthorized():
                yield from self._failed(event.message)
            case _:
                yield from data(event)

    def _begun(self) -> Iterator[Part]:
        message = self._continued or UIMessage(id=f"msg_{self._turn_id}", role="assistant")
        known = message.metadata if self._retell and isinstance(message.metadata, dict) else {}
        yield {
            "type": "start",
            "messageId": message.id,
            "messageMetadata": {**known, "turn": self._turn_id},
        }
        if self._retell:
            yield from retold(message.parts)
        yield {"type": "start-step"}

    def _said(self, event: Content) -> Iterator[Part]:
        if event.urls or event.data:
            yield from self._closed()
            yield from files(event)  # the text is the same as HTML
        elif event.content:
            yield from self._grown("text", event.content)

    def _thought(self, event: Reasoning) -> Iterator[Part]:
        if isinstance(event.token, str) and event.token:
            yield from self._grown("reasoning", event.token)
        if isinstance(event.signature, str):
            yield from () if self._open == "reasoning" else self._opened("reasoning")
            yield from self._closed({"signature": event.signature})
        if isinstance(event.redacted, str):
            yield from self._opened("reasoning")
            yield from self._closed({"redacted": event.redacted})
        if event.token is None and self._open == "reasoning":
            yield from self._closed()

    def _told_beside(self, event: Extra) -> Iterator[Part]:
        if text := refusal(event):
            yield from self._grown("text", text)
        for source in sources(event):
            self._cited += 1
            yield {"type": "source-url", "sourceId": f"source_{self._cited}", **source}

    def _read(self, event: Sources) -> Iterator[Part]:
        for document in documents(event):
            self._cited += 1
            yield {"type": "source-document", "sourceId": f"source_{self._cited}", **document}

    def _grown(self, kind: str, text: str) -> Iterator[Part]:
        if self._open != kind:
            yield from self._opened(kind)
        yield {"type": f"{kind}-delta", "id": str(self._count), "delta": text}

    def _opened(self, kind: str) -> Iterator[Part]:
        yield from self._closed()
        self._open = kind
        self._count += 1
        self._head = b'data: {"type":"%b-delta","id":"%d","delta":' % (kind.encode(), self._count)
        yield {"type": f"{kind}-start", "id": str(self._count)}

    def _closed(self, seal: Mapping[str, str] | None = None) -> Iterator[Part]:
        """The end of the part that grows; a seal comes back with the message's next turn."""
        if self._open:
            sealed = {"providerMetadata": {"causerie": seal}} if seal else {}
            yield {"type": f"{self._open}-end", "id": str(self._count), **sealed}
            self._open = None

    def _stopped(self, reason: str) -> Iterator[Part]:
        """Nothing grows any more; a tool that was called in an answer that was cut off must not run."""
        if self._reason is None:
            self._reason = reason
            yield from self._closed()
            yield from self._calls.ended(complete=reason not in EARLY)
            yield {"type": "finish-step"}

    def _finished(self, about: Mapping[str, object]) -> Iterator[Part]:
        self._over = True
        yield from self._stopped("interrupted")
        told = {"messageMetadata": about} if about else {}
        if self._reason in EARLY:
            if about:
                yield {"type": "message-metadata", **told}
            yield {"type": "abort", "reason": self._reason}
        else:
            yield {"type": "finish", "finishReason": FINISH_REASONS.get(self._reason or "", "other"), **told}

    def _failed(self, message: str) -> Iterator[Part]:
        self._over = True
        yield from self._closed()
        yield from self._calls.ended(complete=False)
        yield {"type": "error", "errorText": message}


def _plain(event: Content) -> bool:
    """Whether it is text, and nothing else."""
    return bool(event.content) and not (event.choice or event.urls or event.data)


def _framed(part: Part) -> bytes:
    return b"data: %b\n\n" % _encode(part)
