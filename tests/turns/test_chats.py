"""What clients send is found again in their chats; whatever becomes of a turn is in its chat."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.stores.chats_content import digest
from service.stores.chats_parts import Node, Tree
from service.turns.chats_place import Said, place_of
from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, serving
from tests.upstream import (
    Done,
    Finish,
    Gate,
    Reason,
    Reset,
    Say,
    Status,
    ToolCall,
    Upstream,
    Usage,
    until,
)

CHATS = "/backend-api/v2/chats"
END = (Finish(), Usage(), Done())


def tree(*written: str) -> Tree:
    """Messages as "2<1 a!stopped Hello": the second, below the first; 0 is the beginning."""
    nodes = []
    for line in written:
        numbers, kind, *words = line.split(" ")
        number, parent = map(int, numbers.split("<"))
        role, _, state = kind.partition("!")
        role = {"u": "user", "a": "assistant", "t": "tool"}[role]
        nodes.append(Node(number, parent or None, role, digest(role, " ".join(words)), state or "finished"))
    return Tree(1, "", nodes, 0, 99)


def sent(*lines: str) -> list[Said]:
    roles = {"u": "user", "a": "assistant", "t": "tool"}
    pairs = [(roles[line[0]], line[2:]) for line in lines]
    return [Said(role, text, digest(role, text)) for role, text in pairs]


FOUR = tree("1<0 u one", "2<1 a two", "3<2 u three", "4<3 a four")
GOES_ON = tree("1<0 u one", "2<1 a two", "3<2 u go on", "4<3 a four", "5<4 u go on", "6<5 a six")


@pytest.mark.parametrize(
    ("tree", "said", "place"),
    [
        (tree(), ["u one"], (None, 0)),
        (FOUR, ["u one", "a two", "u three", "a four", "u new"], (4, 4)),
        (FOUR, ["u one", "a two", "u three"], (3, 3)),
        (FOUR, ["u one", "a two", "u edited"], (2, 2)),
        (FOUR, ["u edited"], (None, 0)),
        (FOUR, ["u one", "u three", "a four", "u new"], (4, 3)),
        (FOUR, ["u one", "u new"], (2, 1)),
        (FOUR, ["u three", "a four", "u new"], (4, 2)),
        (FOUR, ["a four", "u three", "u new"], (None, 0)),
        (FOUR, ["u three"], (None, 0)),
        (FOUR, ["u one", "a else", "u three"], (1, 1)),
        (GOES_ON, ["u one", "a two", "u go on"], (3, 3)),
        (GOES_ON, ["u one", "u go on", "u go on", "a six", "u new"], (6, 4)),
        (GOES_ON, ["u one", "a two", "u go on", "a four", "u go on", "a six", "u go on"], (6, 6)),
        (tree("1<0 u one", "2<1 a!stopped tw", "3<1 a two"), ["u one", "a two", "u new"], (3, 2)),
        (tree("1<0 u one", "2<1 a two", "3<1 a!stopped tw"), ["u one", "a two", "u new"], (2, 2)),
        (tree("1<0 u one", "2<1 a!failed tw"), ["u one", "a two [error]", "u new"], (2, 2)),
        (tree("1<0 u one", "2<1 a!failed"), ["u one", "u new"], (2, 1)),
        (tree("1<0 u one", "2<1 a two", "3<1 a 2"), ["u one", "a 2", "u new"], (3, 2)),
        (tree("1<0 u one", "2<1 a two", "3<1 a two"), ["u one", "a two", "u new"], (3, 2)),
        (tree("1<0 u one", "2<0 u uno", "3<2 a due"), ["u uno", "a due", "u new"], (3, 2)),
        (tree("1<0 u one", "2<1 a two", "3<2 t x", "4<3 a y"), ["u one", "a y", "u new"], (4, 2)),
        (tree("1<0 u one", "2<1 a two", "3<2 t x", "4<3 a y"), ["u one", "u new"], (4, 1)),
        (tree("1<0 u one", "2<1 a two"), ["u one", "a two"], (2, 2)),
        (tree("1<0 u one", "2<1 a two", "3<2 a rest"), ["u one", "a two"], (2, 2)),
        (tree("1<0 u one", "2<1 a two", "3<2 a rest"), ["u one", "a tworest", "u new"], (3, 2)),
        (tree("1<0 u one", "2<1 a two", "3<2 a rest"), ["u one", "a two", "a rest", "u new"], (3, 3)),
        (tree("1<0 u one", "2<1 a!stopped two", "3<2 a rest"), ["u one", "a tworest", "u new"], (3, 2)),
        (tree("1<0 u one", "2<1 a two", "3<2 a rest"), ["u one", "u new"], (3, 1)),
    ],
)
def test_what_is_sent_again_is_found(tree: Tree, said: list[str], place: tuple[int | None, int]) -> None:
    assert place_of(tree, sent(*said)) == place


async def chat(service: Service, id: str = "c") -> Json:
    found: Json = await service.get(f"{CHATS}/{id}")
    return found


def told(chat: Json) -> list[tuple[int | None, str, Any]]:
    """The messages with their parents, both counted from 1."""
    numbers = {message["id"]: place for place, message in enumerate(chat["tree"], 1)}
    return [(numbers.get(message["parent"]), message["role"], message["content"]) for message in chat["tree"]]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def assistant(text: str) -> Json:
    return {"role": "assistant", "content": text}


async def ask(service: Service, *messages: Json, id: str = "c", **body: Any) -> list[Json]:
    return await service.ask(messages=list(messages), conversation_id=id, **body)


async def test_a_turn_is_kept_with_all_that_is_known_of_it(service: Service, upstream: Upstream) -> None:
    upstream.script(Reason("Let me "), Reason("think."), Say("Good "), Say("day."), *END)
    await ask(service, {"role": "system", "content": "Be kind"}, user("Hello\nthere"), model="small")
    found = await chat(service)
    question, answer = found["tree"]
    assert (found["title"], found["running"], found["leaf"]) == ("Hello", None, answer["id"])
    assert found["settings"] == {"system": "Be kind", "model": "small"}
    assert (question["content"], question["parent"], answer["parent"]) == (
        "Hello\nthere",
        None,
        question["id"],
    )
    assert (answer["content"], answer["reasoning"]) == ("Good day.", "Let me think.")
    assert (answer["state"], answer["finish"], answer["error"]) == ("finished", "stop", None)
    assert (answer["model"], answer["provider"]) == ("small", "Upstream")
    (record,) = await service.records()
    assert answer["usage"]["total_tokens"] == record["prompt_tokens"] + record["completion_tokens"]
    assert "estimated" not in answer["usage"]


async def test_without_a_conversation_nothing_is_kept(service: Service) -> None:
    for id in (None, ""):
        await service.ask(conversation_id=id)
    await service.ask()
    assert (await service.get(CHATS))["chats"] == []


@pytest.mark.parametrize("id", ["x" * 201, "a\u2028b", "a\0b", "\n"])
async def test_an_id_can_be_printed(service: Service, upstream: Upstream, id: str) -> None:
    async with service.asking(conversation_id=id) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "conversation_id"
    assert not upstream.bill


async def test_a_conversation_goes_on_with_variants_and_edits(service: Service, upstream: Upstream) -> None:
    answers = [(Say(text), *END) for text in ("A1", "A2", "A2b", "B")]
    upstream.enqueue(*answers)
    await ask(service, user("Q1"))
    await ask(service, user("Q1"), assistant("A1"), user("Q2"))
    await ask(service, user("Q1"), assistant("A1"), user("Q2"), action="variant")
    await ask(service, user("Q1"), assistant("A1"), user("Q2 edited"))
    found = await chat(service)
    assert told(found) == [
        (None, "user", "Q1"),
        (1, "assistant", "A1"),
        (2, "user", "Q2"),
        (3, "assistant", "A2"),
        (3, "assistant", "A2b"),
        (2, "user", "Q2 edited"),
        (6, "assistant", "B"),
    ]
    assert found["leaf"] == found["tree"][-1]["id"]


async def test_other_instructions_are_no_branch(service: Service) -> None:
    await ask(service, {"role": "system", "content": "A"}, user("Q1"))
    said = (await chat(service))["tree"][1]["content"]
    await ask(service, {"role": "system", "content": "B"}, user("Q1"), assistant(said), user("Q2"))
    assert [parent for parent, *_ in told(await chat(service))] == [None, 1, 2, 3]


async def test_tools_are_called_and_answer_in_their_places(service: Service, upstream: Upstream) -> None:
    upstream.enqueue((ToolCall("clock", "{}"), Finish("tool_calls"), Usage(), Done()), (Say("Noon."), *END))
    events = await ask(service, user("What time is it?"))
    calls = [call for event in events if event["type"] == "tool_calls" for call in event["tool_calls"]]
    id = calls[0]["id"]
    whole = [{"id": id, "type": "function", "function": {"name": "clock", "arguments": "{}"}}]
    await ask(
        service,
        user("What time is it?"),
        {"role": "assistant", "content": None, "tool_calls": whole},
        {"role": "tool", "tool_call_id": id, "content": "12:00"},
    )
    found = told(await chat(service))
    assert [(parent, role) for parent, role, _ in found] == [
        (None, "user"),
        (1, "assistant"),
        (2, "tool"),
        (3, "assistant"),
    ]
    assert found[1][2] == [{"type": "tool_calls", "tool_calls": whole}]


async def test_a_picture_is_named_but_not_kept(service: Service) -> None:
    url = "data:image/png;base64," + "A" * 40_000
    shown = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    await ask(service, {"role": "user", "content": shown})
    await ask(service, {"role": "user", "content": shown})
    found = told(await chat(service))
    assert [(parent, role) for parent, role, _ in found] == [
        (None, "user"),
        (1, "assistant"),
        (1, "assistant"),
    ]
    assert found[0][2][0] == {"type": "text", "text": "[image/png, 30 kB: not kept]"}


async def test_a_retry_is_not_kept_twice(service: Service) -> None:
    body = {"messages": [user("Hi")], "conversation_id": "c"}

    async def retry() -> str:
        headers = {"Idempotency-Key": "k"}
        async with service.http.post(service.url + CONVERSATION, json=body, headers=headers) as answer:
            await answer.read()
            return answer.headers["X-Turn-Id"]

    turns = {*await asyncio.gather(*(retry() for _ in range(5))), await retry()}
    assert {answer["turn"] for answer in (await chat(service))["tree"][1:]} == turns
    assert (await chat(service))["messages"] == 2


async def test_turns_at_the_same_moment_do_no_harm(service: Service) -> None:
    await asyncio.gather(*(ask(service, user("Same")) for _ in range(8)))
    found = told(await chat(service))
    assert [(parent, role) for parent, role, _ in found] == [(None, "user"), *[(1, "assistant")] * 8]
    await asyncio.gather(*(ask(service, user(f"Other {number}"), id="d") for number in range(8)))
    found = told(await chat(service, "d"))
    assert sorted(text for _, role, text in found if role == "user") == [f"Other {n}" for n in range(8)]
    assert len(found) == 16


async def test_an_answer_can_be_seen_as_it_runs_and_when_nobody_reads(
    service: Service, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Half "), Gate(gate), Say("whole."), *END)
    async with service.asking(conversation_id="c", on_disconnect="detach") as answer:
        turn = answer.headers["X-Turn-Id"]
        found = await chat(service)
        assert (found["running"], found["tree"][1]["state"], found["tree"][1]["turn"]) == (
            turn,
            "running",
            turn,
        )
        assert (await service.get(CHATS))["chats"][0]["running"] == turn
    gate.set()
    await until_ended(service)
    assert (await chat(service))["tree"][1]["content"] == "Half whole."


async def until_ended(service: Service) -> None:
    await until(lambda: not service.context.turns.running(None))
    await until(lambda: not service.context.database.waiting)


async def test_a_reader_who_leaves_stops_it_and_what_was_said_is_kept(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(Say("Half "), Gate(asyncio.Event()))
    async with service.asking(conversation_id="c") as answer:
        while b"Half" not in await answer.content.readany():
            pass
    await until_ended(service)
    answer = (await chat(service))["tree"][1]
    assert (answer["content"], answer["state"], answer["finish"]) == ("Half ", "stopped", "abandoned")


async def test_what_fails_is_kept_with_its_reason(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Half "), Reset())
    (*_, failed) = await ask(service, user("Hi"))
    answer = (await chat(service))["tree"][1]
    assert (answer["content"], answer["state"]) == ("Half ", "failed")
    assert answer["error"] == failed["message"]
    await ask(service, user("Hi"), assistant("Half "), user("And?"))
    assert told(await chat(service))[2][0] == 2, "the next question is below what there is"


async def test_what_is_refused_is_in_no_chat(service: Service) -> None:
    async with service.asking(conversation_id="c", model="nobody has it") as answer:
        assert answer.status == 404
    assert (await service.get(CHATS))["chats"] == []


async def test_a_fallback_gives_one_answer(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream() as second:
        rows = ROW.format(url=upstream.url) + ROW.format(url=second.url).replace('"Upstream"', '"Second"')
        upstream.script(Status(500))
        second.script(Say("Here."), *END)
        async with serving(tmp_path, rows, CAUSERIE_ROUTING_PATIENCE="0") as service:
            await ask(service, user("Hi"), model="small")
            _, answer = (await chat(service))["tree"]
            assert (answer["provider"], answer["content"], answer["state"]) == ("Second", "Here.", "finished")


async def test_a_chat_that_is_deleted_meanwhile_does_not_come_back(
    service: Service, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Secret "), Gate(gate), *END)
    async with service.asking(conversation_id="c") as answer:
        await until(lambda: bool(upstream.requests))
        async with service.http.delete(f"{service.url}{CHATS}/c") as deleted:
            assert deleted.status == 204
        gate.set()
        assert b"usage" in await answer.read()
    await until_ended(service)
    assert (await service.get(CHATS))["chats"] == []
    assert (await service.get(f"{CHATS}?q=secret"))["chats"] == []
    await ask(service, user("Anew"))
    assert (await chat(service))["messages"] == 2


async def test_a_full_chat_takes_no_more(tmp_path: Path, upstream: Upstream) -> None:
    limits = {"CAUSERIE_CHATS_CHAT_MESSAGES": "3", "CAUSERIE_CHATS_USER_CHATS": "1"}
    async with serving(tmp_path, ROW.format(url=upstream.url), **limits) as service:
        await ask(service, user("One"))
        for id, setting in (("c", "chats.chat_messages"), ("d", "chats.user_chats")):
            async with service.asking("Two", conversation_id=id) as answer:
                assert answer.status == 413
                assert setting in (await answer.json())["error"]["message"]
        assert len(upstream.bill) == 1
