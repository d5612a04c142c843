import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import upstream as script
from tests.upstream import Step, Upstream, until, words

PIECES = ["Hello", " from", " the", " upstream."]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(upstream.url + "/") as session:
        yield session


def question(**fields: object) -> dict[str, Any]:
    return {
        "model": "small",
        "messages": [{"role": "user", "content": "Who is there?"}],
        "stream": True,
    } | fields


async def body(client: aiohttp.ClientSession, **fields: object) -> bytes:
    async with client.post("chat/completions", json=question(**fields)) as answer:
        return await answer.read()


async def status(client: aiohttp.ClientSession, **fields: object) -> int:
    async with client.post("chat/completions", json=question(**fields)) as answer:
        return answer.status


def payloads(stream: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data: ") for line in stream.splitlines() if line]
    return [line if line == b"[DONE]" else json.loads(line) for line in lines]


def texts(stream: bytes) -> list[str]:
    choices = [choice for chunk in payloads(stream) if chunk != b"[DONE]" for choice in chunk["choices"]]
    return [choice["delta"]["content"] for choice in choices if "content" in choice["delta"]]


async def test_it_streams_what_openai_streams(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    *chunks, usage, done = payloads(await body(client, stream_options={"include_usage": True}))
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == [*PIECES, None]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in [*chunks, usage])
    assert all(chunk["model"] == "small" for chunk in [*chunks, usage])
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert done == b"[DONE]"
    assert upstream.bill == [(3, 4)]


async def test_it_answers_whole(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Reason("Hm."), *words("Nobody here."), script.Finish("length"))
    answer = json.loads(await body(client, stream=False))
    message = {"role": "assistant", "content": "Nobody here.", "reasoning_content": "Hm."}
    assert answer["choices"] == [{"index": 0, "message": message, "finish_reason": "length"}]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


async def test_it_keeps_what_it_was_asked(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    async with client.get("models", headers={"X-Name": "Value"}) as answer:
        assert [model["id"] for model in (await answer.json())["data"]] == ["small", "large"]
    await body(client)
    models, chat = upstream.requests
    assert (models.method, models.path, models.headers["x-name"]) == ("GET", "/v1/models", "Value")
    assert (chat.method, chat.path, chat.body) == ("POST", "/v1/chat/completions", question())


async def test_a_connection_is_used_again(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    for _ in range(20):
        await body(client)
    assert upstream.open == 1
    upstream.script(script.Say("Bye"), script.Close())
    assert texts(await body(client)) == ["Bye"]
    await until(lambda: not upstream.open)
    assert not upstream.aborted


async def test_scripts_are_played_in_their_order(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Say("always"))
    upstream.enqueue([script.Say("first")], [script.Say("second")])
    assert [texts(await body(client)) for _ in range(4)] == [["first"], ["second"], ["always"], ["always"]]


async def test_tool_calls_come_in_pieces(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.ToolCall("add", call_id="call_1"), script.ToolCall(arguments='{"a": 1}'))
    first, second = (chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in payloads(await body(client)))
    assert first == {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": ""},
    }
    assert second == {"index": 0, "function": {"arguments": '{"a": 1}'}}


async def test_a_gate_steps_the_stream(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    gate = asyncio.Event()
    upstream.script(script.Say("before"), script.Gate(gate), script.Say("after"))
    async with client.post("chat/completions", json=question()) as answer:
        assert texts(await answer.content.readany()) == ["before"]
        assert upstream.bill == [(3, 1)]
        gate.set()
        assert texts(await answer.content.readany()) == ["after"]
    assert upstream.bill == [(3, 2)]


async def test_pieces_arrive_one_by_one(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Split(7), script.Raw("data: häh?\n\n".encode()), script.Done())
    async with client.post("chat/completions", json=question()) as answer:
        pieces = [piece async for piece in answer.content.iter_any()]
    assert pieces == [b"data: h", b"\xc3\xa4h?\n\n", b"data: [", b"DONE]\n\n"]


async def test_who_leaves_a_stall_has_aborted(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(*words("one two three"), script.Stall())
    async with client.post("chat/completions", json=question()) as answer:
        await answer.content.readany()
        assert not upstream.aborted
    await until(lambda: not upstream.open)
    (request,) = upstream.aborted
    assert request.aborted_at is not None
    assert request.aborted_at >= request.at
    assert upstream.bill == [(3, 3)]


async def test_who_leaves_after_done_has_not(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Say("all"), script.Done(), script.Stall())
    async with client.post("chat/completions", json=question()) as answer:
        await answer.content.readuntil(b"[DONE]\n\n")
    await until(lambda: not upstream.open)
    assert not upstream.aborted


async def test_silence_has_no_status(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Silent())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await body(client)
    await until(lambda: upstream.aborted)
    assert upstream.bill == [(0, 0)]


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([script.Reset()], aiohttp.ClientOSError),
        ([script.Cut()], aiohttp.ServerDisconnectedError),
        ([script.Say("Hel"), script.Reset()], aiohttp.ClientPayloadError),
        ([script.Say("Hel"), script.Cut()], aiohttp.ClientPayloadError),
    ],
    ids=["reset", "cut", "reset within", "cut within"],
)
async def test_it_breaks(
    upstream: Upstream, client: aiohttp.ClientSession, steps: list[Step], error: type[Exception]
) -> None:
    upstream.script(*steps)
    with pytest.raises(error):
        await body(client)
    assert not upstream.aborted


async def test_it_breaks_the_framing(upstream: Upstream) -> None:
    """Not with aiohttp: its client waits for ever if its C parser fails after the read with the head."""
    upstream.script(script.Raw(b"good"), script.BadChunk())
    content = json.dumps(question()).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(upstream.url).port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
    assert (await reader.read()).endswith(b"\r\n\r\n4\r\ngood\r\nzz\r\n")
    writer.close()
    await writer.wait_closed()


async def test_it_refuses(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.enqueue([script.Status(429, headers={"Retry-After": "7"})])
    async with client.post("chat/completions", json=question()) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert (await answer.json())["error"]["message"] == "Status 429."
    upstream.script_models(script.Status(503, b"down", {"Content-Type": "text/plain"}))
    async with client.get("models") as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (503, "text/plain", b"down")
    assert await status(client, model="unknown") == 404
    assert upstream.bill == [(0, 0)] * 2


async def test_it_answers_with_a_page(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Html())
    async with client.post("chat/completions", json=question()) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert b"<!doctype html>" in await answer.read()


async def test_it_lies_about_its_bill(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Say("one"), script.Usage(1000, 2000), script.ErrorChunk("sorry", "overloaded"))
    _, usage, error = payloads(await body(client))
    assert usage["usage"] == {"prompt_tokens": 1000, "completion_tokens": 2000, "total_tokens": 3000}
    assert (error["error"]["message"], error["error"]["code"]) == ("sorry", "overloaded")
    assert upstream.bill == [(3, 1)]


async def test_bytes_go_out_as_they_are(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(script.Header("X-Trace", "7"), script.Raw(b"\xff\r"), script.HugeLine(100_000))
    async with client.post("chat/completions", json=question()) as answer:
        assert answer.headers["X-Trace"] == "7"
        assert await answer.read() == b"\xff\rdata: " + b"x" * 100_000


async def test_it_wants_its_key() -> None:
    async with Upstream(key="secret") as upstream, aiohttp.ClientSession(upstream.url + "/") as client:
        assert await status(client) == 401
        client.headers["Authorization"] = "Bearer secret"
        assert await status(client) == 200


ANTHROPIC = {"anthropic-version": "2023-06-01"}


async def test_anthropics_key_has_a_header_of_its_own() -> None:
    async with Upstream(key="secret") as upstream, aiohttp.ClientSession(upstream.url + "/") as client:
        for headers, code in (({"Authorization": "Bearer secret"}, 401), ({"x-api-key": "secret"}, 200)):
            async with client.post("messages", json=question(), headers=ANTHROPIC | headers) as answer:
                assert answer.status == code
                if code == 401:
                    said = {"type": "authentication_error", "message": "Incorrect API key provided."}
                    assert await answer.json() == {"type": "error", "error": said}


SCRIPT = (
    script.Reason("Hm."),
    script.Seal("sealed"),
    script.Say("I look."),
    script.ToolCall("add", "", "call_1"),
    script.ToolCall(arguments='{"a": 1}'),
    script.Finish("tool_calls"),
    script.Usage(),
    script.Done(),
)
"""Once for all dialects."""


async def test_it_speaks_as_anthropic_does(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(*SCRIPT)
    async with client.post("messages", json=question(), headers=ANTHROPIC) as answer:
        frames = [frame.split("\n") for frame in (await answer.text()).rstrip().split("\n\n")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in frames]
    assert [head.removeprefix("event: ") for head, _ in frames] == [event["type"] for event in events]
    assert [(event["type"], event.get("index")) for event in events] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert events[8]["content_block"] == {"type": "tool_use", "id": "call_1", "name": "add", "input": {}}
    assert events[9]["delta"] == {"type": "input_json_delta", "partial_json": '{"a": 1}'}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"] == {"input_tokens": 3, "output_tokens": 4}
    assert upstream.bill == [(3, 4)]


async def test_anthropics_answer_can_be_had_whole(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(*SCRIPT)
    async with client.post("messages", json=question(stream=False), headers=ANTHROPIC) as answer:
        message = await answer.json()
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sealed"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
    ]
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("tool_use", 4)


async def test_it_speaks_as_ollama_does(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script(*SCRIPT)
    body = question()
    del body["stream"]
    async with client.post(f"{upstream.root}/api/chat", json=body) as answer:
        assert answer.content_type == "application/x-ndjson"
        *lines, last = [json.loads(line) for line in (await answer.text()).splitlines()]
    called = {"function": {"name": "add", "arguments": {"a": 1}}}
    assert [line["message"] for line in lines] == [
        {"role": "assistant", "content": "", "thinking": "Hm."},
        {"role": "assistant", "content": "I look."},
        {"role": "assistant", "content": "", "tool_calls": [called]},
    ]
    assert not any(line["done"] for line in lines)
    assert (last["done"], last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == (
        True,
        "stop",
        3,
        4,
    )


async def test_it_speaks_as_openai_once_did(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    body = {"model": "small", "prompt": "Who is there?", "stream": True}
    async with client.post("completions", json=body) as answer:
        *chunks, done = payloads(await answer.read())
    assert [chunk["choices"][0]["text"] for chunk in chunks] == [*PIECES, ""]
    assert done == b"[DONE]"
    assert upstream.bill == [(3, 4)]


async def test_it_lists_its_models_as_each_of_them_does(
    upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    upstream.page = 1
    async with client.get("models?limit=1000", headers=ANTHROPIC) as answer:
        page = await answer.json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (["small"], True)
    async with client.get(f"models?after_id={page['last_id']}", headers=ANTHROPIC) as answer:
        page = await answer.json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (["large"], False)
    async with client.get(f"{upstream.root}/api/tags") as answer:
        assert [model["name"] for model in (await answer.json())["models"]] == ["small", "large"]


async def test_it_embeds_draws_and_judges(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    asked = {"model": "small", "input": ["a", "b c"]}
    async with client.post("embeddings", json=asked) as answer:
        plain = await answer.json()
    async with client.post("embeddings", json=asked | {"encoding_format": "base64"}) as answer:
        packed = (await answer.json())["data"]
    vectors = [one["embedding"] for one in plain["data"]]
    assert vectors == [script.vector("a"), script.vector("b c")]
    assert [list(struct.unpack("<4f", base64.b64decode(one["embedding"]))) for one in packed] == vectors
    async with client.post(
        "images/generations", json={"model": "small", "prompt": "a bus", "n": 2}
    ) as answer:
        assert [one["b64_json"] for one in (await answer.json())["data"]] == [script.PICTURE] * 2
    async with client.post("moderations", json={"input": ["peace", "violence"]}) as answer:
        assert [one["flagged"] for one in (await answer.json())["results"]] == [False, True]
    assert upstream.bill == [(3, 0), (3, 0), (2, 2)]


async def test_other_paths_have_scripts_too(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    upstream.script_at("/v1/embeddings", script.Redirect("http://elsewhere.example/"))
    async with client.post("embeddings", json={"input": "a"}, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "http://elsewhere.example/")
    async with client.get("nowhere") as answer:
        assert answer.status == 404


async def test_a_script_that_cannot_be_played_is_reported() -> None:
    with pytest.raises(ExceptionGroup, match="could not do"):
        async with Upstream() as upstream, aiohttp.ClientSession(upstream.url + "/") as client:
            upstream.script(script.Say("too late for a"), script.Header("X-Name", "Value"))
            with pytest.raises(aiohttp.ClientError):
                await body(client)


async def test_everything_is_closed_at_the_end() -> None:
    async with aiohttp.ClientSession() as client:
        async with Upstream() as upstream:
            upstream.script(script.Say("endless"), script.Stall())
            answer = await client.post(upstream.url + "/chat/completions", json=question())
            assert upstream.open == 1
        with pytest.raises(aiohttp.ClientError):
            await answer.read()
    assert not upstream.open
