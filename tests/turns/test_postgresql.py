"""Turns over PostgreSQL: as over SQLite, also when the server goes away in their midst."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from yarl import URL

from tests.conftest import ROW
from tests.postgresql import Server, rows_of, stopped
from tests.serving import CONVERSATION, Service, ids, serving, text
from tests.turns.clients import TURNS, Reading, followed, keep_asking, process_of
from tests.upstream import Done, Finish, Say, Upstream, Usage, Wait, until

READERS = 50
COUNTED = [step for number in range(40) for step in (Say(f"{number} "), Wait(0.05))]


@pytest.fixture
async def url(postgresql: Server) -> AsyncGenerator[str, None]:
    async with postgresql.database() as url:
        yield url


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, url: str) -> AsyncGenerator[Service, None]:
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_DATABASE_URL=url) as service:
        yield service


async def endings(url: str, table: str) -> dict[str, str | None]:
    """As that table has it, on a connection of its own."""
    return dict(await rows_of(url, f"SELECT id, ending FROM {table} WHERE ending IS DISTINCT FROM 'refused'"))


async def test_a_turn_is_told_and_recorded(service: Service, url: str, tmp_path: Path) -> None:
    answer = await service.ask()
    assert text(answer) == "Hello from the upstream."
    assert "recorded" not in answer[-1]
    (record,) = await service.records()
    assert (record["total_tokens"], record["provider"]) == (5, "Upstream")
    assert (await service.get("/backend-api/v2/stats"))["totals"]["requests"] == 1
    assert list((await endings(url, "turns")).values()) == ["done"]
    assert not list((tmp_path / "state").glob("*.db"))


async def test_a_turn_is_read_again_from_the_database(service: Service) -> None:
    async with service.asking() as answer:
        turn, whole = answer.headers["X-Turn-Id"], await answer.read()
    await until(lambda: not service.context.turns._present)
    assert await followed(service.http, service.url, turn) == (200, whole)
    frames = whole.split(b"\n\n")
    assert await followed(service.http, service.url, turn, ids(whole)[1]) == (200, b"\n\n".join(frames[2:]))


async def test_no_odd_id_is_an_error(service: Service) -> None:
    for id in ("nothing", "%00", "%ED%B3%BF", "%F0%9F%98%80", "a" * 3_000):
        async with service.http.get(URL(f"{service.url}{TURNS}/{id}", encoded=True)) as answer:
            assert answer.status == 404, id


async def test_a_kill_loses_nothing_that_was_acknowledged(
    tmp_path: Path, upstream: Upstream, url: str
) -> None:
    upstream.script(*COUNTED[:10], Finish(), Usage(), Done())
    readings: list[Reading] = []
    served = process_of(tmp_path, upstream, CAUSERIE_DATABASE_URL=url)
    async with served as (process, address), asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(keep_asking(address, f"reader{number}", readings))
        await asyncio.sleep(1.5)
        process.kill()
    async with process_of(tmp_path, upstream, CAUSERIE_DATABASE_URL=url):
        found = await endings(url, "turns")
        assert found == await endings(url, "records"), "each turn is in the books once, and both agree"
        assert set(found.values()) <= {"done", "interrupted"}
    acknowledged = [reading for reading in readings if reading.acknowledged]
    assert len(acknowledged) >= 20
    assert {found[reading.turn] for reading in acknowledged} == {"done"}


async def read(service: Service, number: int) -> Reading:
    reading = Reading(f"reader{number}")
    await reading.ask(service.http, service.url)
    return reading


@pytest.mark.parametrize("patience", ["0.2", "20"])
async def test_a_restart_of_the_server_in_the_midst_of_turns(
    tmp_path: Path, upstream: Upstream, url: str, postgresql: Server, patience: str
) -> None:
    """Every answer is told whole; who is told that it is recorded finds it in the books."""
    upstream.script(*COUNTED, Finish(), Usage(), Done())
    variables = {"CAUSERIE_DATABASE_URL": url, "CAUSERIE_DATABASE_SETTLE_TIMEOUT": patience}
    async with serving(tmp_path, ROW.format(url=upstream.url), **variables) as service:
        database = service.context.database
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read(service, number)) for number in range(READERS)]
            await until(lambda: len(service.context.turns.running(None)) == READERS)
            await asyncio.sleep(0.5)
            async with stopped(postgresql):
                await until(lambda: database.failing)
                status, error = await service.post(CONVERSATION, {"prompt": "Hello"})
                assert (status, error["error"]["code"]) == (507, "storage_full")
                if patience == "0.2":
                    await until(lambda: not service.context.turns.running(None), seconds=30)
        readings = [reader.result() for reader in readers]
        assert {text(reading.events()) for reading in readings} == {"".join(f"{n} " for n in range(40))}
        assert {reading.acknowledged for reading in readings} == {patience == "20"}

        await until(lambda: not database.failing and not database.waiting, seconds=30)
        assert "recorded" not in (await service.ask())[-1]
        found = await endings(url, "turns")
        assert found == await endings(url, "records")
        assert Counter(found.values()) == {"done": READERS + 1}
        assert {reading.turn for reading in readings} < found.keys()
        assert len(upstream.bill) == READERS + 1
        assert sum(row["total_tokens"] for row in await service.records()) == sum(map(sum, upstream.bill))
