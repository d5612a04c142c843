"""A chat of the AI SDK: what its transport sends, what it gets, and how it comes back."""

import asyncio
import base64
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.errors import BadRequest
from service.handlers.uimessages import messages
from service.messages import Message
from service.wire.uiparts import UIMessage
from tests.conftest import ROW
from tests.serving import Service, serving
from tests.upstream import (
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Reason,
    Say,
    Status,
    ToolCall,
    Upstream,
    Usage,
    failure,
    until,
)

Json = dict[str, Any]

CHAT = "/api/chat"
STREAM = "/api/chat/c-1/stream"
QUESTION: Json = {"id": "m-0", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
WEATHER: Json = {
    "type": "tool-weather",
    "toolCallId": "call_a",
    "state": "output-available",
    "input": {"city": "Oslo"},
    "output": {"celsius": -3},
}
ASKED_ANEW: Json = {
    "id": "m-1",
    "role": "assistant",
    "metadata": {"mine": True},
    "parts": [{"type": "step-start"}, {"type": "text", "text": "I look."}, WEATHER],
}
"""A message whose tools the client has run."""


def chat(
    service: Service,
    messages: Sequence[Json] = (QUESTION,),
    id: str = "c-1",
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """The request of `DefaultChatTransport`, open."""
    body = {"id": id, "messages": list(messages), "trigger": "submit-message", "messageId": None, **fields}
    return service.http.post(service.url + CHAT, json=body, headers=headers)


async def answered(service: Service, *messages: Json, **fields: Any) -> list[Json]:
    async with chat(service, messages or (QUESTION,), **fields) as answer:
        assert answer.status == 200, await answer.text()
        return parts(await answer.read())


def parts(stream: bytes) -> list[Json]:
    *frames, done, empty = stream.decode().split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames if not frame.startswith(":")]


def said(parts: Sequence[Json]) -> str:
    return "".join(part["delta"] for part in parts if part["type"] == "text-delta")


async def read_until(answer: aiohttp.ClientResponse, text: str) -> bytes:
    """What was read up to the end of the frame that has this text."""
    read = b""
    while text.encode() not in read:
        read += await answer.content.readuntil(b"\n\n")
    return read


# One answer


async def test_an_answer_is_this_stream_to_the_byte(service: Service, upstream: Upstream) -> None:
    upstream.script(Reason("Hm."), Say("Hi"), Finish(), Usage(), Done())
    async with chat(service) as answer:
        turn = answer.headers["X-Turn-Id"]
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        stream = (await answer.read()).decode()
    expected = (
        f'{{"type":"start","messageId":"msg_{turn}","messageMetadata":{{"turn":"{turn}"}}}}',
        '{"type":"start-step"}',
        f'{{"type":"data-provider","data":{{"name":"Upstream","url":"{upstream.url}","label":"The upstream",'
        '"model":"small"},"transient":true}',
        '{"type":"reasoning-start","id":"1"}',
        '{"type":"reasoning-delta","id":"1","delta":"Hm."}',
        '{"type":"reasoning-end","id":"1"}',
        '{"type":"text-start","id":"2"}',
        '{"type":"text-delta","id":"2","delta":"Hi"}',
        '{"type":"text-end","id":"2"}',
        '{"type":"finish-step"}',
        '{"type":"finish","finishReason":"stop","messageMetadata":{"usage":{"prompt_tokens":1,'
        '"completion_tokens":2,"total_tokens":3},"model":"small","provider":"Upstream"}}',
        "[DONE]",
    )
    assert stream == "".join(f"data: {part}\n\n" for part in expected)
    (record,) = await service.records()
    assert (record["prompt_tokens"], record["completion_tokens"]) == (1, 2)


async def test_how_to_answer_stands_beside_the_messages(service: Service, upstream: Upstream) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    await answered(service, model="large", system="Be brief.", temperature=0.5, tools=[tool], n=3)
    sent = upstream.requests[-1].body
    assert (sent["model"], sent["temperature"], sent["tools"]) == ("large", 0.5, [tool])
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
    ]
    assert "n" not in sent


async def test_what_fails_before_the_first_word_is_a_status(service: Service, upstream: Upstream) -> None:
    upstream.script(Status(429, failure("Slow down."), {"Retry-After": "7"}))
    async with chat(service) as answer:
        assert answer.status == 429
        assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"


async def test_what_fails_later_is_the_last_part(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), ErrorChunk("It stumbled."))
    answer = await answered(service)
    assert [part["type"] for part in answer[-2:]] == ["text-end", "error"]
    assert "It stumbled." in answer[-1]["errorText"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"id": "c-1", "messages": []}, "messages"),
        ({"id": "c-1", "messages": [{"role": "user", "parts": [{"type": "step-start"}]}]}, "messages"),
        ({"id": "c-1", "messages": [{"role": "tool", "parts": []}]}, "$.messages[0].role"),
        ({"messages": [QUESTION]}, "$"),
    ],
)
async def test_a_request_without_a_question_is_refused(service: Service, body: Json, param: str) -> None:
    status, answer = await service.post(CHAT, body)
    assert (status, answer["error"]["param"]) == (400, param)


# What was said before


def translated(*parts: Json, role: Any = "assistant") -> list[Message]:
    return list(messages([UIMessage(role=role, parts=list(parts))]))


def called(id: str, name: str, arguments: str) -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("media_type", "url", "expected"),
    [
        (
            "image/png",
            "https://example.org/a",
            {"type": "image_url", "image_url": {"url": "https://example.org/a"}},
        ),
        (
            "audio/mpeg",
            data_uri("audio/mpeg", b"abc"),
            {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "mp3"}},
        ),
        (
            "text/markdown",
            data_uri("text/markdown", "# Grüße".encode()),
            {"type": "text", "text": "# Grüße"},
        ),
        (
            "application/pdf",
            data_uri("application/pdf", b"%PDF"),
            {
                "type": "file",
                "file": {"filename": "a.b", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
        ),
    ],
)
def test_files_go_by_their_kind(media_type: str, url: str, expected: Json) -> None:
    file = {"type": "file", "mediaType": media_type, "url": url, "filename": "a.b"}
    (message,) = translated(file, {"type": "data-x", "data": 1}, role="user")
    assert message.content == [expected]


def test_a_text_that_is_not_base64_is_refused() -> None:
    with pytest.raises(BadRequest, match="Attach the file again"):
        translated(
            {"type": "file", "mediaType": "text/plain", "url": "data:text/plain;base64,a"}, role="user"
        )


def test_a_message_with_tools_is_several() -> None:
    thought = {"type": "reasoning", "text": "Hm."}
    failed = {"type": "dynamic-tool", "toolName": "time", "toolCallId": "b", "state": "output-error"}
    denied = {
        "type": "tool-rm",
        "toolCallId": "c",
        "state": "output-denied",
        "approval": {"reason": "Never."},
    }
    running = {"type": "tool-wait", "toolCallId": "d", "state": "input-available", "input": {}}
    step = {"type": "step-start"}
    assert translated(
        *(step, thought, {"type": "text", "text": "I look."}, WEATHER),
        *({**failed, "errorText": "No clock."}, denied, running),
        *(step, {"type": "text", "text": "Cold"}, step, {"type": "text", "text": "."}),
    ) == [
        Message(
            "assistant",
            "I look.",
            tool_calls=[
                called("call_a", "weather", '{"city":"Oslo"}'),
                called("b", "time", "{}"),
                called("c", "rm", "{}"),
            ],
            reasoning_content="Hm.",
        ),
        Message("tool", '{"celsius":-3}', tool_call_id="call_a"),
        Message("tool", "No clock.", tool_call_id="b"),
        Message("tool", "Never.", tool_call_id="c"),
        Message("assistant", "Cold."),
    ]


def test_thoughts_go_back_with_their_seal_alone() -> None:
    sealed = {"type": "reasoning", "text": "Hm.", "providerMetadata": {"causerie": {"signature": "s"}}}
    hidden = {"type": "reasoning", "text": "", "providerMetadata": {"causerie": {"redacted": "r"}}}
    plain = {"type": "reasoning", "text": "So.", "providerMetadata": {"other": {}}}
    text = {"type": "text", "text": "Hi"}
    assert translated(sealed, hidden, plain, text) == [
        Message(
            "assistant",
            [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "redacted_thinking", "data": "r"},
                text,
            ],
        )
    ]
    assert translated(plain, text) == [Message("assistant", "Hi")]


async def test_an_answer_goes_on_after_the_client_has_run_its_tools(
    service: Service, upstream: Upstream
) -> None:
    call = (ToolCall("weather", "", "call_a"), ToolCall(arguments='{"city":"Oslo"}'))
    upstream.enqueue((*call, Finish("tool_calls"), Usage(), Done()))
    first = await answered(service)
    assert first[-3] == {
        "type": "tool-input-available",
        "toolCallId": "call_a",
        "toolName": "weather",
        "input": {"city": "Oslo"},
    }
    assert first[-1]["finishReason"] == "tool-calls"
    second = await answered(service, QUESTION, ASKED_ANEW)
    assert second[0]["messageId"] == "m-1"
    assert said(second) == "Hello from the upstream."
    assert [message["role"] for message in upstream.requests[-1].body["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


# Leaving, and coming back


async def test_who_comes_back_is_told_everything(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hello"), Gate(gate), Say(" again"), Finish(), Usage(), Done())
    async with chat(service) as answer:
        before = await read_until(answer, "Hello")
    async with service.http.get(service.url + STREAM) as answer:
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        after = await read_until(answer, "Hello")
        gate.set()
        after += await answer.read()
    assert after.startswith(before)
    assert said(parts(after)) == "Hello again"
    assert not upstream.aborted
    assert (await service.records())[0]["completion_tokens"] == 2


async def test_who_comes_back_to_a_message_that_went_on_is_told_what_it_had(
    service: Service, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Cold."), Gate(gate), Finish(), Usage(), Done())
    async with chat(service, (QUESTION, ASKED_ANEW)) as answer:
        await read_until(answer, "Cold.")
    gate.set()
    async with service.http.get(service.url + STREAM) as answer:
        resumed = parts(await answer.read())
    assert (resumed[0]["messageId"], resumed[0]["messageMetadata"]["mine"]) == ("m-1", True)
    assert said(resumed) == "I look.Cold."
    (output,) = (part for part in resumed if part["type"] == "tool-output-available")
    assert output["output"] == {"celsius": -3}


async def test_where_nothing_runs_the_answer_is_204(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hello"), Gate(gate), Finish(), Usage(), Done())

    async def status(path: str = STREAM, **headers: str) -> int:
        async with service.http.get(service.url + path, headers=headers) as answer:
            return answer.status

    assert await status() == 204
    async with chat(service, headers={"x-user": "ann"}) as answer:
        await read_until(answer, "Hello")
        assert await status() == 204, "it is another user's"
        assert await status(**{"x-user": "bob"}) == 204
        assert await status("/api/chat/c-2/stream", **{"x-user": "ann"}) == 204
        gate.set()
        await answer.read()
    assert await status(**{"x-user": "ann"}) == 204


async def test_a_chat_s_name_may_have_any_character(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hello"), Gate(gate), Finish(), Usage(), Done())
    async with chat(service, id="a/b ü?") as answer:
        await read_until(answer, "Hello")
        gate.set()
        async with service.http.get(f"{service.url}/api/chat/a%2Fb%20%C3%BC%3F/stream") as resumed:
            assert said(parts(await resumed.read())) == "Hello"


async def test_an_answer_that_nobody_comes_back_to_ends(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Gate(asyncio.Event()))
    settings = ROW.format(url=upstream.url)
    async with serving(tmp_path, settings, CAUSERIE_STREAM_GRACE="0.3") as service:
        async with chat(service) as answer:
            await read_until(answer, "Hello")
        await asyncio.sleep(0.1)
        assert not upstream.aborted
        await until(lambda: upstream.aborted)


async def test_the_header_says_otherwise(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Gate(asyncio.Event()))
    async with chat(service, headers={"X-On-Disconnect": "cancel"}) as answer:
        await read_until(answer, "Hello")
    await until(lambda: upstream.aborted, 2)


async def test_who_asks_anew_gives_up_what_he_has_left(service: Service, upstream: Upstream) -> None:
    upstream.enqueue(*[(Say("Hello"), Gate(asyncio.Event()))] * 3)
    async with chat(service, id="c-2") as elsewhere, chat(service) as read:
        await read_until(elsewhere, "Hello")
        await read_until(read, "Hello")
        async with chat(service) as left:
            await read_until(left, "Hello")
        await until(lambda: sorted(turn.readers for turn in service.context.turns.running(None)) == [0, 1, 1])
        assert said(await answered(service)) == "Hello from the upstream."
        await until(lambda: upstream.aborted, 2)
        assert len(upstream.aborted) == 1
        assert len(service.context.turns.running(None)) == 2


async def test_the_newest_answer_of_a_chat_is_resumed(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.enqueue(*((Say(word), Gate(gate), Finish(), Usage(), Done()) for word in ("Old", "New")))
    async with chat(service) as old, chat(service) as new:
        await read_until(old, "Old")
        await read_until(new, "New")
        async with service.http.get(service.url + STREAM) as resumed:
            gate.set()
            assert said(parts(await resumed.read())) == "New"


async def test_an_answer_is_stopped_by_its_turn(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Gate(asyncio.Event()))
    async with chat(service) as answer:
        await read_until(answer, "Hello")
        turn = answer.headers["X-Turn-Id"]
        _, stopped = await service.post(f"/backend-api/v2/turns/{turn}/stop", {})
        rest = parts(await answer.read())
    assert stopped["ending"] == "stopped"
    assert rest[-1] == {"type": "abort", "reason": "stopped"}
    assert upstream.aborted


async def test_the_same_request_again_gets_the_same_answer(service: Service, upstream: Upstream) -> None:
    async def stream() -> bytes:
        async with chat(service, headers={"Idempotency-Key": "k-1"}) as answer:
            return await answer.read()

    assert await stream() == await stream()
    assert len(upstream.bill) == 1
