"""OpenAI's SDK for Python, unmodified, over the scripted upstream."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.conftest import ROW
from tests.serving import Service, serving
from tests.upstream import (
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Reason,
    Reset,
    Say,
    Silent,
    Status,
    ToolCall,
    Upstream,
    Usage,
    failure,
    until,
)

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = (
    ToolCall("weather", "", "call_1"),
    ToolCall(arguments='{"city": '),
    ToolCall(arguments='"Paris"}'),
    Finish("tool_calls"),
    Usage(),
    Done(),
)


async def test_an_answer(openai: AsyncOpenAI, upstream: Upstream) -> None:
    answer = await openai.chat.completions.create(model="small", messages=QUESTION, temperature=0.5, seed=7)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "small"
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "Hello from the upstream."
    assert choice.finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        6,
        4,
        10,
    )
    body = upstream.requests[-1].body
    assert (body["temperature"], body["seed"], body["stream"]) == (0.5, 7, True)


async def test_a_stream(openai: AsyncOpenAI, upstream: Upstream) -> None:
    chunks = [
        chunk
        async for chunk in await openai.chat.completions.create(
            model="small", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    ]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert said(chunks) == "Hello from the upstream."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    *others, last = chunks
    assert last.choices == []
    assert last.usage
    assert last.usage.total_tokens == 10
    assert all(chunk.usage is None for chunk in others)


async def test_usage_is_told_only_to_those_who_ask(openai: AsyncOpenAI) -> None:
    chunks = [chunk async for chunk in await openai.chat.completions.create(
        model="small", messages=QUESTION, stream=True
    )]  # fmt: skip
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_the_sdks_own_accumulation(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(*CALL)
    async with openai.chat.completions.stream(model="small", messages=QUESTION, tools=[WEATHER]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    calls = final.choices[0].message.tool_calls
    assert calls
    assert calls[0].id == "call_1"
    assert calls[0].function.arguments == '{"city": "Paris"}'
    assert final.choices[0].finish_reason == "tool_calls"


async def test_tools_there_and_back(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.enqueue(CALL)
    first = await openai.chat.completions.create(
        model="small", messages=QUESTION, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
    )
    message = first.choices[0].message
    assert message.tool_calls
    assert message.content is None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    asked = upstream.requests[-1].body
    assert asked["tools"] == [WEATHER]
    assert asked["tool_choice"] == "required"
    assert asked["parallel_tool_calls"] is False
    answer: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "Rain."}
    history: list[Any] = [*QUESTION, message, answer]
    second = await openai.chat.completions.create(model="small", messages=history, tools=[WEATHER])
    assert second.choices[0].message.content == "Hello from the upstream."
    sent = upstream.requests[-1].body["messages"]
    assert sent[1]["tool_calls"][0]["id"] == "call_1"
    assert sent[2] == answer


class Capital(BaseModel):
    city: str
    people: int


async def test_structured_output(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Say('{"city": "Par'), Say('is", "people": 2100000}'), Finish(), Usage(), Done())
    answer = await openai.chat.completions.parse(model="small", messages=QUESTION, response_format=Capital)
    assert answer.choices[0].message.parsed == Capital(city="Paris", people=2100000)
    asked = upstream.requests[-1].body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["schema"]["properties"].keys() == {"city", "people"}


async def test_what_providers_add_reaches_the_client(openai: AsyncOpenAI, upstream: Upstream) -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    delta = {"content": "Hi", "annotations": [{"type": "url_citation"}]}
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None}
    upstream.script(
        Data({**chunk, "choices": [choice], "system_fingerprint": "fp_1"}), Finish(), Usage(), Done()
    )
    whole = await openai.chat.completions.create(model="small", messages=QUESTION, logprobs=True)
    assert upstream.requests[-1].body["logprobs"] is True
    assert whole.system_fingerprint == "fp_1"
    assert whole.choices[0].logprobs
    assert whole.choices[0].logprobs.content
    assert whole.choices[0].logprobs.content[0].token == "Hi"
    assert whole.choices[0].message.model_dump(exclude_none=True)["annotations"] == [{"type": "url_citation"}]
    chunks = [
        chunk
        async for chunk in await openai.chat.completions.create(
            model="small", messages=QUESTION, stream=True, logprobs=True
        )
    ]
    (told,) = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert told.choices[0].delta.content == "Hi"
    assert told.system_fingerprint == "fp_1"


async def test_several_answers(openai: AsyncOpenAI, upstream: Upstream) -> None:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    pieces = [(0, "One"), (1, "Two"), (1, "!"), (0, "?")]
    upstream.script(
        *(Data({**chunk, "choices": [{"index": at, "delta": {"content": text}}]}) for at, text in pieces),
        *(
            Data({**chunk, "choices": [{"index": at, "delta": {}, "finish_reason": reason}]})
            for at, reason in ((1, "length"), (0, "stop"))
        ),
        Done(),
    )
    answer = await openai.chat.completions.create(model="small", messages=QUESTION, n=2)
    assert upstream.requests[-1].body["n"] == 2
    assert [(choice.index, choice.message.content, choice.finish_reason) for choice in answer.choices] == [
        (0, "One?", "stop"),
        (1, "Two!", "length"),
    ]


async def test_pictures_and_sounds_reach_the_provider(openai: AsyncOpenAI, upstream: Upstream) -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ]
    await openai.chat.completions.create(model="small", messages=[{"role": "user", "content": parts}])
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": parts}]


async def test_reasoning(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Reason("Hm, "), Reason("easy."), Say("Paris."), Finish(), Usage(), Done())
    answer = await openai.chat.completions.create(model="small", messages=QUESTION)
    assert answer.choices[0].message.model_dump()["reasoning_content"] == "Hm, easy."
    assert answer.choices[0].message.content == "Paris."


async def test_the_older_completions(openai: AsyncOpenAI, upstream: Upstream) -> None:
    answer = await openai.completions.create(model="small", prompt="Hello", max_tokens=5)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == "Hello from the upstream."
    assert answer.usage
    assert answer.usage.completion_tokens == 4
    pieces = [
        piece.choices[0].text
        async for piece in await openai.completions.create(model="small", prompt="Hello", stream=True)
    ]
    assert "".join(pieces) == "Hello from the upstream."


REFUSALS = [
    (Status(400, failure("temperature is too high.")), sdk.BadRequestError, 400, None),
    (Status(401, failure("Incorrect API key.")), sdk.InternalServerError, 502, "provider_auth"),
    (Status(403, failure("No.")), sdk.InternalServerError, 502, "provider_auth"),
    (Status(429, failure("Slow."), {"Retry-After": "7"}), sdk.RateLimitError, 429, "rate_limit_exceeded"),
    (Status(500, failure("Boom.")), sdk.InternalServerError, 502, "upstream_error"),
    (Status(503, failure("Busy.")), sdk.InternalServerError, 502, "upstream_error"),
    (ErrorChunk("The model stumbled."), sdk.InternalServerError, 502, "upstream_error"),
    (Reset(), sdk.InternalServerError, 502, "upstream_error"),
    (Cut(), sdk.InternalServerError, 502, "upstream_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("step", "error", "status", "code"), REFUSALS)
async def test_a_failure_has_the_same_status_streamed_or_not(
    openai: AsyncOpenAI, upstream: Upstream, step: Any, error: type[sdk.APIStatusError], status: int,
    code: str | None, stream: bool,
) -> None:  # fmt: skip
    upstream.script(step)
    with pytest.raises(error) as raised:
        await openai.chat.completions.create(model="small", messages=QUESTION, stream=stream)
    assert raised.value.status_code == status
    if code:
        assert raised.value.code == code
    if status == 429:
        assert raised.value.response.headers["Retry-After"] == "7"


async def test_what_is_wrong_with_a_request(openai: AsyncOpenAI, upstream: Upstream) -> None:
    with pytest.raises(sdk.NotFoundError) as unknown:
        await openai.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(sdk.BadRequestError) as empty:
        await openai.chat.completions.create(model="small", messages=[])
    assert empty.value.param == "messages"
    with pytest.raises(sdk.BadRequestError):
        await openai.chat.completions.create(
            model="small", messages=QUESTION, extra_body={"temperature": "hot"}
        )
    assert [request for request in upstream.requests if request.method == "POST"] == []


async def test_an_error_in_the_midst_of_a_stream(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Say("lo"), ErrorChunk("The model stumbled."))
    heard = ""
    with pytest.raises(sdk.APIError, match="stumbled"):
        async for chunk in await openai.chat.completions.create(
            model="small", messages=QUESTION, stream=True
        ):
            heard += chunk.choices[0].delta.content or ""
    assert heard == "Hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_turn(
    openai: AsyncOpenAI, upstream: Upstream, service: Service, stream: bool
) -> None:
    upstream.script(Say("Hel"), Silent())
    asking = service.context.tasks.start(_read(openai, stream), "client")
    await until(lambda: service.context.turns.running(None))
    turn = service.context.turns.running(None)[0]
    await until(lambda: len(turn.log.events) >= 3)
    asking.cancel()
    await until(lambda: upstream.aborted, seconds=1)
    await until(lambda: turn.ending, seconds=1)
    assert turn.ending == "abandoned"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_turn_that_may_go_on_alone_does(
    openai: AsyncOpenAI, upstream: Upstream, service: Service, stream: bool
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hel"), Gate(gate), Say("lo"), Finish(), Usage(), Done())
    asking = service.context.tasks.start(
        _read(openai, stream, extra_headers={"X-On-Disconnect": "detach"}), "client"
    )
    await until(lambda: service.context.turns.running(None))
    turn = service.context.turns.running(None)[0]
    await until(lambda: len(turn.log.events) >= 3)
    asking.cancel()
    await until(lambda: not turn.readers)
    gate.set()
    await until(lambda: turn.ending)
    assert turn.ending == "done"
    assert not upstream.aborted


async def test_the_same_request_again_is_the_same_turn(openai: AsyncOpenAI, upstream: Upstream) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = [
        await openai.chat.completions.create(model="small", messages=QUESTION, extra_headers=key)
        for _ in range(2)
    ]
    assert first == again
    assert len(upstream.bill) == 1


async def test_the_models(openai: AsyncOpenAI) -> None:
    listed = [model async for model in openai.models.list()]
    assert [model.id for model in listed] == ["small", "large"]
    assert {model.object for model in listed} == {"model"}
    assert (await openai.models.retrieve("large")).owned_by == "Upstream"
    with pytest.raises(sdk.NotFoundError):
        await openai.models.retrieve("no/such")


async def test_the_status_waits_for_the_first_word_but_not_for_ever(
    tmp_path: Path, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Gate(gate), ErrorChunk("The model stumbled."))
    settings = "[stream]\nfirst_event_timeout = 0.1\nheartbeat = 0.05\n" + ROW.format(url=upstream.url)
    async with serving(tmp_path, settings) as service:
        body = {"model": "small", "messages": QUESTION, "stream": True}
        async with service.http.post(f"{service.url}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            assert await answer.content.readuntil(b"\n\n") == b": ping\n\n"
            gate.set()
            *pings, error = (await answer.text()).rstrip().split("\n\n")
            assert set(pings) <= {": ping"}
            assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_error"


async def _read(openai: AsyncOpenAI, stream: bool, **options: Any) -> None:
    if not stream:
        await openai.chat.completions.create(model="small", messages=QUESTION, **options)
        return
    async for _ in await openai.chat.completions.create(
        model="small", messages=QUESTION, stream=True, **options
    ):
        pass


def said(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
