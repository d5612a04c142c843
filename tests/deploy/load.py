"""Clients that keep the service busy while it is restarted, and note what became of their requests."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from tests.serving import CONVERSATION

ENDLESS = {"prompt": "say one\nwait 3600", "provider": "Scripted"}
SHORT = {"prompt": "say one\nsay two", "provider": "Scripted"}
LOOK, TURN, TOLD = "look", "turn", "stream told"
"""What becomes of requests as it should: answered, answered, and sent to resume."""


class Load:
    """`seen` counts what became of requests; `streams` are open that do not end by themselves."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.seen: Counter[str] = Counter()
        self.streams = 0
        self.longest = 0.0
        """Seconds that a request waited for the head of its answer."""
        self._http = http

    @asynccontextmanager
    async def running(self, streams: int, loops: int) -> AsyncGenerator[None, None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow()) for _ in range(streams)]
            tasks += [group.create_task(self._look()) for _ in range(loops)]
            tasks += [group.create_task(self._ask()) for _ in range(loops)]
            yield
            for task in tasks:
                task.cancel()

    async def _follow(self) -> None:
        """Opens a stream that does not end by itself, again and again."""
        while True:
            said = await self._stream(ENDLESS)
            self.seen[TOLD if "\nevent: resume\n" in said else f"stream cut: {said[-100:]}"] += 1

    async def _ask(self) -> None:
        while True:
            said = await self._stream(SHORT)
            complete = '"two"' in said and ("event: usage" in said or "event: resume" in said)
            self.seen[TURN if complete else f"turn cut: {said[-100:]}"] += 1

    async def _look(self) -> None:
        while True:
            began = time.monotonic()
            try:
                async with self._http.get("/health/live") as answer:
                    await answer.read()
                    self.seen[LOOK if answer.status == 200 else f"look {answer.status}"] += 1
            except aiohttp.ClientError as error:
                self.seen[repr(error)] += 1
            self.longest = max(self.longest, time.monotonic() - began)

    async def _stream(self, body: dict[str, str]) -> str:
        said, began = b"", time.monotonic()
        try:
            async with self._http.post(CONVERSATION, json=body) as answer:
                self.longest = max(self.longest, time.monotonic() - began)
                if answer.status != 200:
                    return f"status {answer.status}"
                self.streams += body is ENDLESS
                try:
                    async for piece in answer.content.iter_any():
                        said += piece
                finally:
                    self.streams -= body is ENDLESS
        except aiohttp.ClientError as error:
            return f"{said!r} {error!r}"
        return said.decode()
