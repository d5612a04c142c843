"""Answers straight from their connections: what arrives is handed on in the tick in which it was read.

aiohttp's client wakes a task for every read and makes dozens of objects for every question: a third of what a
token costs, a fifth of a short answer. Proxies, and sockets of a kind of their own, are its affair still.

Source: RFC 9112. llhttp, the parser of Node.js, reads the answers.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextvars import copy_context
from functools import lru_cache, partial
from sys import intern
from types import TracebackType
from typing import Any, cast

import aiohappyeyeballs
import httptools
from yarl import URL

from service.errors import BadRequest
from service.providers.answers import Headers, SlowToConnect, Take, Unreachable
from service.providers.sse import StreamTooLong

IDLE_SECONDS = 15.0
"""How long a connection waits for another question; servers wait longer."""
LAST_WORDS = 1.0
"""How many seconds a stream that was read to its end gets to say so, that its connection can serve again."""
ADDRESS_SECONDS = 10.0
"""How long an address that was looked up holds."""
HEAD_BYTES = 65_536
EYEBALLS_DELAY = 0.25
"""After how many seconds another address is tried beside the first (RFC 8305)."""


class Broken(ConnectionError):
    """The connection ended, or made no sense, in the midst of an answer."""


class Direct:
    """A `Client` of one origin; `limit` questions are asked at the same time, others wait."""

    def __init__(self, url: str, limit: int, connect_timeout: float) -> None:
        self._origin = origin = URL(url).origin()
        self._host, self._port = origin.raw_host or "", origin.port or 80
        self._secure, self._name = origin.scheme == "https", origin.host_port_subcomponent or ""
        self._turn, self._connect_timeout = asyncio.Semaphore(limit), connect_timeout
        self._context: ssl.SSLContext | None = None
        self._addresses: tuple[float, list[Any]] = (0.0, [])
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}
        """Since when, on the loop's clock; the last is the first to be used again."""
        self._sweeping: asyncio.TimerHandle | None = None

    async def ask(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> "Response":
        request = self._request(method, url, headers, data)
        await self._turn.acquire()
        try:
            connection = self._kept() or await self._connected()
        except BaseException:
            self._turn.release()
            raise
        response = connection.ask(request)
        try:
            await response.head()
        except BaseException:
            connection.leave(response)
            raise
        return response

    async def close(self) -> None:
        if self._sweeping:
            self._sweeping.cancel()
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)  # that is when they are closed

    def over(self, connection: "Connection", *, serves_again: bool) -> None:
        """A question of this connection's is over."""
        self._turn.release()
        if serves_again:
            self._idle[connection] = asyncio.get_running_loop().time()
            if self._sweeping is None:
                self._sweep()

    def opened(self, connection: "Connection") -> None:
        self._open.add(connection)

    def lost(self, connection: "Connection") -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _request(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> bytes:
        origin, target = _split(url)
        if origin != self._origin:
            raise ValueError(f"{origin} is not asked over connections to {self._origin}")
        lines = [
            f"{method} {target} HTTP/1.1",
            f"host: {self._name}",
            "accept: */*",
            "accept-encoding: identity",  # a compressed stream comes in blocks
            "user-agent: Causerie",
            *(f"{name}: {text}" for name, text in headers.items()),
            f"content-length: {len(data or b'')}",
        ]
        head = "\r\n".join(lines)
        if "\0" in head or head.count("\r") >= len(lines) or head.count("\n") >= len(lines):
            raise BadRequest("A header, or a key, has a line break in it.")
        return b"%b\r\n\r\n%b" % (head.encode(errors="replace"), data or b"")

    async def _connected(self) -> "Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                if self._secure and self._context is None:
                    self._context = await asyncio.to_thread(_tls)  # it reads the certificates
                socket = await aiohappyeyeballs.start_connection(
                    await self._looked_up(), happy_eyeballs_delay=EYEBALLS_DELAY, interleave=1
                )
                _, connection = await loop.create_connection(
                    partial(Connection, self),
                    sock=socket,
                    ssl=self._context,
                    server_hostname=self._host if self._secure else None,
                )
        except TimeoutError as error:
            raise SlowToConnect(self._name) from error
        except OSError as error:
            raise Unreachable(str(error)) from error
        return connection

    def _kept(self) -> "Connection | None":
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.closing:
                return connection
        return None

    async def _looked_up(self) -> list[Any]:
        loop = asyncio.get_running_loop()
        at, addresses = self._addresses
        if not addresses or at + ADDRESS_SECONDS < loop.time():
            addresses = await loop.getaddrinfo(self._host, self._port, type=1)
            self._addresses = loop.time(), addresses
        return addresses

    def _sweep(self) -> None:
        """Closes connections that have been idle for too long, now and later."""
        loop = asyncio.get_running_loop()
        for connection, since in list(self._idle.items()):
            if since + IDLE_SECONDS <= loop.time():
                del self._idle[connection]
                connection.abort()
        self._sweeping = loop.call_later(IDLE_SECONDS, self._sweep) if self._idle else None


class Connection(asyncio.Protocol):
    """One connection, and the answer that it brings."""

    __slots__ = (
        "_bounded",
        "_direct",
        "_head",
        "_headers",
        "_parser",
        "_pieces",
        "_reason",
        "_response",
        "_transport",
    )

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self._pieces: list[bytes] = []
        """Of the body, from one read: what is chunked for each token is handed on as a whole."""
        self._begin()

    def _begin(self) -> None:
        self._headers, self._reason, self._head = Headers(), "", 0
        self._bounded = False
        """It is said where the answer ends; else it ends with the connection."""

    def ask(self, request: bytes) -> "Response":
        """Sends a question; the one before it is over."""
        response = self._response = Response(self)
        if self.closing:
            self._fail("the connection was closed")
        else:
            self._transport.write(request)
        return response

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    def leave(self, response: "Response", *, read: bool = False) -> None:
        """Nobody wants more of the answer; was it `read`, it has a moment to come to its end."""
        if self._response is response:
            if read:
                asyncio.get_running_loop().call_later(LAST_WORDS, self.leave, response)
            else:
                self.abort()

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._direct.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._response is None:  # nothing was asked
            self.abort()
            return
        problem = ""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            problem = str(error)
        self._hand_on()
        if problem:
            self._fail(problem)

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and self._response and self._response.status and not self._bounded:
            self._end(serves_again=False)
        self._fail("the connection was closed")
        self._direct.lost(self)

    def on_status(self, reason: bytes) -> None:
        self._reason = reason.decode(errors="replace")

    def on_header(self, name: bytes, text: bytes) -> None:
        self._head += len(name) + len(text)
        if self._head > HEAD_BYTES:
            self._fail("the head is too long")
        else:
            kept = intern(name.decode("latin-1").lower())  # every stream has the same few
            self._headers.setdefault(kept, text.decode(errors="replace"))

    def on_headers_complete(self) -> None:
        status, headers = self._parser.get_status_code(), self._headers
        if status < 200:  # the answer is still to come
            self._begin()
        elif headers.get("content-encoding", "identity") != "identity":
            self._fail("the answer is compressed, which was not asked for")
        elif self._response and not self._response.status:
            self._bounded = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "")
            self._response.begin(status, self._reason, headers)

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._hand_on()
        if self._response and self._response.status:
            self._end(serves_again=self._parser.should_keep_alive())

    def _hand_on(self) -> None:
        if self._pieces:
            data, self._pieces = b"".join(self._pieces), []
            if self._response:
                self._response.take(data)

    def _end(self, *, serves_again: bool) -> None:
        """The answer is complete."""
        response, self._response = self._response, None
        if response:
            response.end()
            self._begin()
            self._direct.over(self, serves_again=serves_again)
        if not serves_again:
            self.abort()

    def _fail(self, reason: str) -> None:
        response, self._response = self._response, None
        if response:
            response.fail(Broken(reason))
            self._direct.over(self, serves_again=False)
        self.abort()


class Response:
    """An `Answer`, as its connection brings it."""

    __slots__ = (
        "_connection",
        "_early",
        "_error",
        "_over",
        "_read",
        "_take",
        "_waiting",
        "headers",
        "reason",
        "status",
    )

    def __init__(self, connection: Connection) -> None:
        self.status, self.reason, self.headers = 0, "", Headers()
        self._connection = connection
        self._early: list[bytes] = []
        """What arrived before anybody took it."""
        self._take: Take | None = None
        self._over = self._read = False
        self._error: BaseException | None = None
        self._waiting: asyncio.Future[None] | None = None
        """For the head, then for the end."""

    async def head(self) -> None:
        """Returns when it has arrived; raises `Broken` where it never will."""
        if not self.status and self._error is None:
            await self._woken()
        if self._error and not self.status:
            raise self._error

    async def pour(self, take: Take) -> None:
        early, self._early = self._early, []
        self._read = any(map(take, early))
        del early  # it would be kept as long as the stream
        if not (self._read or self._over or self._error):
            context = copy_context()  # else logs name the turn that opened the connection
            self._take = lambda data: context.run(take, data)
            await self._woken()
        if self._error and not self._read:
            raise self._error

    async def read(self, limit: int) -> bytes:
        body = await self.beginning(limit + 1)
        if len(body) > limit:
            raise StreamTooLong(limit)
        return body

    async def beginning(self, size: int) -> bytes:
        body = bytearray()

        def take(data: bytes) -> bool:
            body.extend(data)
            return len(body) >= size

        await self.pour(take)
        return bytes(body[:size])

    def begin(self, status: int, reason: str, headers: Headers) -> None:
        self.status, self.reason, self.headers = status, reason, headers
        self._wake()

    def take(self, data: bytes) -> None:
        if self._take is None:
            self._early.append(data)
        elif not (self._read or self._error):
            try:
                self._read = self._take(data)
            except BaseException as error:  # whoever pours is told, not the loop
                self._error = error
            if self._read or self._error:
                self._wake()

    def end(self) -> None:
        self._over = True
        self._wake()

    def fail(self, error: Broken) -> None:
        self._error = self._error or error
        self._wake()

    async def _woken(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    async def __aenter__(self) -> "Response":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.leave(self, read=self._read)


@lru_cache(maxsize=256)
def _split(url: str) -> tuple[URL, str]:
    """The origin, and what is asked for there."""
    parsed = URL(url)
    return parsed.origin(), parsed.raw_path_qs


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
