"""Clients of the service that remember what they have read, and when."""

import asyncio
import itertools
import sqlite3
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.conftest import ROW
from tests.process import address, started
from tests.serving import CONVERSATION, Json, events
from tests.upstream import Upstream

TURNS = "/backend-api/v2/turns"


@dataclass
class Reading:
    """What one client has read of one turn; times on the loop's clock."""

    key: str
    turn: str = ""
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    def stream(self, before: float = float("inf")) -> bytes:
        """The complete frames that had arrived before a time."""
        frames, end, _ = b"".join(data for at, data in self.chunks if at < before).rpartition(b"\n\n")
        return frames + end

    def events(self, before: float = float("inf")) -> list[Json]:
        return events(self.stream(before))

    @property
    def acknowledged(self) -> bool:
        """The last frame has come, and says that the record is safe."""
        read = self.events()
        return bool(read) and read[-1]["type"] == "usage" and "recorded" not in read[-1]

    async def ask(self, http: aiohttp.ClientSession, url: str) -> None:
        """Asks, and reads to the end; raises `aiohttp.ClientError` where there is none."""
        body, headers = {"prompt": self.key}, {"Idempotency-Key": self.key}
        async with http.post(url + CONVERSATION, json=body, headers=headers) as answer:
            answer.raise_for_status()
            self.turn = answer.headers["X-Turn-Id"]
            async for data in answer.content.iter_any():
                self.chunks.append((asyncio.get_running_loop().time(), data))


async def keep_asking(url: str, name: str, readings: list[Reading]) -> None:
    """Asks again and again, until nobody answers any more."""
    async with aiohttp.ClientSession() as http:
        for number in itertools.count():
            readings.append(Reading(f"{name}-{number}"))
            try:
                await readings[-1].ask(http, url)
            except aiohttp.ClientError:
                return


async def followed(http: aiohttp.ClientSession, url: str, turn: str, last: str = "") -> tuple[int, bytes]:
    """Status and body of what a turn says after an event."""
    headers = {"Last-Event-ID": last} if last else {}
    async with http.get(f"{url}{TURNS}/{turn}", headers=headers) as answer:
        return answer.status, await answer.read()


def endings(directory: Path, table: str) -> dict[str, str | None]:
    """How each turn has ended, as that table of a service's database has it."""
    with closing(sqlite3.connect(directory / "state" / "causerie.db")) as database:
        return dict(database.execute(f"SELECT id, ending FROM {table}").fetchall())


@asynccontextmanager
async def process_of(
    directory: Path, upstream: Upstream, **variables: str
) -> AsyncGenerator[tuple[Process, str], None]:
    """The service as a process of its own, with the upstream as its only provider; and its URL."""
    file = directory / "operator.toml"
    file.write_text(ROW.format(url=upstream.url))
    variables = {"CAUSERIE_CONFIG": str(file), "CAUSERIE_SCRIPTED_ENABLED": "false"} | variables
    async with started(directory, **variables) as process:
        yield process, await address(process)
