"""Stored bytes -> one HTTP response: whole, in part, or not at all where the client has them already.

Source: RFC 9110, sections 13 (conditions) and 14 (ranges).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from aiohttp import ETag, web
from msgspec import Struct

from service.context import STARTED

SHOWN = ("image/", "audio/", "video/", "application/pdf", "text/plain")
"""What a browser may show; everything else, and what could run in one, is only for saving."""
RUNS = "image/svg+xml"
PERSONAL = "Authorization, Cookie, x-user, x-api-key, x_user, x_api_key"
"""The headers by which somebody is known: `Vary` of what is for him alone."""
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


class Download(Struct, frozen=True):
    """What a handler returns to have a file sent; `read` gives its bytes from one place up to another.

    `tag` changes with the content; `modified` is in UTC seconds since 1970; `caching` is what is said of it.
    """

    name: str
    content_type: str
    size: int
    tag: str
    modified: float
    read: Callable[[int, int | None], AsyncGenerator[bytes, None]]
    caching: str = "private, no-cache"


async def downloaded(request: web.Request, file: Download, patience: float) -> web.StreamResponse:
    """Whoever leaves, or takes nothing for so many seconds, loses his connection."""
    headers = _headers(file)
    if _has_it(request, file):
        return web.Response(status=304, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.headers["Content-Type"] = _typed(file.content_type)
    part = _part(request, file)
    start, end = part or (0, file.size)
    response.content_length = end - start
    if part:
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    if request.method != "HEAD":
        await _send(request, response, file.read(start, end), patience)
    return response


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    chunks: AsyncGenerator[bytes, None],
    patience: float,
) -> None:
    async with aclosing(chunks):
        chunk = await anext(chunks, None)  # what is not there is an error yet
        request[STARTED] = True
        try:
            await response.prepare(request)
            while chunk is not None:
                async with asyncio.timeout(patience):
                    await response.write(chunk)
                chunk = await anext(chunks, None)
        except (ConnectionResetError, TimeoutError):
            if request.transport:
                request.transport.abort()


def _has_it(request: web.Request, file: Download) -> bool:
    """Whether the client has it as it is. Raises 412 where it wants another one than there is."""
    tags, others = request.if_match, request.if_none_match
    since, unless = request.if_modified_since, request.if_unmodified_since
    if tags is not None and not _among(tags, file, weak=False):
        raise web.HTTPPreconditionFailed(text="This file is another one than If-Match names. Ask anew.")
    if tags is None and unless and file.modified >= unless.timestamp() + 1:
        raise web.HTTPPreconditionFailed(text="This file was changed after If-Unmodified-Since. Ask anew.")
    if others is not None:
        return _among(others, file, weak=True)
    return since is not None and file.modified < since.timestamp() + 1


def _among(tags: tuple[ETag, ...], file: Download, weak: bool) -> bool:
    return any(tag.value in {"*", file.tag} and (weak or not tag.is_weak) for tag in tags)


def _part(request: web.Request, file: Download) -> tuple[int, int] | None:
    """From where to where, or None for the whole: also for what is no range. Raises 416."""
    if request.headers.get("If-Range", f'"{file.tag}"') not in {f'"{file.tag}"', _date(file)}:
        return None
    try:
        asked = request.http_range
    except ValueError:
        return None
    if asked.start is None:
        return None
    start = max(file.size + asked.start, 0) if asked.start < 0 else asked.start
    end = min(asked.stop or file.size, file.size)
    if start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(
            text=f"The file has {file.size} bytes. Ask for some of those."
        )
    return start, end


def _headers(file: Download) -> dict[str, str]:
    shown = file.content_type.startswith(SHOWN) and file.content_type != RUNS
    plain = "".join(letter if letter.isascii() else "_" for letter in file.name)
    headers = {
        "ETag": f'"{file.tag}"',
        "Last-Modified": _date(file),
        "Accept-Ranges": "bytes",
        "Cache-Control": file.caching,
        "Vary": PERSONAL,
        "Content-Disposition": f"{'inline' if shown else 'attachment'};"
        f" filename=\"{plain}\"; filename*=UTF-8''{quote(file.name)}",
    }
    if file.content_type != "application/pdf":  # browsers show none in a sandbox
        headers["Content-Security-Policy"] = SANDBOX
    return headers


def _typed(content_type: str) -> str:
    return f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type


def _date(file: Download) -> str:
    return format_datetime(datetime.fromtimestamp(file.modified, UTC), usegmt=True)
