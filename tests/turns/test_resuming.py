"""A turn can be read again, from any place, by its owner: nothing lost, nothing doubled, never silence."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Service, events, ids, serving, text
from tests.upstream import Done, Finish, Gate, Reason, Say, Stall, Upstream, Usage, until

TURNS = "/backend-api/v2/turns"
SAID = [Reason("Hm."), *(Say(piece) for piece in ("Grüße ", "из ", "東京 ", "👩‍👩‍👧", "!"))]


async def finished(service: Service, upstream: Upstream) -> tuple[str, bytes]:
    """A turn that has ended: its id, and its stream."""
    upstream.script(*SAID, Finish(), Usage(), Done())
    async with service.asking() as answer:
        return answer.headers["X-Turn-Id"], await answer.read()


@asynccontextmanager
async def following(
    service: Service, turn: str, last: str = "", **headers: str
) -> AsyncGenerator[aiohttp.ClientResponse, None]:
    if last:
        headers["Last-Event-ID"] = last
    async with service.http.get(f"{service.url}{TURNS}/{turn}", headers=headers) as answer:
        yield answer


async def followed(service: Service, turn: str, last: str = "") -> bytes:
    async with following(service, turn, last) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_cut_after_each_event_the_rest_is_read_on(service: Service, upstream: Upstream) -> None:
    turn, whole = await finished(service, upstream)
    frames = [frame + b"\n\n" for frame in whole.split(b"\n\n")[:-1]]
    for read in range(len(frames)):
        last = ids(b"".join(frames[:read]))[-1] if read else ""
        assert await followed(service, turn, last) == b"".join(frames[read:])


async def test_cut_while_it_runs_it_is_read_on_live(service: Service, upstream: Upstream) -> None:
    gates = [asyncio.Event() for _ in range(5)]
    steps = [step for letter, gate in zip("abcde", gates, strict=True) for step in (Say(letter), Gate(gate))]
    upstream.script(*steps, Finish(), Usage(), Done())
    read = b""
    async with service.asking(on_disconnect="wait") as answer:
        turn = answer.headers["X-Turn-Id"]
        read += await answer.content.readuntil(b'"a"}\n\n')
    for letter, gate in zip("bcde", gates, strict=False):
        async with following(service, turn, ids(read)[-1]) as answer:
            assert answer.headers["Last-Event-ID"] == ids(read)[-1]
            gate.set()
            read += await answer.content.readuntil(f'"{letter}"}}\n\n'.encode())
    gates[-1].set()
    read += await followed(service, turn, ids(read)[-1])
    assert text(events(read)) == "abcde"
    assert [int(id.split("-")[1]) for id in ids(read)] == list(range(len(ids(read))))
    assert len(upstream.requests) == 2, "the list of models, and one turn"


async def test_a_hundred_readers_of_one_turn_read_the_same(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(*SAID[:3], Gate(gate), *SAID[3:], Finish(), Usage(), Done())
    async with service.asking() as answer:
        turn = answer.headers["X-Turn-Id"]
        readers = [asyncio.ensure_future(followed(service, turn)) for _ in range(100)]  # noqa: TID251
        await until(lambda: service.context.turns.running(None)[0].readers == 101)
        gate.set()
        whole = await answer.read()
        assert set(await asyncio.gather(*readers)) == {whole}


async def test_after_its_end_there_is_nothing_to_wait_for(service: Service, upstream: Upstream) -> None:
    turn, whole = await finished(service, upstream)
    async with following(service, turn, ids(whole)[-1]) as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def test_no_memory_holds_what_has_ended(service: Service, upstream: Upstream) -> None:
    turn, whole = await finished(service, upstream)
    await until(lambda: not service.context.turns._present)
    assert await followed(service, turn) == whole


@pytest.mark.parametrize(
    "last", ["00000000-1", "{epoch}-999", "{epoch}--1", "17", "nonsense", "{epoch}-99999999999"]
)
async def test_an_id_that_says_nothing_begins_again(service: Service, upstream: Upstream, last: str) -> None:
    turn, whole = await finished(service, upstream)
    epoch = ids(whole)[0].split("-")[0]
    async with following(service, turn, last.format(epoch=epoch)) as answer:
        assert answer.headers["Last-Event-ID"] == "earliest"
        stream = await answer.read()
    reset, rest = stream.split(b"\n\n", 1)
    assert reset.startswith(b"event: reset\n")
    assert rest == whole


async def test_the_query_serves_where_no_header_can_be_sent(service: Service, upstream: Upstream) -> None:
    turn, whole = await finished(service, upstream)
    async with service.http.get(f"{service.url}{TURNS}/{turn}?after={ids(whole)[2]}") as answer:
        assert ids(await answer.read()) == ids(whole)[3:]
    headers = {"Last-Event-ID": ids(whole)[4]}
    async with service.http.get(
        f"{service.url}{TURNS}/{turn}?after={ids(whole)[2]}", headers=headers
    ) as answer:
        assert ids(await answer.read()) == ids(whole)[5:]
    async with service.http.get(f"{service.url}{TURNS}/{turn}?after=abc") as answer:
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, "after")


@pytest.mark.parametrize("path", ["", "/stop"])
async def test_somebody_elses_turn_is_not_there(service: Service, upstream: Upstream, path: str) -> None:
    upstream.script(Say("Hel"), Stall())
    async with service.asking(headers={"x-user": "anna"}) as answer:
        turn = answer.headers["X-Turn-Id"]
        for user in ({"x-user": "bob"}, {}):
            others = [turn] if path == "" or user else []  # the operator, who sends no name, stops anybody's
            for id in (*others, "unknown", "%00", "..%2f" + turn):
                method = service.http.post if path else service.http.get
                async with method(f"{service.url}{TURNS}/{id}{path}", headers=user) as other:
                    assert other.status == 404
                    assert (await other.json())["error"]["code"] == "not_found"
        assert await service.get(TURNS, headers={"x-user": "bob"}) == []
        assert not upstream.aborted


async def test_stop_closes_the_upstream_keeps_what_was_said_and_tells_the_reader(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(Say("Hel"), Stall())
    async with service.asking(on_disconnect="detach") as answer:
        turn = answer.headers["X-Turn-Id"]
        read = await answer.content.readuntil(b'"Hel"}\n\n')
        status, state = await service.post(f"{TURNS}/{turn}/stop", b"")
        assert (status, state) == (200, {"id": turn, "ending": "stopped"})
        await until(lambda: upstream.aborted, seconds=0.25)
        read += await answer.read()
    assert [event["type"] for event in events(read)][-3:] == ["content", "finish", "usage"]
    assert events(read)[-2]["finish"] == {"reason": "stopped"}
    assert await followed(service, turn) == read
    assert await service.post(f"{TURNS}/{turn}/stop", b"") == (200, {"id": turn, "ending": "stopped"})


async def test_running_turns_are_listed(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("four score and"), Stall())
    async with service.asking() as answer:
        await answer.content.readuntil(b"four score")
        (listed,) = await service.get(TURNS)
        assert listed.pop("since") > 0
        assert listed == {
            "id": answer.headers["X-Turn-Id"],
            "user": "local",
            "provider": "Upstream",
            "model": "small",
            "tokens": 4,
            "readers": 1,
        }
    await until(lambda: not service.context.turns.running(None), seconds=2)
    assert await service.get(TURNS) == []


async def test_who_waits_is_given_a_grace(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_STREAM_GRACE="0.3") as service:
        async with service.asking(headers={"X-On-Disconnect": "wait"}) as answer:
            turn = answer.headers["X-Turn-Id"]
            await answer.content.readuntil(b'"Hel"}\n\n')
        for _ in range(3):
            await asyncio.sleep(0.2)
            async with following(service, turn) as answer:
                await answer.content.readuntil(b'"Hel"}\n\n')
        assert not upstream.aborted
        await until(lambda: upstream.aborted, seconds=2)
        assert events(await followed(service, turn))[-2]["finish"] == {"reason": "abandoned"}


async def test_who_is_detached_finishes_by_himself(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hel"), Gate(gate), Say("lo"), Finish(), Usage(), Done())
    async with service.asking(on_disconnect="detach") as answer:
        turn = answer.headers["X-Turn-Id"]
        await answer.content.readuntil(b'"Hel"}\n\n')
    gate.set()
    await until(lambda: not service.context.turns.running(None))
    assert text(events(await followed(service, turn))) == "Hello"


async def test_the_choice_is_checked(service: Service) -> None:
    status, error = await service.post(CONVERSATION, {"prompt": "x", "on_disconnect": "maybe"})
    assert (status, error["error"]["param"]) == (400, "$.on_disconnect")
    status, error = await service.post(CONVERSATION, {"prompt": "x"}, headers={"X-On-Disconnect": "maybe"})
    assert (status, error["error"]["param"]) == (400, "x-on-disconnect")


KEY = {"Idempotency-Key": "8d5a6c3e"}


async def asked(service: Service, prompt: str = "Hello", **headers: str) -> tuple[int, bytes]:
    async with service.asking(prompt, headers=KEY | headers) as answer:
        return answer.status, await answer.read()


async def test_a_repeated_request_is_the_same_turn(service: Service, upstream: Upstream) -> None:
    first, again = await asked(service), await asked(service)
    await until(lambda: not service.context.turns._present)
    assert first == again == await asked(service)
    assert len(upstream.bill) == 1


async def test_fifty_requests_at_once_are_one_turn(service: Service, upstream: Upstream) -> None:
    answers = await asyncio.gather(*(asked(service) for _ in range(50)))
    assert len(set(answers)) == 1
    assert len(upstream.bill) == 1


async def test_a_key_holds_for_one_body_and_one_user(service: Service, upstream: Upstream) -> None:
    await asked(service)
    status, error = await asked(service, "Another question")
    assert (status, json.loads(error)["error"]["code"]) == (422, "idempotency_key_reused")
    status, _ = await asked(service, "Another question", **{"x-user": "anna"})
    assert status == 200
    assert len(upstream.bill) == 2


async def test_a_refused_request_leaves_its_key_free(service: Service, upstream: Upstream) -> None:
    status, _ = await service.post(CONVERSATION, {"prompt": "Hello", "model": "none"}, headers=KEY)
    assert status == 404
    assert (await asked(service))[0] == 200


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ключ"])
async def test_an_odd_key_is_refused(service: Service, key: str) -> None:
    status, error = await service.post(CONVERSATION, {"prompt": "Hello"}, headers={"Idempotency-Key": key})
    assert (status, error["error"]["param"]) == (400, "idempotency-key")


async def test_a_drain_sends_readers_away_and_abandons_nobody(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row) as service, service.asking() as answer:
        turn = answer.headers["X-Turn-Id"]
        read = await answer.content.readuntil(b'"Hel"}\n\n')
        await service.context.turns.close(0.1)
        rest = await answer.read()
        assert rest == f'retry: 1000\nevent: resume\ndata: {{"type":"resume","resume":"{turn}"}}\n\n'.encode()
    async with serving(tmp_path, row) as service:
        after = events(await followed(service, turn, ids(read)[-1]))
        assert [event["type"] for event in after] == ["finish", "usage"]
        assert after[0]["finish"] == {"reason": "interrupted"}


async def test_what_has_expired_is_not_there(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row) as service:
        turn, _ = await finished(service, upstream)
    async with serving(tmp_path, row, CAUSERIE_STREAM_KEEP="0.01") as service:

        async def gone() -> bool:
            async with following(service, turn) as answer:
                return answer.status == 404

        for _ in range(100):
            if await gone():
                break
            await asyncio.sleep(0.02)
        assert await gone()


async def test_who_asks_for_the_head_alone_is_no_reader(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    async with service.asking() as answer:
        await answer.content.readuntil(b'"Hel"}\n\n')
        turn = answer.headers["X-Turn-Id"]
        async with service.http.head(f"{service.url}{TURNS}/{turn}") as head:
            assert (head.status, head.headers["X-Turn-Id"]) == (200, turn)
        assert not upstream.aborted
