"""JSON bodies, read as they arrive: whoever takes one says how large it may be, and how long it may take."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
from aiohttp import web

from service.errors import RequestTimeout, TooLarge, UnsupportedMedia


class Content:
    """The body of a request, which can be read once; `silence` is how many seconds may pass without news."""

    def __init__(self, request: web.Request, silence: float) -> None:
        self._request, self._silence = request, silence

    async def whole(self, limit: int, setting: str) -> bytearray:
        """All of it, which must not take longer than a silence.

        Not `request.read()`: what that returns is kept until the request is answered. Raises
        `UnsupportedMedia`, `TooLarge`, which names the setting of the limit, and `RequestTimeout`.
        """
        body = bytearray()
        async with aclosing(self.pieces(limit, setting, self._silence)) as pieces:
            async for piece in pieces:
                body += piece
        return body

    async def pieces(self, limit: int, setting: str, seconds: float) -> AsyncGenerator[bytes, None]:
        """The same in pieces, all of which may take so many seconds."""
        _check(self._request)
        if (self._request.content_length or 0) > limit:
            raise _too_large(limit, setting)
        content, count = self._request.content, 0
        end = asyncio.get_running_loop().time() + seconds
        while piece := await self._soon(content, end):
            count += len(piece)
            if count > limit:
                raise _too_large(limit, setting)
            yield piece

    async def _soon(self, content: aiohttp.StreamReader, end: float) -> bytes:
        left = end - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self._silence, left)):
                return await content.readany()
        except TimeoutError as error:
            raise RequestTimeout("The body did not arrive in time. Send it again.") from error


def _check(request: web.Request) -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Compressed bodies are not accepted. Send it without Content-Encoding.")
    if request.content_type.startswith("multipart/"):
        raise UnsupportedMedia("Multipart bodies are not accepted here. Send JSON.")


def _too_large(limit: int, setting: str) -> TooLarge:
    return TooLarge(f"The body is larger than the limit of {limit} bytes ({setting}). Send less.")
