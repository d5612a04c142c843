"""A turn's log -> one HTTP response, in the tick in which things are said."""

import asyncio
from typing import Any

from aiohttp import web
from msgspec import Struct

from service.context import STARTED
from service.events import Batch
from service.settings import Stream as Limits
from service.turns.log import Log
from service.turns.admission import Found
from service.wire import Wire

PIECE = 256
"""Events that are encoded at once for a reader who has fallen behind."""


class Stream(Struct, frozen=True):
    """What a handler returns to have a turn followed in a wire's format."""

    turn: Found
    wire: Wire


async def streamed(request: web.Request, stream: Stream, limits: Limits) -> web.StreamResponse:
    """Follows the turn to its end; a reader who leaves, or does not read, loses only his connection."""
    response = web.StreamResponse(
        headers={
            "Content-Type": stream.wire.content_type,
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",  # else a proxy may keep the answer until it is complete
            "X-Turn-Id": stream.turn.id,
        }
    )
    with stream.turn.reading() as log:
        request[STARTED] = True
        try:
            await response.prepare(request)
            await Reader(log, stream.wire, response, limits).run()
        except (ConnectionResetError, TimeoutError):
            if request.transport:
                request.transport.abort()
    return response


class Reader:
    """One response that follows a log.

    While its socket takes what it is given, it is written to where events are appended: no task wakes up for
    a token. Once the socket is full, the reader waits until it is not, and catches up from the log.
    """

    def __init__(self, log: Log, wire: Wire, response: web.StreamResponse, limits: Limits) -> None:
        self._log, self._wire, self._response, self._limits = log, wire, response, limits
        self._loop = asyncio.get_running_loop()
        self._position = 0
        self._sent_at = self._loop.time()
        self._beat = self._loop.call_later(limits.heartbeat, self._break_silence)
        self._live: asyncio.Future[asyncio.Future[Any] | None] | None = None
        """There while the sink writes; its result is what a full socket waits for, None at the log's end."""

    async def run(self) -> None:
        """Raises `ConnectionResetError` when the client has gone, `TimeoutError` when it does not read."""
        try:
            with self._log.attached(self._sink):
                await self._follow()
            await self._drained(self._send(self._wire.end()))
        finally:
            self._beat.cancel()

    async def _follow(self) -> None:
        while True:
            while batch := self._log.events[self._position : self._position + PIECE]:
                self._position += len(batch)
                await self._drained(self._send(self._wire.encode(batch)))
            if self._log.ended or self._log.dismissed:
                return
            self._live = self._loop.create_future()
            try:
                full = await self._live
            finally:
                self._live = None
            await self._drained(full)

    def _sink(self, events: Batch) -> None:
        if self._live is None or self._live.done():
            return  # it is behind, and will find them in the log
        if not events:
            self._live.set_result(None)
            return
        self._position += len(events)
        try:
            full = self._send(self._wire.encode(events))
        except Exception as error:  # a reader's trouble is his own, not the turn's
            self._live.set_exception(error)
        else:
            if full:
                self._live.set_result(full)

    def _send(self, data: bytes) -> asyncio.Future[Any] | None:
        """Hands data to the socket, now; returns what to wait for when the socket is full."""
        self._sent_at = self._loop.time()
        return written(self._response, data) if data else None

    async def _drained(self, full: asyncio.Future[Any] | None) -> None:
        if full:
            async with asyncio.timeout(self._limits.write_timeout):
                await asyncio.shield(full)  # it belongs to the connection

    def _break_silence(self) -> None:
        """Sends a heartbeat after a while of silence: proxies and clients give up on a silent stream."""
        wait = self._sent_at + self._limits.heartbeat - self._loop.time()
        if wait <= 0 and self._live and not self._live.done():
            wait = self._limits.heartbeat
            try:
                self._send(self._wire.heartbeat)
            except ConnectionResetError:
                return  # the handler is being told as well
        self._beat = self._loop.call_later(max(wait, 0.01), self._break_silence)


def written(response: web.StreamResponse, data: bytes) -> asyncio.Future[Any] | None:
    """`response.write(data)` without a task: takes its one step, in which the data reaches the transport.

    `write` waits only when the transport is over its limit; what it would wait for is returned instead.
    """
    step = response.write(data)
    try:
        full: asyncio.Future[Any] = step.send(None)
    except StopIteration:
        return None
    step.close()
    return full
