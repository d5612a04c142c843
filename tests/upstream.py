"""The upstream of all tests: on a real socket, doing to each request what its script says.

It speaks OpenAI's dialect, Anthropic's and Ollama's, each at its own path. A script is a sequence of steps:
`Say("Hel"), Gate(event), Say("lo"), Reset()`. The head of the answer goes out with the first step that says
something; a script that runs out ends the answer properly.
Each `Say`, `Reason` and `ToolCall` costs a token, and so does each word of the prompt.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from tests.answering import Answer, Step
from tests.dialects import DIALECTS, failure
from tests.replies import PICTURE, REPLIES, vector
from tests.request import Json, Request, read
from tests.steps import (
    BadChunk,
    Close,
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Header,
    Html,
    HugeLine,
    Raw,
    Reason,
    Redact,
    Redirect,
    Refusal,
    Reset,
    Say,
    Seal,
    Silent,
    Split,
    Stall,
    Status,
    ToolCall,
    Usage,
    Wait,
    step,
    words,
)

__all__ = [
    "PICTURE",
    "Answer",
    "BadChunk",
    "Close",
    "Cut",
    "Data",
    "Done",
    "ErrorChunk",
    "Finish",
    "Gate",
    "Header",
    "Html",
    "HugeLine",
    "Json",
    "Raw",
    "Reason",
    "Redact",
    "Redirect",
    "Refusal",
    "Request",
    "Reset",
    "Say",
    "Seal",
    "Silent",
    "Split",
    "Stall",
    "Status",
    "Step",
    "ToolCall",
    "Upstream",
    "Usage",
    "Wait",
    "failure",
    "step",
    "until",
    "vector",
    "words",
]

LISTS = frozenset({"/v1/models", "/api/tags"})
BILLED = DIALECTS.keys() | {"/v1/embeddings", "/v1/images/generations"}


class Upstream:
    """Listens on a free port of the loopback interface.

    `url` is the base that ends in /v1, where Ollama's paths are not: they lie under `root`.
    """

    def __init__(self, models: Sequence[str] = ("small", "large"), key: str | None = None) -> None:
        self.models, self.key = list(models), key
        self.page = 1000  # how many models Anthropic's list has at a time
        self.requests: list[Request] = []
        self._script: Sequence[Step] = (*words("Hello from the upstream."), Finish(), Usage(), Done())
        self._next: list[Sequence[Step]] = []
        self._at: dict[str, Sequence[Step]] = {}
        self._connections: dict[asyncio.StreamWriter, None] = {}
        self._errors: list[Exception] = []

    def script(self, *steps: Step) -> None:
        """What is done to every chat request from now on."""
        self._script = steps

    def enqueue(self, *scripts: Sequence[Step]) -> None:
        """What is done to the next chat requests, a script each; then `script` holds again."""
        self._next.extend(scripts)

    def script_at(self, path: str, *steps: Step) -> None:
        """What is done to a request for another path; if it does not answer, the usual answer follows."""
        self._at[path] = steps

    def script_models(self, *steps: Step) -> None:
        """What is done to a request for the models; if it does not answer, the list follows."""
        self._at |= dict.fromkeys(LISTS, steps)

    @property
    def bill(self) -> list[tuple[int, int]]:
        """Prompt and completion tokens of each chat request, in their order; a stream's grow as it runs.

        Embeddings and pictures are billed as well: a picture is a token.
        """
        billed = [request for request in self.requests if request.path in BILLED]
        return [(request.prompt_tokens, request.completion_tokens) for request in billed]

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
        self.root = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.url = f"{self.root}/v1"
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
        reply = REPLIES.get(f"{request.method} {request.path}")
        answer = Answer(request, writer, reply and partial(reply, request, self.models, self.page))
        async with asyncio.TaskGroup() as group:
            left = group.create_task(until(lambda: reader.at_eof() or writer.is_closing(), 600))
            played = group.create_task(answer.play(self._steps(request, answer)))
            await asyncio.wait((left, played), return_when=asyncio.FIRST_COMPLETED)
            left.cancel()
            played.cancel()
        if self._server.is_serving() and not (answer.over or answer.complete):
            request.aborted_at = asyncio.get_running_loop().time()
        return answer.over and answer.keep

    def _steps(self, request: Request, answer: Answer) -> Sequence[Step]:
        if self.key and not self._knows(request):
            return [Refusal(401, "Incorrect API key provided.", "invalid_api_key")]
        if request.method == "POST" and request.path in DIALECTS:
            if request.body["model"] not in self.models:
                return [Refusal(404, "The model does not exist.", "model_not_found")]
            return self._next.pop(0) if self._next else self._script
        if answer.whole is None and request.path not in self._at:
            return [Refusal(404, "There is no such URL.", "unknown_url")]
        return self._at.get(request.path, ())

    def _knows(self, request: Request) -> bool:
        """Whether the key is there, where this dialect has it."""
        if "anthropic-version" in request.headers:
            return request.headers.get("x-api-key") == self.key
        return request.headers.get("authorization") == f"Bearer {self.key}"


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    address, at = urlsplit(target), asyncio.get_running_loop().time()
    return Request(method, address.path, headers, read(headers, body), at, address.query, target)


async def until(fact: Callable[[], object], seconds: float = 10) -> None:
    """Waits for what another task brings about, such as `lambda: upstream.aborted`; raises `TimeoutError`."""
    for _ in range(int(seconds * 200)):
        if fact():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError(f"Not true within {seconds} s.")
