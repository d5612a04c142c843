"""kill -9 in the midst of turns that are read: what was told to be finished is there, the rest comes back."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.serving import events, ids, text
from tests.turns.clients import Reading, endings, followed, keep_asking, process_of
from tests.upstream import Answer, Done, Finish, Say, Upstream, Usage, step

pytestmark = pytest.mark.slow

READERS = 20
AT_RISK = 0.5
"""Seconds that a kill may cost: the journal's 250 ms and the writer's linger, doubled for a busy machine."""


@step
async def Count(answer: Answer, chance: random.Random) -> None:
    """Counts aloud for some seconds at most, at its own pace."""
    pace = chance.uniform(0, 0.03)
    for number in range(chance.randrange(150)):
        await Say(f"{number} ")(answer)
        await asyncio.sleep(pace)


async def read_until_killed(
    directory: Path, upstream: Upstream, seconds: float
) -> tuple[list[Reading], float]:
    """What clients had read of their turns when the service was killed, and when that was."""
    readings: list[Reading] = []
    async with process_of(directory, upstream) as (process, url), asyncio.TaskGroup() as group:
        for number in range(READERS):
            group.create_task(keep_asking(url, f"reader{number}", readings))
        await asyncio.sleep(seconds)
        killed_at = asyncio.get_running_loop().time()
        process.kill()
    return readings, killed_at


async def assert_whole(http: aiohttp.ClientSession, url: str, reading: Reading) -> None:
    """It ended before the kill: it is what it was, and there is nothing more to read."""
    assert await followed(http, url, reading.turn) == (200, reading.stream())
    assert await followed(http, url, reading.turn, ids(reading.stream())[-1]) == (204, b"")


async def assert_interrupted(
    http: aiohttp.ClientSession, url: str, reading: Reading, killed_at: float
) -> None:
    """It was running: it has ended with what was said, told from the beginning, for its ids are void."""
    read = ids(reading.stream())
    status, stream = await followed(http, url, reading.turn, read[-1] if read else "")
    if status == 404:
        assert not reading.events(killed_at - AT_RISK), "only what had just begun may be unknown"
        return
    told = events(stream)
    if read:
        assert told.pop(0)["type"] == "reset"
        assert ids(stream)[0].split("-")[0] != read[0].split("-")[0]
    assert told[0] == {"type": "turn", "turn": reading.turn}
    assert [event["type"] for event in told[-2:]] == ["finish", "usage"]
    assert told[-1]["usage"]["estimated"]
    numbers = text(told).split()
    assert numbers == [str(number) for number in range(len(numbers))]
    assert text(told).startswith(text(reading.events(killed_at - AT_RISK)))


async def assert_the_key_holds(http: aiohttp.ClientSession, url: str, reading: Reading) -> None:
    """A repeated request is told the same turn."""
    again = Reading(reading.key)
    await again.ask(http, url)
    assert again.turn == reading.turn
    assert (200, again.stream()) == await followed(http, url, reading.turn)


@pytest.mark.parametrize("seed", range(4))
async def test_a_kill_loses_nothing_that_was_acknowledged(
    tmp_path: Path, upstream: Upstream, seed: int
) -> None:
    chance = random.Random(seed)
    upstream.script(Count(chance), Finish(), Usage(), Done())
    readings, killed_at = await read_until_killed(tmp_path, upstream, chance.uniform(1, 3))
    asked = len(upstream.bill)
    async with process_of(tmp_path, upstream) as (_, url), aiohttp.ClientSession() as http:
        found = endings(tmp_path, "turns")
        assert None not in found.values()
        assert found == endings(tmp_path, "records"), "each turn is in the books once, and both agree"
        for reading in readings:
            if reading.acknowledged:
                assert found[reading.turn] == "done"
            if found.get(reading.turn) == "done":
                reading.chunks.append((killed_at, await the_rest(http, url, reading)))
                await assert_whole(http, url, reading)
            elif reading.turn:
                await assert_interrupted(http, url, reading, killed_at)
            if reading.turn in found:
                await assert_the_key_holds(http, url, reading)
        assert len(upstream.bill) == asked, "nothing was asked twice"


async def the_rest(http: aiohttp.ClientSession, url: str, reading: Reading) -> bytes:
    """What its reader did not get of a turn that ended in the moment of the kill."""
    with suppress(IndexError):
        return (await followed(http, url, reading.turn, ids(reading.stream())[-1]))[1]
    return (await followed(http, url, reading.turn))[1]
