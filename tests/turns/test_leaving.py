"""Readers leave, come back and do not read: the upstream is let go, the books are closed, nothing is left."""

import asyncio
import gc
import json
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from service.stores.schema import records
from service.streaming import Reader
from service.turns.log import Log
from service.turns.turn import Turn
from tests.conftest import ROW
from tests.serving import CONVERSATION, Service, events, ids, serving, text
from tests.turns.clients import TURNS, followed
from tests.upstream import (
    Answer,
    Close,
    Done,
    Finish,
    Gate,
    Request,
    Say,
    Silent,
    Stall,
    Step,
    Upstream,
    Usage,
    step,
    until,
)

CLIENTS = 100


@step
async def Count(answer: Answer, numbers: int, pace: float) -> None:
    for number in range(numbers):
        await Say(f"{number} ")(answer)
        await asyncio.sleep(pace)


@asynccontextmanager
async def leaving_nothing(
    directory: Path, upstream: Upstream, **variables: str
) -> AsyncGenerator[Service, None]:
    """A service of which nothing is left afterwards: no turn, log or reader, no task, no socket upstream."""
    async with serving(directory, ROW.format(url=upstream.url), **variables) as service:
        tasks, sockets = len(asyncio.all_tasks()), upstream.open
        yield service
        await service.http.close()
        await until(lambda: not service.context.turns.running(None))
        await until(lambda: upstream.open <= sockets)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        await until(lambda: not left(), seconds=0.5)
        rows = await service.context.database.read(select(records.c.ending))
        assert len(rows) >= len(upstream.bill), "some leave before anybody is asked"
        assert None not in [row["ending"] for row in rows]


def left() -> list[object]:
    """What is still held of turns that have ended."""
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, Turn | Log | Reader)]


async def read_some(answer: aiohttp.ClientResponse, frames: int) -> bytes:
    """Up to that many frames; less where the stream ends."""
    found = b""
    for _ in range(frames):
        try:
            found += await answer.content.readuntil(b"\n\n")
        except asyncio.IncompleteReadError:
            break
    return found


def request_of(upstream: Upstream, prompt: str) -> Request | None:
    for request in upstream.requests:
        if request.body and request.body["messages"][0]["content"] == prompt:
            return request
    return None


async def leave(service: Service, prompt: str, frames: int, **body: Any) -> tuple[str, str, float]:
    """Asks, reads some frames and leaves; the turn's id, the last event's, and when that was."""
    async with service.asking(prompt, **body) as answer:
        read = await read_some(answer, frames)
    return answer.headers["X-Turn-Id"], ids(read)[-1] if read else "", asyncio.get_running_loop().time()


async def test_a_hundred_leave_at_random_and_a_hundred_upstreams_are_closed(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script(Count(10_000, 0.005))
    chance = random.Random(1)
    async with leaving_nothing(tmp_path, upstream) as service:
        visits = (leave(service, f"client {number}", chance.randrange(30)) for number in range(CLIENTS))
        left_at = [at for *_, at in await asyncio.gather(*visits)]
        await until(lambda: len(upstream.aborted) == len(upstream.bill))
        await until(lambda: not service.context.turns.running(None))
        for number, at in enumerate(left_at):
            request = request_of(upstream, f"client {number}")
            assert request is None or (request.aborted_at or at) - at < 1, (
                "None: it left before anybody asked"
            )
        assert {row["ending"] for row in await service.context.database.read(select(records))} == {
            "abandoned"
        }


async def test_who_leaves_before_the_answer_begins_has_left(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Silent())
    async with leaving_nothing(tmp_path, upstream) as service, aiohttp.ClientSession() as http:

        async def ask() -> None:
            async with http.post(service.url + CONVERSATION, json={"prompt": "Hello"}) as answer:
                await answer.read()

        for seconds in (0, 0.001, 0.002, 0.005, 0.01, 0.05):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(), seconds)
        await until(lambda: len(upstream.aborted) == len(upstream.bill))


async def test_who_leaves_during_the_ending_changes_nothing(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Finish(), Usage(), Done(), Close())
    for choice in ("cancel", "wait", "detach"):
        async with leaving_nothing(tmp_path, upstream, CAUSERIE_DATABASE_LINGER="0.2") as service:
            visits = (leave(service, "Hello", 4, on_disconnect=choice) for _ in range(20))
            for turn, *_ in await asyncio.gather(*visits):
                assert (await service.post(f"{TURNS}/{turn}/stop", b""))[1]["ending"] == "done"


async def test_half_of_those_who_wait_come_back(tmp_path: Path, upstream: Upstream) -> None:
    gate, chance = asyncio.Event(), random.Random(2)
    upstream.script(Count(20, 0.005), Gate(gate), Say("end"), Finish(), Usage(), Done(), Close())
    whole = "".join(f"{number} " for number in range(20)) + "end"
    returned: list[str] = []

    async def come_back(service: Service, number: int) -> None:
        turn, last, _ = await leave(service, f"{number}", chance.randrange(20), on_disconnect="wait")
        headers = {"Last-Event-ID": last} if last else None
        async with service.http.get(f"{service.url}{TURNS}/{turn}", headers=headers) as answer:
            returned.append(turn)
            rest = await answer.read()
        assert whole.endswith(text(events(rest)))
        _, told = await followed(service.http, service.url, turn)
        assert told.endswith(rest)
        assert text(events(told)) == whole

    async with leaving_nothing(tmp_path, upstream, CAUSERIE_STREAM_GRACE="2") as service:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS // 2):
                group.create_task(come_back(service, number))
                group.create_task(leave(service, "Hello", chance.randrange(20), on_disconnect="wait"))
            await until(lambda: len(upstream.aborted) == CLIENTS // 2)
            assert len(returned) == CLIENTS // 2
            gate.set()
        await until(lambda: not service.context.turns.running(None))
        rows = await service.context.database.read(select(records))
        assert {row["id"] for row in rows if row["ending"] == "done"} == set(returned)
        assert [row["ending"] for row in rows].count("abandoned") == CLIENTS // 2


async def test_a_storm_of_readers_reads_one_text_and_leaves_nothing(
    tmp_path: Path, upstream: Upstream
) -> None:
    numbers, chance = 600, random.Random(3)
    upstream.script(Count(numbers, 0.003), Finish(), Usage(), Done(), Close())

    async def read_in_pieces(service: Service, turn: str) -> bytes:
        read = b""
        for _ in range(chance.randrange(8)):
            headers = {"Last-Event-ID": ids(read)[-1]} if read else None
            async with service.http.get(f"{service.url}{TURNS}/{turn}", headers=headers) as answer:
                read += await read_some(answer, chance.randrange(60))
            await asyncio.sleep(chance.uniform(0, 0.05))
        status, rest = await followed(service.http, service.url, turn, ids(read)[-1] if read else "")
        assert status in {200, 204}
        return read + rest

    async with leaving_nothing(tmp_path, upstream) as service:
        turn, *_ = await leave(service, "Count.", 1, on_disconnect="detach")
        streams = await asyncio.gather(*(read_in_pieces(service, turn) for _ in range(200)))
        assert set(streams) == {(await followed(service.http, service.url, turn))[1]}
        assert text(events(streams[0])) == "".join(f"{number} " for number in range(numbers))
        assert len(upstream.bill) == 1


MANY, LONG = 400, "x" * 20_000


async def ask_and_do_not_read(service: Service, choice: str) -> socket.socket:
    """A client with a tiny receive buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = service.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "Hello", "on_disconnect": choice})
    head = f"POST {CONVERSATION} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    await asyncio.to_thread(client.connect, (host, int(port)))
    await asyncio.to_thread(client.sendall, (head + body).encode())
    return client


@pytest.mark.parametrize(
    ("choice", "ending"), [("cancel", "abandoned"), ("wait", "abandoned"), ("detach", "done")]
)
async def test_who_does_not_read_is_cut_off_and_his_turn_goes_by_its_rule(
    tmp_path: Path, upstream: Upstream, choice: str, ending: str
) -> None:
    gate = asyncio.Event()
    steps: list[Step] = [*(Say(LONG) for _ in range(MANY)), Gate(gate), Finish(), Usage(), Done()]
    upstream.script(*steps)
    patience = {"CAUSERIE_STREAM_WRITE_TIMEOUT": "0.5", "CAUSERIE_STREAM_GRACE": "0.3"}
    async with leaving_nothing(tmp_path, upstream, **patience) as service:
        client = await ask_and_do_not_read(service, choice)
        await until(lambda: upstream.bill and upstream.bill[0][1] == MANY)
        id = service.context.turns.running(None)[0].id
        await until(lambda: not service.buffered())
        if choice == "detach":
            gate.set()
        else:
            await until(lambda: upstream.aborted)
        said = events((await followed(service.http, service.url, id))[1])
        assert text(said) == LONG * MANY
        assert (await service.post(f"{TURNS}/{id}/stop", b""))[1]["ending"] == ending
        client.close()


async def test_who_waits_may_be_slow_once_and_read_on(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(*(Say(LONG) for _ in range(MANY)), Stall())
    async with leaving_nothing(tmp_path, upstream, CAUSERIE_STREAM_WRITE_TIMEOUT="0.5") as service:
        client = await ask_and_do_not_read(service, "wait")
        await until(lambda: service.context.turns.running(None))
        id = service.context.turns.running(None)[0].id
        await until(lambda: not service.context.turns.running(None)[0].readers)
        async with service.http.get(f"{service.url}{TURNS}/{id}") as answer:
            assert text(events(await read_some(answer, MANY + 2))) == LONG * MANY
            assert (await service.post(f"{TURNS}/{id}/stop", b""))[1]["ending"] == "stopped"
            assert [event["type"] for event in events(await answer.read())] == ["finish", "usage"]
        client.close()
