"""A TCP proxy in front of the service, on which connections break when the test wants it.

`cuts` are for event streams: the next one ends after the first number of bytes of its body, which are read
before, the one after it after the second number, and so on; 0 cuts before its head.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

from tests.upstream import until

READ = 0.2  # seconds until the cut: a browser throws away what a page has not read by then
EVENT_STREAM = re.compile(rb"HTTP/1\.1 (?s:.)+?text/event-stream(?s:.)+?\r\n\r\n")


class Proxy:
    """Leads to `target`, a service's address, which may change; `url` stays."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.cuts: list[int] = []
        self.streams = 0  # that have begun to arrive here
        self._port = 0
        self._connections: dict[asyncio.StreamWriter, None] = {}

    async def __aenter__(self) -> Self:
        await self._listen()
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._server.close()
        await asyncio.sleep(0.01)  # what was accepted just before comes, and goes
        self.cut()
        await until(lambda: not self._connections)

    def cut(self) -> None:
        """Breaks every connection, now."""
        for writer in self._connections:
            writer.transport.abort()

    @asynccontextmanager
    async def away(self) -> AsyncGenerator[None, None]:
        """Breaks every connection, and refuses new ones meanwhile."""
        self._server.close()
        self.cut()
        try:
            yield
        finally:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():
            writer.transport.abort()
        address = urlsplit(self.target)
        with self._held(writer), suppress(ConnectionError):
            service_reader, service = await asyncio.open_connection(address.hostname, address.port)
            with self._held(service):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._asked(reader, service))
                    both.create_task(self._answered(service_reader, writer))

    @contextmanager
    def _held(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._connections[writer] = None
        try:
            yield
        finally:
            writer.close()
            del self._connections[writer]

    async def _asked(self, reader: asyncio.StreamReader, service: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                service.write(data)
                await service.drain()
        service.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left: int | None = None
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if head := EVENT_STREAM.match(data):
                    left = self._next_cut(head.end())
                writer.write(data[:left])
                await writer.drain()
                if left is not None and (left := left - len(data)) <= 0:
                    await asyncio.sleep(READ)
                    break
        writer.close()

    def _next_cut(self, head: int) -> int | None:
        """How many bytes of the stream that begins may pass, its head included; None: all."""
        self.streams += 1
        cut = self.cuts.pop(0) if self.cuts else None
        return head + cut if cut else cut
