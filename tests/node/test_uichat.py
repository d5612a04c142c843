"""The AI SDK's chat, as its package on npm has it, in front of the real service."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.node.running import Client, Json, running
from tests.serving import Service
from tests.upstream import (
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Reason,
    Say,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
    failure,
    until,
)

pytestmark = pytest.mark.slow

END: tuple[Step, ...] = (Finish(), Usage(), Done())
CALL: tuple[Step, ...] = (
    Say("I look."),
    ToolCall("weather", "", "call_a"),
    ToolCall(arguments='{"city":"Oslo"}'),
    Finish("tool_calls"),
    Usage(),
    Done(),
)


@asynccontextmanager
async def chatting(service: Service, clients: Path) -> AsyncGenerator[Client, None]:
    async with running(clients, "uichat.mjs", service.url, "chat 1/ü") as chat:
        yield chat


def kinds(message: Json) -> list[str]:
    return [part["type"] for part in message["parts"]]


def text(message: Json) -> str:
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


async def test_a_chat_of_two_questions(service: Service, upstream: Upstream, clients: Path) -> None:
    upstream.enqueue((Reason("Hm."), Say("Hi"), Say(" there."), *END))
    async with chatting(service, clients) as chat:
        first = await chat.do("send", text="Hello", body={"model": "large", "temperature": 0.5})
        provided = [line["data"]["data"]["model"] for line in chat.lines if "data" in line]
        second = await chat.do("send", text="And?")
    assert (first["status"], first.get("error")) == ("ready", None)
    question, answer = first["messages"]
    assert kinds(answer) == ["step-start", "reasoning", "text"]
    assert [part.get("state") for part in answer["parts"]] == [None, "done", "done"]
    assert text(answer) == "Hi there."
    assert answer["metadata"]["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert answer["id"] == f"msg_{answer['metadata']['turn']}"
    assert provided == ["large"]
    assert upstream.requests[-2].body["temperature"] == 0.5
    assert text(second["messages"][-1]) == "Hello from the upstream."
    assert [message["role"] for message in upstream.requests[-1].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    assert question["role"] == "user"


async def test_another_page_resumes(service: Service, upstream: Upstream, clients: Path) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hello"), Gate(gate), Say(" again."), *END)
    async with chatting(service, clients) as closed:
        await closed.do("start", text="Hello")
        await closed.text("Hello")
    async with chatting(service, clients) as reopened:
        reopened.tell("resume")
        await reopened.text("Hello")
        gate.set()
        state = await reopened.until(lambda line: "done" in line)
        again = await reopened.do("resume")
    assert (state["status"], [text(message) for message in state["messages"]]) == ("ready", ["Hello again."])
    assert again["messages"] == state["messages"], "nothing runs any more"
    assert len(upstream.bill) == 1


async def test_the_same_page_resumes_without_saying_anything_twice(
    service: Service, upstream: Upstream, clients: Path
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hello"), Gate(gate), Say(" again."), *END)
    async with chatting(service, clients) as chat:
        await chat.do("start", text="Hello")
        await chat.text("Hello")
        await chat.do("leave")
        await until(lambda: not any(turn.readers for turn in service.context.turns.running(None)))
        gate.set()
        state = await chat.do("resume")
    assert [text(message) for message in state["messages"]] == ["Hello", "Hello again."]
    assert not upstream.aborted


async def test_the_client_runs_tools_and_the_message_goes_on(
    service: Service, upstream: Upstream, clients: Path
) -> None:
    upstream.enqueue(CALL)
    async with chatting(service, clients) as chat:
        await chat.do("send", text="How cold is it in Oslo?")
        state = await chat.do("settle")
    _, answer = state["messages"]
    assert kinds(answer) == ["step-start", "text", "tool-weather", "step-start", "text"]
    assert answer["parts"][2]["output"] == {"celsius": -3, "of": {"city": "Oslo"}}
    assert text(answer) == "I look.Hello from the upstream."
    first, second = upstream.requests[-2:]
    assert second.body["messages"][:1] == first.body["messages"]
    assert second.body["messages"][2] == {
        "role": "tool",
        "content": '{"celsius":-3,"of":{"city":"Oslo"}}',
        "tool_call_id": "call_a",
    }


async def test_a_message_that_went_on_is_resumed_whole(
    service: Service, upstream: Upstream, clients: Path
) -> None:
    gate = asyncio.Event()
    upstream.enqueue(CALL, (Say("Cold"), Gate(gate), Say("."), *END))
    async with chatting(service, clients) as closed:
        await closed.do("start", text="How cold is it in Oslo?")
        await closed.text("I look.Cold")
        saved = (await closed.do("show"))["messages"]
    async with chatting(service, clients) as reopened:
        await reopened.do("load", messages=saved)
        reopened.tell("resume")
        await reopened.text("I look.Cold")
        gate.set()
        state = await reopened.until(lambda line: "done" in line)
    question, answer = state["messages"]
    assert (question, answer["id"]) == (saved[0], saved[1]["id"])
    assert kinds(answer) == ["step-start", "text", "tool-weather", "step-start", "text"]
    assert answer["parts"][2]["state"] == "output-available"
    assert text(answer) == "I look.Cold."


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ((Status(500, failure("It exploded.")),), "It exploded."),
        ((Say("Hel"), ErrorChunk("It stumbled.")), "It stumbled."),
    ],
)
async def test_what_fails_is_the_chat_s_error(
    service: Service, upstream: Upstream, clients: Path, script: tuple[Step, ...], said: str
) -> None:
    upstream.script(*script)
    async with chatting(service, clients) as chat:
        state = await chat.do("send", text="Hello")
    assert state["status"] == "error"
    assert said in state["error"]


async def test_an_answer_is_stopped_for_good(service: Service, upstream: Upstream, clients: Path) -> None:
    upstream.script(Say("Hello"), Gate(asyncio.Event()))
    async with chatting(service, clients) as chat:
        await chat.do("start", text="Hello")
        await chat.text("Hello")
        await chat.do("stop")
        state = await chat.do("settle")
    assert (state["status"], text(state["messages"][-1])) == ("ready", "Hello")
    assert upstream.aborted
