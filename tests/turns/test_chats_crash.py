"""Chats through the ends of processes: killed, or stopped; what a chat has is what the books have."""

import asyncio
import signal
import sqlite3
from asyncio.subprocess import Process
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.postgresql import Server, rows_of
from tests.process import address, started
from tests.serving import CONVERSATION, Json, events, text
from tests.turns.clients import TURNS, followed, process_of
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until

pytestmark = pytest.mark.slow

CHATS = "/backend-api/v2/chats"
END = (Finish(), Usage(), Done())
COUNT = {"messages": [{"role": "user", "content": "Count"}], "conversation_id": "c"}
ENDINGS = "SELECT ending FROM records WHERE kind = 'turn'"


async def got(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def asked_until(word: bytes, http: aiohttp.ClientSession, url: str, **more: Any) -> str:
    """The id of a turn that was left when it had said a word."""
    async with http.post(url + CONVERSATION, json=COUNT | more) as answer:
        while word not in await answer.content.readany():
            pass
        return answer.headers["X-Turn-Id"]


async def killed(process: Process) -> None:
    process.kill()
    await process.wait()


@pytest.mark.parametrize("system", ["sqlite", "postgresql"])
async def test_a_kill_leaves_an_interrupted_answer(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: Upstream, system: str
) -> None:
    if system == "sqlite":
        await assert_interrupted(tmp_path, upstream, f"sqlite:///{tmp_path}/state/causerie.db")
        return
    server: Server = request.getfixturevalue("postgresql")
    async with server.database() as url:
        await assert_interrupted(tmp_path, upstream, url)


async def assert_interrupted(directory: Path, upstream: Upstream, database: str) -> None:
    upstream.script(Say("One "), Say("two "), Gate(asyncio.Event()))
    where = {"CAUSERIE_DATABASE_URL": database}
    async with process_of(directory, upstream, **where) as (process, url), aiohttp.ClientSession() as http:
        turn = await asked_until(b"two", http, url, on_disconnect="detach")
        await asyncio.sleep(0.6)  # the journal writes every 250 ms
        assert (await got(http, f"{url}{CHATS}/c"))["running"] == turn
        await killed(process)
    for _ in range(2):  # the second start finds nothing left to do
        async with process_of(directory, upstream, **where) as (_, url), aiohttp.ClientSession() as http:
            found = await got(http, f"{url}{CHATS}/c")
            _, cut = found["tree"]
            assert (cut["content"], cut["state"], cut["finish"]) == ("One two ", "interrupted", "interrupted")
            assert (found["running"], cut["turn"], found["leaf"]) == (None, turn, cut["id"])
            told = events((await followed(http, url, turn))[1])
            assert (text(told), told[-2]["finish"]["reason"]) == ("One two ", "interrupted")
            assert await endings(database) == ["interrupted"]
    upstream.script(Say("Three."), *END)
    async with process_of(directory, upstream, **where) as (_, url), aiohttp.ClientSession() as http:
        before = [*COUNT["messages"], {"role": "assistant", "content": "One two three"}]
        again = COUNT | {"messages": [*before, {"role": "user", "content": "Go on"}]}
        async with http.post(url + CONVERSATION, json=again) as answer:
            await answer.read()
        (hit,) = (await got(http, f"{url}{CHATS}?q=two"))["chats"]
        assert (hit["message"], hit["messages"]) == (cut["id"], 4)


async def endings(database: str) -> list[str | None]:
    """Of all records of turns."""
    if database.startswith("sqlite"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as file:
            return [ending for (ending,) in file.execute(ENDINGS)]
    return [ending for (ending,) in await rows_of(database, ENDINGS)]


async def test_what_is_asked_again_after_a_kill_is_the_same_pair(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("One "), Gate(asyncio.Event()))
    headers = {"Idempotency-Key": "k"}
    async with (
        process_of(tmp_path, upstream) as (process, url),
        aiohttp.ClientSession(headers=headers) as http,
    ):
        turn = await asked_until(b"One", http, url)
        await got(http, f"{url}{CHATS}/c")  # which waits until it is durable
        await killed(process)
    async with process_of(tmp_path, upstream) as (_, url), aiohttp.ClientSession(headers=headers) as http:
        async with http.post(url + CONVERSATION, json=COUNT) as answer:
            assert answer.headers["X-Turn-Id"] == turn
            await answer.read()
        found = await got(http, f"{url}{CHATS}/c")
        assert [each["turn"] for each in found["tree"]] == [None, turn]


async def test_a_stop_of_the_service_lets_an_answer_end(tmp_path: Path, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("One "), Gate(gate), Say("two."), *END)
    found = await drained(tmp_path, upstream, gate)
    assert (found["tree"][1]["content"], found["tree"][1]["state"]) == ("One two.", "finished")
    assert await endings(f"sqlite:///{tmp_path}/state/causerie.db") == ["done"]


async def test_a_stop_of_the_service_cuts_an_answer_that_takes_too_long(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script(Say("One "), Gate(asyncio.Event()))
    found = await drained(tmp_path, upstream, None, CAUSERIE_SERVER_SHUTDOWN_TIMEOUT="1")
    assert (found["tree"][1]["content"], found["tree"][1]["state"]) == ("One ", "interrupted")
    assert await endings(f"sqlite:///{tmp_path}/state/causerie.db") == ["interrupted"]


async def drained(directory: Path, upstream: Upstream, gate: asyncio.Event | None, **settings: str) -> Json:
    """The chat, after the process was told to stop in mid-answer, and the gate was opened."""
    async with process_of(directory, upstream, **settings) as (process, url), aiohttp.ClientSession() as http:
        await asked_until(b"One", http, url, on_disconnect="detach")
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        if gate:
            gate.set()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    async with process_of(directory, upstream) as (_, url), aiohttp.ClientSession() as http:
        return dict(await got(http, f"{url}{CHATS}/c"))


async def test_an_answer_that_nobody_reads_is_in_its_chat(tmp_path: Path, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("One "), Gate(gate), Say("two."), *END)
    async with process_of(tmp_path, upstream) as (process, url), aiohttp.ClientSession() as http:
        await asked_until(b"One", http, url, on_disconnect="detach")
        gate.set()
        for _ in range(200):
            if not await got(http, url + TURNS):
                break
            await asyncio.sleep(0.02)
        found = await got(http, f"{url}{CHATS}/c")
        assert found["tree"][1]["content"] == "One two."
        await killed(process)  # what was shown is durable
    async with process_of(tmp_path, upstream) as (_, url), aiohttp.ClientSession() as http:
        assert await got(http, f"{url}{CHATS}/c") == found


async def test_a_kill_in_the_midst_of_an_import_leaves_whole_chats(tmp_path: Path) -> None:
    items = [{"role": "user", "content": "Some words"}] * 3_000
    chats = [{"id": f"c{number}", "title": "Long", "items": items} for number in range(4)]
    file = tmp_path / "state/causerie.db"
    async with started(tmp_path) as process:
        url = await address(process)
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            group.create_task(cut_off(http, f"{url}{CHATS}/import", chats))
            await until(lambda: counted(file, "chats") > 1, seconds=20)
            await killed(process)
    assert counted(file, "chat_messages") % len(items), "it was in the midst of one"
    async with started(tmp_path) as process:
        url = await address(process)
        async with aiohttp.ClientSession() as http:
            whole = (await got(http, f"{url}{CHATS}"))["chats"]
            assert whole
            assert {chat["messages"] for chat in whole} == {len(items)}
            await until(lambda: counted(file, "chats") == len(whole), seconds=20)
            assert counted(file, "chat_messages") == len(whole) * len(items)


async def cut_off(http: aiohttp.ClientSession, url: str, body: object) -> None:
    """Sends something to a service that dies meanwhile."""
    with pytest.raises(aiohttp.ClientError):
        await http.post(url, json=body)


def counted(file: Path, table: str) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
