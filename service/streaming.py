"""A turn's log -> one HTTP response, in the tick in which things are said."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from service.context import CONTEXT, STARTED
from service.errors import ServiceError, Unavailable
from service.events import Batch, Event, Reset, Resumable, begins
from service.silence import Silence
from service.turns.admission import Found
from service.turns.log import Log
from service.turns.turn import failure
from service.wire import Fold, Wire

PIECE = 256
"""Events that are encoded at once for a reader who has fallen behind."""


class Stream(Struct, frozen=True):
    """What a handler returns to have a turn followed in a wire's format."""

    turn: Found
    wire: Wire
    after: int = 0
    """How many of the log's events have been read."""
    reset: bool = False
    """The reader came with an id that says nothing: he begins again."""
    patience: float = 0
    """How many seconds the status line waits for the first word; what fails before it is an error."""


class Whole(Struct, frozen=True):
    """What a handler returns to have a turn answered as one JSON object, once it has ended."""

    turn: Found
    fold: Fold


async def heard(turn: Found) -> Sequence[Event]:
    """Waits for the end of the turn, as a reader whose leaving counts. Raises what it failed with."""
    with turn.reading() as log:
        await log.over()
        if error := failure(log.events[-1:]):
            raise error
        if not log.ended:
            raise Unavailable(
                "The service is being restarted. Read the answer at"
                f" GET /backend-api/v2/turns/{turn.id} in a moment."
            )
        return log.events


async def folded(whole: Whole) -> web.Response:
    """The turn as one JSON object, once it has ended. Raises what it failed with."""
    body = msgspec.json.encode(whole.fold(await heard(whole.turn)))
    return web.Response(body=body, content_type="application/json", headers={"X-Turn-Id": whole.turn.id})


async def streamed(request: web.Request, stream: Stream) -> web.StreamResponse:
    """Follows the turn to its end; a reader who leaves, or does not read, loses only his connection."""
    response = _Response(
        headers={
            **stream.wire.headers,
            "Content-Type": stream.wire.content_type,
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",  # else a proxy may keep the answer until it is complete
            "X-Turn-Id": stream.turn.id,
            "Last-Event-ID": f"{stream.turn.epoch}-{stream.after - 1}" if stream.after else "earliest",
        }
    )
    if request.method == "HEAD":  # whoever asks for the head alone is no reader
        return response
    context = request.app[CONTEXT]
    with stream.turn.reading() as log:
        if stream.patience and (error := await _early_failure(log, stream.patience)):
            raise error
        request[STARTED] = True
        await asyncio.sleep(0)  # the turn's first words go out with the head
        try:
            await response.prepare(request)
            _let_go(request, response)
            await Reader(log, stream, response, context.settings.stream.write_timeout, context.silence).run()
        except (ConnectionResetError, TimeoutError):
            if request.transport:
                request.transport.abort()
    return response


class _Response(web.StreamResponse):
    """Its head goes out with the first words, not before them; where aiohttp does not know how, by itself."""

    _send_headers_immediately = False


def _let_go(request: web.Request, response: web.StreamResponse) -> None:
    """Frees 3 KB that no stream needs: headers that are sent, and the timer of a connection that is idle."""
    response.headers.clear()
    request.protocol.keep_alive(True)


async def _early_failure(log: Log, patience: float) -> ServiceError | None:
    """What the turn fails with before its first word, if it does so within some seconds."""
    await log.begun(lambda events: begins(events) or failure(events) is not None, patience)
    return None if begins(log.events) else failure(log.events)


class Reader:
    """One response that follows a log.

    While its socket takes what it is given, it is written to where events are appended: no task wakes up for
    a token. Once the socket is full, the reader waits until it is not, and catches up from the log.
    """

    __slots__ = (
        "_live",
        "_log",
        "_patience",
        "_position",
        "_response",
        "_silence",
        "_stream",
        "_wire",
    )

    def __init__(
        self, log: Log, stream: Stream, response: web.StreamResponse, patience: float, silence: Silence
    ) -> None:
        self._log, self._response, self._patience, self._silence = log, response, patience, silence
        self._stream, self._wire, self._position = stream, stream.wire, stream.after
        self._live: asyncio.Future[asyncio.Future[Any] | None] | None = None
        """Until it is done the sink writes; its result is what a full socket waits for, None at the end."""

    async def run(self) -> None:
        """Raises `ConnectionResetError` when the client has gone, `TimeoutError` when it does not read."""
        self._log.attach(self._sink)
        self._silence.heard(self)
        try:
            if self._stream.reset:
                await self._drained(self._send(self._wire.aside(Reset("This id is none of this turn's."))))
            last = await self._caught_up()
            if not last:
                written(self._response, b"")  # the head, where nothing went out with it
            while not (self._log.ended or self._log.dismissed):
                self._live = asyncio.get_running_loop().create_future()
                await self._drained(await self._live)
                last = await self._caught_up()
            if not self._log.ended:
                last = self._wire.aside(Resumable(self._stream.turn.id))
            async with asyncio.timeout(self._patience):
                await self._response.write_eof(last + self._wire.end())
        finally:
            self._silence.forget(self)
            self._log.detach(self._sink)

    async def _caught_up(self) -> bytes:
        """Sends what was missed, but for the end of a log: that is returned, to go out with the stream's."""
        while batch := self._log.events[self._position : self._position + PIECE]:
            data = self._wire.encode(batch, self._position)
            self._position += len(batch)
            if self._log.ended and self._position == len(self._log.events):
                return data
            await self._drained(self._send(data))
            if len(batch) == PIECE:
                await asyncio.sleep(0)  # a fast socket is never full: others must have their turn
        return b""

    def _sink(self, events: Batch) -> None:
        if self._live is None or self._live.done():
            return  # it is behind, and will find them in the log
        if not events:
            self._live.set_result(None)
            return
        try:
            full = self._send(self._wire.encode(events, self._position))
        except Exception as error:  # a reader's trouble is his own, not the turn's
            self._live.set_exception(error)
        else:
            self._position += len(events)
            if full:
                self._live.set_result(full)

    def _send(self, data: bytes) -> asyncio.Future[Any] | None:
        """Hands data to the socket, now; returns what to wait for when the socket is full."""
        self._silence.heard(self)
        return written(self._response, data) if data else None

    async def _drained(self, full: asyncio.Future[Any] | None) -> None:
        if full:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(full)  # it belongs to the connection

    def silent(self) -> None:
        """Sends a heartbeat: proxies and clients give up on a silent stream."""
        self._silence.heard(self)
        if self._live and not self._live.done():  # else it is behind, and its socket full
            with suppress(ConnectionResetError):  # the handler is being told as well
                self._send(self._wire.heartbeat)


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
