"""One answer of the scripted upstream on its way: what steps act upon."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http.client import responses
from typing import TypeAlias

from tests.dialects import dialect
from tests.request import Json, Request

Step: TypeAlias = Callable[["Answer"], Awaitable[None]]


class Answer:
    """Plays a script; `whole` makes what a path answers that does not chat."""

    def __init__(
        self, request: Request, writer: asyncio.StreamWriter, whole: Callable[[], Json | bytes] | None = None
    ) -> None:
        self.complete = False  # all was said: who leaves now has not aborted
        self.over = False  # nothing more can be said
        self.keep = True  # the connection, afterwards
        self.request, self.writer, self.whole = request, writer, whole
        self.dialect = dialect(request)
        self.streams = self.dialect.streams
        self.started, self.split = False, 0
        kind = self.dialect.content_type if self.streams else "application/json"
        self.headers = {"Content-Type": kind}

    async def play(self, script: Sequence[Step]) -> None:
        with suppress(ConnectionError):
            for step in script:
                await step(self)
                if self.over:
                    return
            await self.end()

    async def token(self, said: bytes) -> None:
        """Sends what costs a token."""
        await self.send(said)
        self.request.charge(1)

    async def send(self, said: bytes) -> None:
        """Sends a piece of a stream; whoever wants the answer whole gets it at the end."""
        if self.streams and said:
            await self.write(said)

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
        self.start(f"{code} {responses.get(code, 'Unheard of')}", f"Content-Length: {len(content)}")
        self.writer.write(content)
        self.over = True

    async def end(self) -> None:
        if self.streams or self.started:
            await self.write(b"")
            self.writer.write(b"0\r\n\r\n")
            self.over = True
        else:
            await self.reply(200, (self.whole or self.dialect.whole)())
