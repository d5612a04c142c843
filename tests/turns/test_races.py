"""Two things at once: a stop and an end, a turn and a database that is locked, a turn and a full disk."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import select

from service.messages import Ask, Message
from service.stores.ledger import Record
from service.stores.schema import records
from service.turns.turn import Terms, Turn
from tests.conftest import ROW
from tests.serving import Json, Service, events, ids, serving, text
from tests.stores.test_writer import full, locked, small_disk
from tests.turns.clients import TURNS, Reading, followed
from tests.upstream import Done, Finish, Gate, Say, Stall, Upstream, Usage, until

END = (Finish(), Usage(), Done())


async def stop(service: Service, turn: str) -> str:
    status, state = await service.post(f"{TURNS}/{turn}/stop", b"")
    assert (status, state["id"]) == (200, turn)
    return str(state["ending"])


async def settled(service: Service) -> list[Json]:
    """All records, once nothing of them is in memory any more."""
    await until(lambda: not service.context.turns._present, seconds=30)
    return [dict(row) for row in await service.context.database.read(select(records))]


async def begun(service: Service, number: int) -> Turn:
    """A turn that nobody reads, and whose task has not run yet."""
    ask, record = Ask(messages=[Message("user", "Hello")]), Record(id=f"turn{number}", user="local")
    turn = await service.context.turns.start(ask, None, record, Terms(on_disconnect="detach"))
    assert isinstance(turn, Turn)
    return turn


async def test_who_leaves_during_admission_has_asked_nothing(service: Service, upstream: Upstream) -> None:
    service.context.registry.probed.clear()  # it is not known yet who can answer
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(service.ask(), 0.2)
    await until(lambda: not service.buffered())
    service.context.registry.probed.set()
    await service.ask()
    assert len(await settled(service)) == len(upstream.bill) == 1


async def test_a_stop_before_anything_has_happened(service: Service, upstream: Upstream) -> None:
    turn = await begun(service, 0)
    await turn.stopped()
    assert [record["ending"] for record in await settled(service)] == ["stopped"]
    assert upstream.bill == []
    _, stream = await followed(service.http, service.url, turn.id)
    assert [event["type"] for event in events(stream)] == ["turn", "finish", "usage"]


async def test_a_stop_and_the_natural_end_are_one_ending(service: Service, upstream: Upstream) -> None:
    """The stop comes later and later after the upstream's last word, by single turns of the loop."""
    found = set()
    for number in range(100):
        gate = asyncio.Event()
        upstream.script(Say("Hello"), Gate(gate), *END)
        turn = await begun(service, number)
        await until(lambda turn=turn: text_of(turn))  # type: ignore[misc]
        gate.set()
        for _ in range(number):
            await asyncio.sleep(0)
        turn.stop()
        await turn.stopped()
        assert await stop(service, turn.id) == turn.ending
        told = events((await followed(service.http, service.url, turn.id))[1])
        assert [event["type"] for event in told] == ["turn", "provider", "content", "finish", "usage"]
        found.add(turn.ending)
    assert found == {"stopped", "done"}
    assert len(await settled(service)) == 100


def text_of(turn: Turn) -> bool:
    return len(turn.log.events) > 2


async def test_many_stops_are_one(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    async with service.asking() as answer:
        turn = answer.headers["X-Turn-Id"]
        await answer.content.readuntil(b'"Hel"}\n\n')
        assert await asyncio.gather(*(stop(service, turn) for _ in range(20))) == ["stopped"] * 20
        assert [event["type"] for event in events(await answer.read())] == ["finish", "usage"]
    assert [record["ending"] for record in await settled(service)] == ["stopped"]


async def test_a_locked_database_delays_no_stop_and_no_reader(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    quick = {"CAUSERIE_DATABASE_SETTLE_TIMEOUT": "0.2"}
    async with serving(tmp_path, ROW.format(url=upstream.url), **quick) as service:
        reading = Reading("key")
        await until(lambda: not service.context.database.waiting)  # else nobody here could end the commit
        with locked(tmp_path / "state" / "causerie.db"):
            async with asyncio.TaskGroup() as group:
                group.create_task(reading.ask(service.http, service.url))
                await until(lambda: b'"Hel"' in reading.stream())
                assert await stop(service, reading.turn) == "stopped"
            assert reading.events()[-1]["recorded"] is False
            assert await followed(service.http, service.url, reading.turn) == (200, reading.stream())
            assert len(await again(service, "key")) == len(reading.events())
        assert [record["ending"] for record in await settled(service)] == ["stopped"]
        await assert_durable(service, reading)
        assert await again(service, "key") == events(
            (await followed(service.http, service.url, reading.turn))[1]
        )
        assert len(upstream.bill) == 1


async def again(service: Service, key: str) -> list[Json]:
    """What a repeated request is told."""
    reading = Reading(key)
    await reading.ask(service.http, service.url)
    return reading.events()


async def assert_durable(service: Service, reading: Reading) -> None:
    """It is what was read, with the same ids; and it is recorded now."""
    status, stream = await followed(service.http, service.url, reading.turn)
    assert (status, ids(stream)) == (200, ids(reading.stream()))
    assert reading.events()[-1].pop("recorded") is False
    assert events(stream)[:-1] == reading.events()[:-1]
    assert "recorded" not in events(stream)[-1]
    assert await followed(service.http, service.url, reading.turn, ids(stream)[-1]) == (204, b"")


async def test_a_full_disk_costs_no_answer(tmp_path: Path, upstream: Upstream) -> None:
    gate, disk = asyncio.Event(), tmp_path / "disk"
    upstream.script(Say("Hel"), Gate(gate), Say("lo"), *END)
    with small_disk(disk):
        quick = {"CAUSERIE_DATABASE_SETTLE_TIMEOUT": "0.5", "CAUSERIE_STATE_DIR": str(disk / "state")}
        async with serving(tmp_path, ROW.format(url=upstream.url), **quick) as service:
            readings = [Reading(f"key{number}") for number in range(20)]
            async with asyncio.TaskGroup() as group:
                for reading in readings:
                    group.create_task(reading.ask(service.http, service.url))
                await until(lambda: all(b'"Hel"' in reading.stream() for reading in readings))
                with full(disk):
                    gate.set()
                    await until(lambda: all(len(reading.events()) == 6 for reading in readings))
                    for reading in readings:
                        assert text(reading.events()) == "Hello"
                        assert reading.events()[-1]["recorded"] is False
                        same = await followed(service.http, service.url, reading.turn)
                        assert same == (200, reading.stream()), "from memory"
                    with pytest.raises(aiohttp.ClientResponseError, match="507"):
                        await Reading("new").ask(service.http, service.url)
            endings = [record["ending"] for record in await settled(service)]
            assert endings.count("done") == 20
            assert set(endings) <= {"done", "refused"}, "the one with 507 is written if room came in time"
            for reading in readings:
                await assert_durable(service, reading)
