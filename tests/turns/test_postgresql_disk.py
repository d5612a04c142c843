"""The disk of PostgreSQL fills up while turns are answered: nobody is cut off, and nothing is lost."""

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import ROW
from tests.postgresql import Server, rows_of
from tests.serving import serving, text
from tests.several import settled
from tests.stores.test_postgresql_disk import small_database
from tests.stores.test_writer import full
from tests.turns.clients import Reading, followed
from tests.turns.test_races import assert_durable
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until

TURNS = 20
LONG = random.Random(5).randbytes(20_000).hex()
"""What cannot be written into the pages that there are."""


async def test_a_full_disk_of_the_server_costs_no_answer(
    tmp_path: Path, upstream: Upstream, postgresql: Server
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hel"), Gate(gate), Say(LONG), Finish(), Usage(), Done())
    async with small_database(postgresql) as small:
        quick = {"CAUSERIE_DATABASE_URL": small.url, "CAUSERIE_DATABASE_SETTLE_TIMEOUT": "0.5"}
        async with serving(tmp_path, ROW.format(url=upstream.url), **quick) as service:
            readings = [Reading(f"key{number}") for number in range(TURNS)]
            async with asyncio.TaskGroup() as group:
                for reading in readings:
                    group.create_task(reading.ask(service.http, service.url))
                await until(lambda: all(b'"Hel"' in reading.stream() for reading in readings))
                with full(small.disk):
                    gate.set()
                    await until(lambda: all(b"event: usage" in reading.stream() for reading in readings))
                    for reading in readings:
                        assert text(reading.events()) == "Hel" + LONG
                        assert reading.events()[-1]["recorded"] is False
                    same = await followed(service.http, service.url, readings[0].turn)
                    assert same == (200, readings[0].stream()), "from memory"
                    with pytest.raises(aiohttp.ClientResponseError, match="507"):
                        await Reading("new").ask(service.http, service.url)
                    async with service.http.get(f"{service.url}/health/ready") as ready:
                        assert ready.status == 503
            assert [record["ending"] for record in await settled(service)] == ["done"] * TURNS
            for reading in readings:
                await assert_durable(service, reading)
            assert sum(row["total_tokens"] for row in await service.records()) == sum(map(sum, upstream.bill))
            assert "recorded" not in (await service.ask())[-1]
            found = await rows_of(small.url, "SELECT count(*) FROM records JOIN turns USING (id, ending)")
            assert found == [(TURNS + 1,)]
