"""The upstream of all tests: OpenAI-compatible, on a real socket, doing to each request what its script says.

A script is a sequence of steps: `Say("Hel"), Gate(event), Say("lo"), Reset()`. The head of the answer goes
out with the first step that says something; a script that runs out ends the answer properly.
Each `Say`, `Reason` and `ToolCall` costs a token, and so does each word of the prompt.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, Self

Json = dict[str, Any]
P = ParamSpec("P")
Step = Callable[["Answer"], Awaitable[None]]


@dataclass
class Request:
    """What was asked, and what became of it; names of headers in lower case, times on the loop's clock."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float
    aborted_at: float | None = None  # the client left before the end
    prompt_tokens: int = 0  # what is billed: nothing where nothing was generated
    completion_tokens: int = 0

    def charge(self, completion_tokens: int = 0) -> None:
        messages = (self.body or {}).get("messages", [])
        self.prompt_tokens = sum(len(str(message.get("content")).split()) for message in messages)
        self.completion_tokens += completion_tokens


class Answer:
    """One answer on its way: what steps act upon."""

    def __init__(self, request: Request, writer: asyncio.StreamWriter, whole: Json | None = None) -> None:
        self.complete = False  # all was said: who leaves now has not aborted
        self.over = False  # nothing more can be said
        self.keep = True  # the connection, afterwards
        self.request, self.writer, self.whole = request, writer, whole
        self.streams = bool((request.body or {}).get("stream"))
        self.started, self.split = False, 0
        self.headers = {"Content-Type": "text/event-stream" if self.streams else "application/json"}
        self.message: Json = {"role": "assistant", "content": None}
        self.finish_reason = "stop"
        self.usage: Json | None = None

    async def play(self, script: Sequence[Step]) -> None:
        with suppress(ConnectionError):
            for step in script:
                await step(self)
                if self.over:
                    return
            await self.end()

    async def token(self, delta: Json) -> None:
        role = {} if self.started else {"role": "assistant"}
        await self.event(self.chunk({"delta": role | delta, "finish_reason": None}))
        self.request.charge(1)
        for name, said in delta.items():
            self.message[name] = (self.message.get(name) or type(said)()) + said

    def chunk(self, *choices: Json, kind: str = "chat.completion.chunk") -> Json:
        identity = {"id": f"chatcmpl-{id(self.request)}", "object": kind, "created": int(time.time())}
        indexed = [{"index": index, **choice} for index, choice in enumerate(choices)]
        return {**identity, "model": self.request.body["model"], "choices": indexed}

    async def event(self, payload: object) -> None:
        if self.streams:
            await self.write(b"data: %b\n\n" % json.dumps(payload, ensure_ascii=False).encode())

    async def write(self, data: bytes) -> None:
        """Sends the head, if it is still to come, and data in chunked framing."""
        if not self.started:
            self.start("200 OK", "Transfer-Encoding: chunked")
            self.request.charge()
        size = self.split or len(data)
        for piece in (data[at : at + size] for at in range(0, len(data), size or 1)):
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.writer.drain()
            if self.split:
                await self.apart()

    async def apart(self) -> None:
        """Turns of the loop, in which a client in the same process reads what was sent so far."""
        for _ in range(4):
            await asyncio.sleep(0)

    def start(self, status: str, framing: str) -> None:
        self.started = True
        lines = [f"HTTP/1.1 {status}", framing, *(f"{name}: {value}" for name, value in self.headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def reply(self, code: int, body: Json | bytes) -> None:
        if isinstance(body, bytes):
            content = body
        else:
            content = json.dumps(body, ensure_ascii=False).encode()
            self.headers["Content-Type"] = "application/json"
        self.start(f"{code} {HTTPStatus(code).phrase}", f"Content-Length: {len(content)}")
        self.writer.write(content)
        self.over = True

    async def end(self) -> None:
        if self.streams or self.started:
            await self.write(b"")
            self.writer.write(b"0\r\n\r\n")
            self.over = True
        elif self.whole:
            await self.reply(200, self.whole)
        else:
            if self.usage is None:
                await Usage()(self)
            choice = {"message": self.message, "finish_reason": self.finish_reason}
            await self.reply(200, {**self.chunk(choice, kind="chat.completion"), "usage": self.usage})


def step(function: Callable[Concatenate[Answer, P], Awaitable[None]]) -> Callable[P, Step]:
    """Makes steps: calling the function by name keeps its arguments, and the answer comes later."""

    def made(*args: P.args, **kwargs: P.kwargs) -> Step:
        return lambda answer: function(answer, *args, **kwargs)

    return made


@step
async def Say(answer: Answer, text: str) -> None:
    await answer.token({"content": text})


@step
async def Reason(answer: Answer, text: str, field: str = "reasoning_content") -> None:
    await answer.token({field: text})


@step
async def ToolCall(
    answer: Answer, name: str | None = None, arguments: str = "", call_id: str | None = None, index: int = 0
) -> None:
    """A call or, without name and call_id, the next piece of its arguments (joined by clients only)."""
    head = {"id": call_id, "type": "function"} if call_id else {}
    function = {"name": name} if name else {}
    await answer.token(
        {"tool_calls": [{"index": index, **head, "function": {**function, "arguments": arguments}}]}
    )


@step
async def Finish(answer: Answer, reason: str = "stop") -> None:
    answer.finish_reason = reason
    await answer.event(answer.chunk({"delta": {}, "finish_reason": reason}))


@step
async def Usage(
    answer: Answer, prompt_tokens: int | None = None, completion_tokens: int | None = None
) -> None:
    """The bill, if `stream_options.include_usage` asks for it; a number of one's own is said in any case."""
    request = answer.request
    prompt = request.prompt_tokens if prompt_tokens is None else prompt_tokens
    completion = request.completion_tokens if completion_tokens is None else completion_tokens
    total = prompt + completion
    answer.usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    asked = (request.body.get("stream_options") or {}).get("include_usage")
    if asked or (prompt_tokens, completion_tokens) != (None, None):
        await answer.event({**answer.chunk(), "usage": answer.usage})


@step
async def Done(answer: Answer) -> None:
    """[DONE]; what comes after it may still be silence."""
    answer.complete = True
    if answer.streams:
        await answer.write(b"data: [DONE]\n\n")


@step
async def Data(answer: Answer, payload: object) -> None:
    """One event with this JSON in it."""
    await answer.event(payload)


@step
async def ErrorChunk(answer: Answer, message: str = "The model stumbled.", code: str | None = None) -> None:
    """An error in a stream that began with 200."""
    await answer.event(failure(message, code))


@step
async def Raw(answer: Answer, data: bytes) -> None:
    """Bytes of the body as they are; b"" sends the head alone."""
    await answer.write(data)


@step
async def HugeLine(answer: Answer, size: int) -> None:
    """A `data:` line of that many bytes, which does not end."""
    await answer.write(b"data: " + b"x" * size)


@step
async def Split(answer: Answer, size: int) -> None:
    """What follows goes out in pieces of that many bytes, each its own chunk and its own write."""
    answer.split = size


@step
async def Header(answer: Answer, name: str, value: str) -> None:
    assert not answer.started, "A Header comes before the step that sends the head."
    answer.headers[name] = value


@step
async def Status(
    answer: Answer, code: int, body: Json | bytes | None = None, headers: dict[str, str] | None = None
) -> None:
    """A whole answer, not streamed: JSON unless it is bytes, an error where nothing is given."""
    answer.headers |= headers or {}
    await answer.reply(code, failure(f"Status {code}.") if body is None else body)


@step
async def Html(answer: Answer) -> None:
    """What a captive portal answers: 200, and a page."""
    answer.headers["Content-Type"] = "text/html; charset=utf-8"
    await answer.reply(200, b"<!doctype html><title>Welcome</title>\n<p>data: sign in first</p>\n")


@step
async def Wait(_: Answer, seconds: float) -> None:
    await asyncio.sleep(seconds)


@step
async def Gate(_: Answer, event: asyncio.Event) -> None:
    """Goes on when the test sets the event."""
    await event.wait()


@step
async def Silent(_: Answer) -> None:
    """Nothing more until the client goes: as the first step, not even a status line."""
    await asyncio.Event().wait()


@step
async def Stall(answer: Answer) -> None:
    """The head, then nothing more until the client goes."""
    await answer.write(b"")
    await Silent()(answer)


@step
async def Close(answer: Answer) -> None:
    """A proper end of the answer without [DONE], then of the connection, whatever the head promised."""
    await answer.end()
    answer.keep = False


@step
async def Cut(answer: Answer) -> None:
    """FIN in the middle of the answer, or instead of one."""
    await answer.apart()
    answer.over, answer.keep = True, False


@step
async def Reset(answer: Answer) -> None:
    """RST in the middle of the answer, or instead of one."""
    connection: socket.socket = answer.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await Cut()(answer)


@step
async def BadChunk(answer: Answer) -> None:
    """A chunk whose size is no number, then FIN."""
    await answer.write(b"")
    await answer.apart()
    answer.writer.write(b"zz\r\n")
    await Cut()(answer)


def words(text: str) -> list[Step]:
    """A `Say` for each word, with the blank before it."""
    first, *others = text.split(" ")
    return [Say(first), *(Say(f" {word}") for word in others)]


def failure(message: str, code: str | None = None) -> Json:
    return {"error": {"message": message, "type": "server_error", "param": None, "code": code}}


class Upstream:
    """Listens on a free port of the loopback interface; `url` is the base that ends in /v1."""

    def __init__(self, models: Sequence[str] = ("small", "large"), key: str | None = None) -> None:
        self.models, self.key = list(models), key
        self.requests: list[Request] = []
        self._script: Sequence[Step] = (*words("Hello from the upstream."), Finish(), Usage(), Done())
        self._next: list[Sequence[Step]] = []
        self._models_script: Sequence[Step] = ()
        self._connections: dict[asyncio.StreamWriter, None] = {}
        self._errors: list[Exception] = []

    def script(self, *steps: Step) -> None:
        """What is done to every chat request from now on."""
        self._script = steps

    def enqueue(self, *scripts: Sequence[Step]) -> None:
        """What is done to the next chat requests, a script each; then `script` holds again."""
        self._next.extend(scripts)

    def script_models(self, *steps: Step) -> None:
        """What is done to a request for the models; if it does not answer, the list follows."""
        self._models_script = steps

    @property
    def bill(self) -> list[tuple[int, int]]:
        """Prompt and completion tokens of each chat request, in their order; a stream's grow as it runs."""
        chats = [request for request in self.requests if request.path == "/v1/chat/completions"]
        return [(request.prompt_tokens, request.completion_tokens) for request in chats]

    @property
    def aborted(self) -> list[Request]:
        """The requests whose client left before the end."""
        return [request for request in self.requests if request.aborted_at is not None]

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1")
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        await until(lambda: not self.open)
        if self._errors:
            raise ExceptionGroup("The upstream could not do what its scripts say.", self._errors)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = None
        try:
            while await self._answer(await _request(reader), reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # between two requests a client may leave
        except Exception as error:
            self._errors.append(error)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[writer]

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection may be used again."""
        self.requests.append(request)
        listing = {"object": "list", "data": [{"id": model, "object": "model"} for model in self.models]}
        answer = Answer(request, writer, listing if request.path == "/v1/models" else None)
        async with asyncio.TaskGroup() as group:
            left = group.create_task(until(lambda: reader.at_eof() or writer.is_closing(), 600))
            played = group.create_task(answer.play(self._steps(request)))
            await asyncio.wait((left, played), return_when=asyncio.FIRST_COMPLETED)
            left.cancel()
            played.cancel()
        if self._server.is_serving() and not (answer.over or answer.complete):
            request.aborted_at = asyncio.get_running_loop().time()
        return answer.over and answer.keep

    def _steps(self, request: Request) -> Sequence[Step]:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return [Status(401, failure("Incorrect API key provided.", "invalid_api_key"))]
        match f"{request.method} {request.path}":
            case "GET /v1/models":
                return self._models_script
            case "POST /v1/chat/completions" if request.body["model"] not in self.models:
                return [Status(404, failure("The model does not exist.", "model_not_found"))]
            case "POST /v1/chat/completions":
                return self._next.pop(0) if self._next else self._script
            case _:
                return [Status(404, failure("There is no such URL.", "unknown_url"))]


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, json.loads(body or b"null"), asyncio.get_running_loop().time())


async def until(fact: Callable[[], object], seconds: float = 10) -> None:
    """Waits for what another task brings about, such as `lambda: upstream.aborted`; raises `TimeoutError`."""
    for _ in range(int(seconds * 200)):
        if fact():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError(f"Not true within {seconds} s.")
