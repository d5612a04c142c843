"""What the scripted upstream says at each of its paths: in OpenAI's, Anthropic's or Ollama's words.

A dialect turns what a step says into bytes of a stream, and keeps it for a request that wants it whole.
"""

import json
import time
from typing import Any

from tests.request import Json, Request

REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
ERRORS = {"invalid_api_key": "authentication_error", "model_not_found": "not_found_error"}
"""Anthropic's words for what OpenAI says."""


def failure(message: str, code: str | None = None) -> Json:
    """An error as OpenAI writes it."""
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


class Chat:
    """OpenAI's chat completions, and the shape of all dialects."""

    content_type = "text/event-stream"
    streams_by_default = False
    kind = "chat.completion"

    def __init__(self, request: Request) -> None:
        self.request = request
        self.streams = bool((request.body or {}).get("stream", self.streams_by_default))
        self.begun = False
        self.message: Json = {"role": "assistant", "content": None}
        self.reason = "stop"
        self.said: tuple[int | None, int | None] = (None, None)

    def say(self, text: str) -> bytes:
        return self._delta({"content": text})

    def think(self, text: str, field: str) -> bytes:
        return self._delta({field: text})

    def seal(self, signature: str) -> bytes:
        """The signature of the thoughts so far, where the dialect has one."""
        return b""

    def redact(self, data: str) -> bytes:
        """A thought that nobody can read, where the dialect has such."""
        return b""

    def call(self, name: str | None, arguments: str, call_id: str | None, index: int) -> bytes:
        head = {"id": call_id, "type": "function"} if call_id else {}
        function = {"name": name} if name else {}
        return self._delta(
            {"tool_calls": [{"index": index, **head, "function": {**function, "arguments": arguments}}]}
        )

    def finish(self, reason: str) -> bytes:
        self.reason = reason
        return self.event(self._chunk({"delta": {}, "finish_reason": reason}))

    def count(self, prompt: int | None, completion: int | None) -> bytes:
        """The bill, if `stream_options.include_usage` asks for it, or if its numbers are given."""
        self.said = (prompt, completion)
        asked = (self.request.body.get("stream_options") or {}).get("include_usage")
        given = self.said != (None, None)
        return self.event({**self._chunk(), "usage": self.usage()}) if asked or given else b""

    def done(self) -> bytes:
        return b"data: [DONE]\n\n"

    def event(self, payload: object) -> bytes:
        return b"data: %b\n\n" % encoded(payload)

    def failure(self, message: str, code: str | None = None) -> Json:
        return failure(message, code)

    def whole(self) -> Json:
        choice = {"message": self.message, "finish_reason": self.reason}
        return {**self._chunk(choice, kind=self.kind), "usage": self.usage()}

    def usage(self) -> Json:
        prompt, completion = self.numbers()
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def numbers(self) -> tuple[int, int]:
        """Those that were given, else those that are billed."""
        prompt, completion = self.said
        return (
            self.request.words if prompt is None else prompt,
            self.request.completion_tokens if completion is None else completion,
        )

    def _delta(self, delta: Json) -> bytes:
        role = {} if self.begun else {"role": "assistant"}
        self.begun = True
        for name, said in delta.items():
            self.message[name] = (self.message.get(name) or type(said)()) + said
        return self.event(self._chunk({"delta": role | delta, "finish_reason": None}))

    def _chunk(self, *choices: Json, kind: str = "chat.completion.chunk") -> Json:
        identity = {"id": f"chatcmpl-{id(self.request)}", "object": kind, "created": int(time.time())}
        indexed = [{"index": index, **choice} for index, choice in enumerate(choices)]
        return {**identity, "model": self.request.body["model"], "choices": indexed}


class Text(Chat):
    """OpenAI's older completions: nothing but text."""

    kind = "text_completion"

    def say(self, text: str) -> bytes:
        self.message["content"] = (self.message["content"] or "") + text
        return self.event(self._chunk({"text": text, "finish_reason": None}, kind=self.kind))

    def finish(self, reason: str) -> bytes:
        self.reason = reason
        return self.event(self._chunk({"text": "", "finish_reason": reason}, kind=self.kind))

    def whole(self) -> Json:
        choice = {"text": self.message["content"] or "", "finish_reason": self.reason}
        return {**self._chunk(choice, kind=self.kind), "usage": self.usage()}


class Messages(Chat):
    """Anthropic's messages: blocks that open, grow and close; the count comes with the reason to stop."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.blocks: list[Json] = []
        self.arguments: dict[int, str] = {}  # of calls, by their blocks
        self.is_open = False
        self.closing = False

    def say(self, text: str) -> bytes:
        return self._grown("text", {"text": ""}, {"type": "text_delta", "text": text})

    def think(self, text: str, field: str) -> bytes:
        block = {"thinking": "", "signature": ""}
        return self._grown("thinking", block, {"type": "thinking_delta", "thinking": text})

    def seal(self, signature: str) -> bytes:
        self.blocks[-1]["signature"] = signature
        return self._grow({"type": "signature_delta", "signature": signature})

    def redact(self, data: str) -> bytes:
        return self._opened({"type": "redacted_thinking", "data": data}) + self._closed()

    def call(self, name: str | None, arguments: str, call_id: str | None, index: int) -> bytes:
        block: Json = {
            "type": "tool_use",
            "id": call_id or f"toolu_{len(self.blocks)}",
            "name": name,
            "input": {},
        }
        head = self._opened(block) if name or call_id else b""
        if not arguments:
            return head
        at = len(self.blocks) - 1
        self.arguments[at] = self.arguments.get(at, "") + arguments
        return head + self._grow({"type": "input_json_delta", "partial_json": arguments})

    def finish(self, reason: str) -> bytes:
        self.reason = REASONS.get(reason, reason)
        self.closing = True
        return self._closed()

    def count(self, prompt: int | None, completion: int | None) -> bytes:
        self.said = (prompt, completion)
        self.closing = False
        delta = {"stop_reason": REASONS.get(self.reason, self.reason), "stop_sequence": None}
        return self.event({"type": "message_delta", "delta": delta, "usage": self.usage()})

    def done(self) -> bytes:
        last = self.count(*self.said) if self.closing else self._closed()
        return last + self.event({"type": "message_stop"})

    def event(self, payload: object) -> bytes:
        kind = payload.get("type", "") if isinstance(payload, dict) else ""
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), encoded(payload))

    def failure(self, message: str, code: str | None = None) -> Json:
        kind = ERRORS.get(code or "", code or "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}

    def usage(self) -> Json:
        prompt, completion = self.numbers()
        return {"input_tokens": prompt, "output_tokens": completion}

    def whole(self) -> Json:
        for at, arguments in self.arguments.items():
            self.blocks[at]["input"] = json.loads(arguments)
        reason = REASONS.get(self.reason, self.reason)
        return {**self._message(), "content": self.blocks, "stop_reason": reason, "usage": self.usage()}

    def _message(self) -> Json:
        identity = {"id": f"msg_{id(self.request)}", "type": "message", "role": "assistant"}
        return {**identity, "model": self.request.body["model"], "content": [], "stop_reason": None}

    def _started(self) -> bytes:
        if self.begun:
            return b""
        self.begun = True
        usage = {"input_tokens": self.request.words, "output_tokens": 1}
        return self.event({"type": "message_start", "message": {**self._message(), "usage": usage}})

    def _opened(self, block: Json) -> bytes:
        before = self._started() + self._closed()
        self.is_open = True
        self.blocks.append(block)
        start = {"type": "content_block_start", "index": len(self.blocks) - 1, "content_block": block}
        return before + self.event(start)

    def _closed(self) -> bytes:
        if not self.is_open:
            return b""
        self.is_open = False
        return self.event({"type": "content_block_stop", "index": len(self.blocks) - 1})

    def _grown(self, kind: str, block: Json, delta: Json) -> bytes:
        goes_on = self.is_open and self.blocks[-1]["type"] == kind
        head = b"" if goes_on else self._opened({"type": kind, **block})
        self.blocks[-1][kind] += delta[kind]
        return head + self._grow(delta)

    def _grow(self, delta: Json) -> bytes:
        return self.event({"type": "content_block_delta", "index": len(self.blocks) - 1, "delta": delta})


class Lines(Chat):
    """Ollama's chat: a line of JSON for each piece, calls whole, the last line with the counts."""

    content_type = "application/x-ndjson"
    streams_by_default = True

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.calls: list[list[str]] = []

    def say(self, text: str) -> bytes:
        return self._line({"content": text})

    def think(self, text: str, field: str) -> bytes:
        return self._line({"content": "", "thinking": text})

    def call(self, name: str | None, arguments: str, call_id: str | None, index: int) -> bytes:
        """Kept until it is whole."""
        if name or call_id:
            self.calls.append([name or "", arguments])
        else:
            self.calls[-1][1] += arguments
        return b""

    def finish(self, reason: str) -> bytes:
        self.reason = "length" if reason == "length" else "stop"
        return self._called()

    def count(self, prompt: int | None, completion: int | None) -> bytes:
        self.said = (prompt, completion)
        return b""

    def done(self) -> bytes:
        return self._called() + self.event({**self._said({"content": ""}), **self._last()})

    def event(self, payload: object) -> bytes:
        return encoded(payload) + b"\n"

    def failure(self, message: str, code: str | None = None) -> Json:
        return {"error": message}

    def whole(self) -> Json:
        return {**self._said(self.message), **self._last()}

    def _line(self, message: Json) -> bytes:
        for name, said in message.items():
            self.message[name] = (self.message.get(name) or type(said)()) + said
        return self._called() + self.event({**self._said(message), "done": False})

    def _called(self) -> bytes:
        calls = [
            {"function": {"name": name, "arguments": json.loads(arguments or "{}")}}
            for name, arguments in self.calls
        ]
        self.calls = []
        return self._line({"content": "", "tool_calls": calls}) if calls else b""

    def _said(self, message: Json) -> Json:
        body = {"model": self.request.body["model"], "created_at": "2026-01-01T00:00:00Z"}
        return {**body, "message": {"role": "assistant", **message}}

    def _last(self) -> Json:
        prompt, completion = self.numbers()
        counts = {"prompt_eval_count": prompt, "eval_count": completion}
        return {"done": True, "done_reason": self.reason, **counts}


DIALECTS: dict[str, type[Chat]] = {
    "/v1/chat/completions": Chat,
    "/v1/completions": Text,
    "/v1/messages": Messages,
    "/api/chat": Lines,
}
"""By path; every other path speaks as OpenAI does."""


def dialect(request: Request) -> Chat:
    own = Messages if "anthropic-version" in request.headers else Chat
    return DIALECTS.get(request.path, own)(request)


def encoded(payload: Any) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()
