"""Answers over HTTP: read whole, let go, and when they say to come back."""

import asyncio
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

import aiohttp

from service.providers.sse import StreamTooLong


async def read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body, as long as it has no more bytes than that."""
    body = bytearray()
    async for data in answer.content.iter_any():
        body += data
        if len(body) > limit:
            raise StreamTooLong(limit)
    return bytes(body)


async def let_go(answer: aiohttp.ClientResponse) -> None:
    """Waits a moment for the end of a finished stream, so that its connection can serve again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            async for _ in answer.content.iter_any():
                break


def retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """In how many seconds to come back; it is said so, or as a time of day (RFC 9110, section 10.2.3)."""
    said = answer.headers.get("Retry-After", "")
    with suppress(ValueError):
        return max(0.0, float(said))
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
