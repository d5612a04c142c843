"""Many texts at once, of which half are left: whoever stays has his share, the others take nothing more.

What is measured is the work of the children, in processor time, and memory: neither depends on other work.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from msgspec import Struct

from tests.process import address, started

PATH = "/v1/audio/speech"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROCESSES = 4
"""Two that speak, one that encodes, and one that tells languages."""
number = count()


class House(Struct):
    """The service in a process of its own, with the voice of this machine."""

    pid: int
    url: str
    http: aiohttp.ClientSession

    @property
    def children(self) -> list[int]:
        return list(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))

    @property
    def work(self) -> float:
        """Seconds of the processor's time that the children have taken."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.children]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS

    @property
    def memory(self) -> int:
        """Bytes that the service and its children hold."""
        pids = [self.pid, *self.children]
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in pids)

    async def hear(self, sentences: int) -> int:
        """All of a text that nobody has heard before, in bytes."""
        async with self.http.post(self.url + PATH, json=_asked(sentences)) as answer:
            assert answer.status == 200
            return len(await answer.read())

    async def leave(self, sentences: int) -> None:
        """The beginning of one."""
        async with self.http.post(self.url + PATH, json=_asked(sentences)) as answer:
            await answer.content.readexactly(1000)
            answer.close()


def _asked(sentences: int) -> dict[str, str]:
    said = (
        f"This is the sentence with the number {place} of text {next(number)}." for place in range(sentences)
    )
    return {"input": " ".join(said), "response_format": "pcm"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House, None]:
    quiet = {"CAUSERIE_SPEECH_ORDER": "local", "CAUSERIE_SPEECH_CACHE_SIZE": "0"}
    connector = aiohttp.TCPConnector(limit=0)
    async with started(tmp_path, **quiet) as process, aiohttp.ClientSession(connector=connector) as http:
        yield House(process.pid, await address(process), http)


async def heard(house: House, stay: int, leave: int) -> tuple[Sequence[int | None], float]:
    """What each of those who stay has heard, and the work that all of it took."""
    before = house.work
    leaving = [house.leave(240) for _ in range(leave)]
    everybody = await asyncio.gather(*(house.hear(12) for _ in range(stay)), *leaving)
    return everybody[:stay], house.work - before


async def test_those_who_stay_are_not_slowed_by_those_who_leave(house: House) -> None:
    """Ten texts of 240 sentences are left: to make them would be twenty times the work of those that stay."""
    await heard(house, 20, 0)  # whoever is started has been
    _, alone = await heard(house, 10, 0)
    sizes, beside = await heard(house, 10, 10)
    assert min(size or 0 for size in sizes) > 400_000
    assert beside < 2 * alone


async def test_twenty_at_once_are_heard_by_few_processes(house: House) -> None:
    await heard(house, 5, 0)
    held = house.memory
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(heard(house, 20, 0))
        most_processes, most_held = 0, 0
        while not speaking.done():
            most_processes = max(most_processes, len(house.children))
            most_held = max(most_held, house.memory)
            await asyncio.sleep(0.02)
    sizes, _ = speaking.result()
    assert min(size or 0 for size in sizes) > 400_000
    assert most_processes <= PROCESSES
    assert most_held < 1.5 * held


async def test_the_work_of_those_who_left_stops_and_their_memory_returns(house: House) -> None:
    await heard(house, 20, 0)
    held = house.memory
    for _ in range(3):
        await heard(house, 0, 20)
        await asyncio.sleep(1)
        before = house.work
        await asyncio.sleep(0.5)
        assert house.work - before < 0.05  # a tenth of what one that goes on would take
    assert house.memory < 1.2 * held
