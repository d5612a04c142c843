"""The power is cut while turns are answered: whatever a client was told to be recorded is on the disk."""

import asyncio
import fcntl
import os
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.turns.clients import Reading, endings, followed, keep_asking, process_of
from tests.upstream import Answer, Done, Finish, Say, Upstream, Usage, step

pytestmark = pytest.mark.slow

CLIENTS = 20
EXT4_IOC_SHUTDOWN = 0x8004587D
NOTHING_MORE_REACHES_THE_DISK = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH


class Disk:
    """A real filesystem, in a file, whose power can be cut."""

    def __init__(self, directory: Path) -> None:
        self.path, self._image = directory / "disk", directory / "image"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(128 << 20)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self.plug_in()

    def plug_in(self) -> None:
        _run("mount", "-o", "loop", self._image, self.path)

    def cut(self) -> None:
        folder = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, NOTHING_MORE_REACHES_THE_DISK)
        os.close(folder)

    def unplug(self) -> None:
        _run("umount", self.path)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        disk = Disk(tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"only root, with loop devices and ext4, can cut the power: {error}")
    yield disk
    disk.unplug()


@step
async def Words(answer: Answer, chance: random.Random) -> None:
    for number in range(chance.randrange(1, 30)):
        await Say(f"{number} ")(answer)


@pytest.mark.parametrize("seed", range(4))
async def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, disk: Disk, upstream: Upstream, seed: int
) -> None:
    chance, state = random.Random(seed), str(disk.path / "state")
    upstream.script(Words(chance), Finish(), Usage(), Done())
    readings: list[Reading] = []
    async with (
        process_of(tmp_path, upstream, CAUSERIE_STATE_DIR=state) as (process, url),
        asyncio.TaskGroup() as group,
    ):
        for number in range(CLIENTS):
            group.create_task(keep_asking(url, f"client{number}", readings))
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        acknowledged = [reading for reading in readings if reading.acknowledged]
        disk.cut()
        process.kill()
    assert acknowledged
    disk.unplug()
    disk.plug_in()
    async with (
        process_of(tmp_path, upstream, CAUSERIE_STATE_DIR=state) as (_, url),
        aiohttp.ClientSession() as http,
    ):
        found = endings(disk.path, "turns")
        assert None not in found.values()
        assert found == endings(disk.path, "records"), "each turn is in the books once, and both agree"
        for reading in acknowledged:
            assert found[reading.turn] == "done"
            assert await followed(http, url, reading.turn) == (200, reading.stream())
