"""What becomes of a chat when its turn goes wrong, is refused, or finds the database away."""

import asyncio
import logging
from pathlib import Path

import pytest
from sqlalchemy import TextClause
from sqlalchemy import text as sql

from tests.conftest import ROW
from tests.serving import Service, kinds, serving, text
from tests.stores.test_writer import locked
from tests.turns.test_chats import CHATS, END, ask, assistant, chat, told, until_ended, user
from tests.upstream import Done, Finish, Gate, Reset, Say, Status, Upstream, Usage, until

SECRET = "Kilimanjaro"


async def listed(service: Service) -> list[str]:
    return [each["id"] for each in (await service.get(CHATS))["chats"]]


async def test_what_is_private_is_in_no_table_but_the_journal(
    service: Service, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script(Say(SECRET), *END)
    assert text(await service.ask(SECRET, conversation_id=None)) == SECRET
    await until_ended(service)
    for table in ("chats", "chat_messages", "chat_words", "records"):
        rows = await service.context.database.read(rows_of(table))
        assert SECRET.lower() not in str([dict(row) for row in rows]).lower()
    assert SECRET not in caplog.text
    assert (await service.get(f"{CHATS}?q={SECRET}"))["chats"] == []


def rows_of(table: str) -> TextClause:
    return sql(f"SELECT * FROM {table}")


@pytest.mark.parametrize("limit", ["REQUESTS_PER_MINUTE", "TURNS_AT_ONCE"])
async def test_what_a_limit_refuses_is_in_no_chat(tmp_path: Path, upstream: Upstream, limit: str) -> None:
    gate = asyncio.Event()
    upstream.script(Say("One"), Gate(gate), *END)
    row = ROW.format(url=upstream.url)
    async with (
        serving(tmp_path, row, **{f"CAUSERIE_LIMITS_{limit}": "1"}) as service,
        service.asking("First", conversation_id="c") as first,
    ):
        await first.content.readany()
        for id in ("c", "d"):
            async with service.asking("Second", conversation_id=id) as refused:
                assert refused.status == 429
        gate.set()
        await first.read()
        assert await listed(service) == ["c"]
        assert [content for *_, content in told(await chat(service))] == ["First", "One"]


async def test_what_has_no_room_takes_nothing_from_a_limit(tmp_path: Path, upstream: Upstream) -> None:
    limits = {"CAUSERIE_CHATS_USER_CHATS": "1", "CAUSERIE_LIMITS_TURNS_AT_ONCE": "1"}
    async with serving(tmp_path, ROW.format(url=upstream.url), **limits) as service:
        await ask(service, user("One"))
        for _ in range(3):
            async with service.asking("Two", conversation_id="d") as refused:
                assert refused.status == 413
        await ask(service, user("Three"))


async def test_what_fails_before_the_first_word_is_kept(service: Service, upstream: Upstream) -> None:
    upstream.script(Status(401))
    await ask(service, user("Hi"))
    question, answer = (await chat(service))["tree"]
    assert (answer["state"], answer["content"], answer["parent"]) == ("failed", "", question["id"])
    assert answer["error"]
    upstream.script(Say("Here"), *END)
    await ask(service, user("Hi"))
    assert told(await chat(service)) == [
        (None, "user", "Hi"),
        (1, "assistant", ""),
        (1, "assistant", "Here"),
    ]


async def test_a_stop_keeps_what_was_said(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Half "), Gate(asyncio.Event()))
    async with service.asking(conversation_id="c") as answer:
        turn = answer.headers["X-Turn-Id"]
        while b"Half" not in await answer.content.readany():
            pass
        status, _ = await service.post(f"/backend-api/v2/turns/{turn}/stop", b"")
        assert status == 200
        await answer.read()
    said = (await chat(service))["tree"][1]
    assert (said["content"], said["state"], said["finish"]) == ("Half ", "stopped", "stopped")


async def test_another_provider_goes_on_and_it_is_one_answer(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream() as second:
        rows = ROW.format(url=upstream.url) + ROW.format(url=second.url).replace('"Upstream"', '"Second"')
        upstream.script(Say("One "), Reset())
        second.script(Say("two."), *END)
        async with serving(tmp_path, rows, CAUSERIE_ROUTING_PATIENCE="0") as service:
            events = await ask(service, user("Count"), model="small", continuation=True)
            assert "switch" in kinds(events)
            assert told(await chat(service)) == [(None, "user", "Count"), (1, "assistant", text(events))]
            assert text(events) == "One two."
            assert (await chat(service))["tree"][1]["state"] == "finished"


async def test_an_answer_is_gone_on_with(service: Service, upstream: Upstream) -> None:
    """Clients then send both parts as one."""
    upstream.enqueue(
        (Say("One "), Finish("length"), Usage(), Done()), (Say("two."), *END), (Say("Three."), *END)
    )
    await ask(service, user("Count"))
    await ask(service, user("Count"), assistant("One "), action="continue")
    await ask(service, user("Count"), assistant("One two."), user("And?"))
    assert told(await chat(service)) == [
        (None, "user", "Count"),
        (1, "assistant", "One "),
        (2, "assistant", "two."),
        (3, "user", "And?"),
        (4, "assistant", "Three."),
    ]


async def test_a_chat_can_be_read_while_nothing_can_be_written(tmp_path: Path, upstream: Upstream) -> None:
    quick = {"CAUSERIE_DATABASE_SETTLE_TIMEOUT": "0.2"}
    async with serving(tmp_path, ROW.format(url=upstream.url), **quick) as service:
        await ask(service, user("One"))
        await until_ended(service)
        with locked(tmp_path / "state" / "causerie.db"):
            (*_, used) = await ask(service, user("Two"))
            assert used["recorded"] is False
            assert await listed(service) == ["c"]
            assert (await chat(service))["messages"] == 2
            await until(lambda: service.context.database.failing, seconds=20)
            for method, path, body in (
                ("PATCH", "/c", {"title": "New"}),
                ("DELETE", "/c", None),
                ("DELETE", "", None),
            ):
                async with service.http.request(method, service.url + CHATS + path, json=body) as answer:
                    assert answer.status == 503, path
            items = [{"role": "user", "content": "Hi"}]
            async with service.http.post(f"{service.url}{CHATS}/import", json={"items": items}) as answer:
                assert answer.status == 503
            async with service.asking("Three", conversation_id="c") as answer:
                assert answer.status == 507
        await until(lambda: not service.context.database.failing, seconds=30)
        await until_ended(service)
        assert [role for _, role, _ in told(await chat(service))] == ["user", "assistant"] * 2


async def test_a_change_and_a_turn_at_the_same_moment(service: Service, upstream: Upstream) -> None:
    """Whatever comes first, the chat is whole, or gone."""
    for number in range(30):
        if await during_a_turn(service, number, "PATCH", {"title": "Mine"}) == 200:
            assert (await chat(service))["title"] == "Mine"
        await ask(service, user("Hello"))
        assert await during_a_turn(service, number, "DELETE") == 204
        for _ in await listed(service):  # the turn began after the chat was removed
            assert [parent for parent, *_ in told(await chat(service))] == [None, 1]
            assert await during_a_turn(service, number, "DELETE") == 204


async def during_a_turn(service: Service, number: int, method: str, body: object = None) -> int:
    """The status of what is done with a chat some time after a turn in it was asked for."""
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(service, user("Hello")))
        for _ in range(number):
            await asyncio.sleep(0.0005)
        async with service.http.request(method, f"{service.url}{CHATS}/c", json=body) as answer:
            status = answer.status
    await until_ended(service)
    return int(status)
