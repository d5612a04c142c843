"""A disk of PostgreSQL's that is full: what is to be written waits for space, what is written stays."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from service.stores.ledger import Ledger, Record
from tests.postgresql import Server, rows_of
from tests.stores.opened import opened
from tests.stores.test_writer import full, outlast, small_disk
from tests.upstream import until

SIZE = "32m"
"""An empty database takes seven megabytes of it."""


class Small(NamedTuple):
    """An empty database, and the folder of its disk."""

    url: str
    disk: Path


@asynccontextmanager
async def small_database(server: Server) -> AsyncGenerator[Small, None]:
    """On a disk of its own, which can be filled; the server's log of transactions is on another one."""
    disk = server.place
    with small_disk(disk, SIZE):
        async with server.tablespace(disk) as tablespace, server.database(tablespace) as url:
            yield Small(url, disk)


@pytest.fixture
async def small(postgresql: Server) -> AsyncGenerator[Small, None]:
    async with small_database(postgresql) as small:
        yield small


async def test_a_full_disk_of_the_server_is_outlasted(small: Small) -> None:
    async with opened(small.url) as database:
        await outlast(full(small.disk), database)
    ((sums, count),) = await rows_of(
        small.url, "SELECT sum(requests), count(*) FROM totals WHERE scope = 'models'"
    )
    assert (int(sums), count) == (502, 1), "the sums are those of what was written, once"


async def test_the_trouble_is_named_and_no_row_is_to_blame(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(small.url) as database:
        with full(small.disk):
            late = [
                Ledger(database).settle(Record(id=f"{number}", label="x" * 900, ending="done"))
                for number in range(500)
            ]
            await until(lambda: database.failing)
            assert "No space left on device" in str(database.failing)
        async with asyncio.timeout(30):
            await asyncio.gather(*late)
    assert not [message for message in caplog.messages if "refused a row" in message]
