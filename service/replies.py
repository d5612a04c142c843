"""What a handler may return beside a struct, and how each is sent."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web

from service.context import SESSION, STARTED
from service.downloads import Download, downloaded
from service.settings import Settings
from service.streaming import Whole, folded


class Text(str):
    """A text that is sent as it is, not as JSON."""

    content_type = "text/plain"


class Html(Text):
    content_type = "text/html"


class Events(Text):
    """A stream that is known to its end."""

    content_type = "text/event-stream"


def json_lines(rows: Sequence[Any]) -> bytes:
    """Each row as JSON on a line of its own."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


class Lines(msgspec.Struct, frozen=True):
    """Rows that are sent as they come; `file` is the name under which a browser is to keep them."""

    pages: AsyncGenerator[Sequence[Any], None]
    content_type: str = "text/plain"
    file: str | None = None
    encode: Callable[[Sequence[Any]], bytes] = json_lines


class Pieces(msgspec.Struct, frozen=True):
    """Bytes that are sent as they are made; what fails on the way cuts the connection.

    They begin before the answer does: what fails until then has the status of an error.
    """

    pieces: AsyncGenerator[bytes, None]
    content_type: str
    headers: Mapping[str, str] = {}


class Cookie(msgspec.Struct):
    """What a browser is to show from now on, `until` a time in UTC seconds since 1970; "" takes it away."""

    text: str | None = None
    until: float = 0.0
    secure: bool = False
    """Never sent without TLS."""


File = web.FileResponse
"""A file of ours; the framework answers for ranges and for what a browser has already."""


async def respond(request: web.Request, answer: Any, settings: Settings) -> web.StreamResponse:
    """Sends what a handler returned; what is none of these kinds is JSON."""
    patience = settings.stream.write_timeout
    match answer:
        case Whole():
            return await folded(answer)
        case Lines():
            return await _sent(request, _encoded(answer), _headers(answer), patience)
        case Pieces():
            headers = {**answer.headers, "Content-Type": answer.content_type}
            return await _sent(request, answer.pieces, headers, patience)
        case Download():
            return await downloaded(request, answer, patience)
        case File():
            return answer
        case None:
            return web.Response(status=204)
        case Text():
            return web.Response(text=answer, content_type=answer.content_type)
        case _:
            return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def leave(cookie: Cookie, response: web.StreamResponse) -> None:
    """No script reads it, and no other site's page makes a browser send it."""
    if cookie.text:
        response.set_cookie(
            SESSION,
            cookie.text,
            max_age=int(cookie.until - time.time()),
            secure=cookie.secure,
            httponly=True,
            samesite="Strict",
        )
    elif cookie.text == "":
        response.del_cookie(SESSION)


def _headers(lines: Lines) -> dict[str, str]:
    saved = {"Content-Disposition": f'attachment; filename="{lines.file}"'} if lines.file else {}
    return {"Content-Type": f"{lines.content_type}; charset=utf-8", **saved}


async def _encoded(lines: Lines) -> AsyncGenerator[bytes, None]:
    """A page at a time, so that any number of rows takes the memory of one page."""
    async with aclosing(lines.pages) as pages:
        async for page in pages:
            yield lines.encode(page)


async def _sent(
    request: web.Request, made: AsyncGenerator[bytes, None], headers: Mapping[str, str], patience: float
) -> web.StreamResponse:
    """Whoever leaves, or does not read, loses his connection."""
    response = web.StreamResponse(headers=headers)
    async with aclosing(made) as pieces:
        piece = await anext(pieces, None)  # what fails here is an error yet
        if request.method == "HEAD":  # what would be written would be taken for the next answer
            return response
        request[STARTED] = True
        try:
            await response.prepare(request)
            while piece is not None:
                async with asyncio.timeout(patience):
                    await response.write(piece)
                piece = await anext(pieces, None)
        except (ConnectionResetError, TimeoutError):
            if request.transport:
                request.transport.abort()
    return response
