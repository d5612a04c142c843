"""An answer's bytes as they arrive, for who has them one after another: hot paths pour them instead."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp

from service.providers.answers import Answer
from service.providers.sse import StreamTooLong
from service.tasks import Tasks


async def arriving(answer: Answer, tasks: Tasks, idle: float, most: int) -> AsyncGenerator[bytes, None]:
    """Raises `TimeoutError` after `idle` seconds of silence, and `StreamTooLong` beyond `most` bytes."""
    arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue()
    size = 0

    def take(data: bytes) -> bool:
        nonlocal size
        size += len(data)
        arrived.put_nowait(StreamTooLong(most) if size > most else data)
        return size > most

    async def pour() -> None:
        try:
            await answer.pour(take)
            arrived.put_nowait(b"")
        except (aiohttp.ClientError, OSError) as error:
            arrived.put_nowait(error)

    pouring = tasks.start(pour(), "an answer that arrives")
    try:
        while data := await asyncio.wait_for(arrived.get(), idle):
            if isinstance(data, Exception):
                raise data
            yield data
    finally:
        pouring.cancel()
        await asyncio.wait([pouring])
