"""OpenAI's Responses API with OpenAI's SDK for Python, unmodified, over the scripted upstream."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseFunctionToolCall,
    ResponseReasoningItem,
    ResponseStreamEvent,
)
from pydantic import BaseModel

from tests.conftest import ROW
from tests.serving import Json, Service, serving
from tests.turns.clients import endings, process_of
from tests.upstream import (
    Data,
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Reason,
    Reset,
    Say,
    Silent,
    Stall,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
    failure,
    until,
)

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": None,
}
CALL: tuple[Step, ...] = (
    ToolCall("weather", "", "call_1"),
    ToolCall(arguments='{"city": '),
    ToolCall(arguments='"Paris"}'),
    Finish("tool_calls"),
    Usage(),
    Done(),
)
END = (Finish(), Usage(), Done())


def client_of(url: str, **headers: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="sk-any", base_url=f"{url}/v1", max_retries=0, default_headers=headers)


@pytest.fixture
async def openai(service: Service) -> AsyncGenerator[AsyncOpenAI, None]:
    async with client_of(service.url) as client:
        yield client


async def read(stream: Any) -> list[ResponseStreamEvent]:
    return [event async for event in stream]


def numbers(events: list[ResponseStreamEvent]) -> list[int]:
    return [event.sequence_number for event in events]


def text(events: list[ResponseStreamEvent]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def ending(events: list[ResponseStreamEvent]) -> Response:
    """The response of the last event, which ends it."""
    last = events[-1]
    assert last.type in {"response.completed", "response.incomplete", "response.failed"}
    return last.response


# One answer


async def test_an_answer(openai: AsyncOpenAI, upstream: Upstream) -> None:
    answer = await openai.responses.create(
        model="small",
        instructions="Be brief.",
        input="What is the capital of France?",
        temperature=0.5,
        max_output_tokens=99,
        metadata={"thread": "7"},
    )
    assert answer.id.startswith("resp_")
    assert (answer.object, answer.status, answer.model) == ("response", "completed", "small")
    assert answer.output_text == "Hello from the upstream."
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (8, 4, 12)
    assert (answer.instructions, answer.temperature, answer.metadata) == ("Be brief.", 0.5, {"thread": "7"})
    assert (answer.max_output_tokens, answer.tool_choice, answer.error) == (99, "auto", None)
    asked = upstream.requests[-1].body
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    assert (asked["temperature"], asked["max_completion_tokens"]) == (0.5, 99)


async def test_the_record_says_which_wire_it_was(openai: AsyncOpenAI, tmp_path: Path) -> None:
    answer = await openai.responses.create(model="small", input="Hello")
    with closing(sqlite3.connect(tmp_path / "state" / "causerie.db")) as database:
        rows = database.execute("SELECT id, wire, ending FROM records").fetchall()
    assert rows == [(answer.id.removeprefix("resp_"), "responses", "done")]


async def test_a_stream_is_in_order_and_numbered(openai: AsyncOpenAI) -> None:
    told = await read(await openai.responses.create(model="small", input="Hello", stream=True))
    assert [event.type for event in told] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 4,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert numbers(told) == list(range(12))
    assert text(told) == ending(told).output_text == "Hello from the upstream."
    assert ending(told).usage


async def test_the_sdks_own_accumulation(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Reason("Hm."), Say("I "), Say("look."), *CALL)
    async with openai.responses.stream(model="small", input="Weather?", tools=[WEATHER]) as stream:
        snapshots = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert snapshots == ["I ", "I look."]
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert final.output_text == "I look."
    call = final.output[2]
    assert call.type == "function_call"
    assert call.arguments == '{"city": "Paris"}'


async def test_reasoning(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Reason("Hm, "), Reason("easy."), Say("Paris."), *END)
    told = await read(await openai.responses.create(model="small", input="Capital?", stream=True))
    deltas = [event.delta for event in told if event.type == "response.reasoning_text.delta"]
    assert deltas == ["Hm, ", "easy."]
    thought, _ = ending(told).output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.content
    assert [part.text for part in thought.content] == ["Hm, easy."]
    await openai.responses.create(model="small", input="Sure?", previous_response_id=ending(told).id)
    assert upstream.requests[-1].body["messages"][1] == {"role": "assistant", "content": "Paris."}


class Capital(BaseModel):
    city: str
    people: int


async def test_structured_output(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Say('{"city": "Par'), Say('is", "people": 2100000}'), *END)
    answer = await openai.responses.parse(model="small", input="Capital of France?", text_format=Capital)
    assert answer.output_parsed == Capital(city="Paris", people=2100000)
    asked = upstream.requests[-1].body["response_format"]
    assert (asked["type"], asked["json_schema"]["name"]) == ("json_schema", "Capital")
    assert asked["json_schema"]["schema"]["properties"].keys() == {"city", "people"}
    async with openai.responses.stream(model="small", input="Capital?", text_format=Capital) as stream:
        assert (await stream.get_final_response()).output_parsed == answer.output_parsed


async def test_log_probabilities_and_refusals(openai: AsyncOpenAI, upstream: Upstream) -> None:
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    probable = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]}
    upstream.script(
        Data({**chunk, "choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": probable}]}),
        Data({**chunk, "choices": [{"index": 0, "delta": {"refusal": "But no."}}]}),
        *END,
    )
    answer = await openai.responses.create(model="small", input="Hello", top_logprobs=0)
    assert upstream.requests[-1].body["logprobs"] is True
    (message,) = answer.output
    assert message.type == "message"
    said, refused = message.content
    assert said.type == "output_text"
    assert refused.type == "refusal"
    assert said.logprobs
    assert (said.logprobs[0].token, refused.refusal) == ("Hi", "But no.")


# Tools, and what goes on from a response


async def test_tools_there_and_back(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.enqueue([Reason("I need the weather."), *CALL])
    first = await openai.responses.create(
        model="small", input="Weather in Paris?", tools=[WEATHER], tool_choice="required", instructions="Old."
    )
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, json.loads(call.arguments), call.call_id) == ("weather", {"city": "Paris"}, "call_1")
    asked = upstream.requests[-1].body
    assert asked["tools"][0]["function"]["name"] == "weather"
    assert asked["tool_choice"] == "required"
    second = await openai.responses.create(
        model="small",
        instructions="New.",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}],
        tools=[WEATHER],
    )
    assert second.output_text == "Hello from the upstream."
    assert second.previous_response_id == first.id
    function = {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert upstream.requests[-1].body["messages"] == [
        {"role": "system", "content": "New."},
        {"role": "user", "content": "Weather in Paris?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            "reasoning_content": "I need the weather.",
        },
        {"role": "tool", "content": "Rain.", "tool_call_id": "call_1"},
    ]


async def test_output_that_is_sent_back_is_read_as_it_was(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.enqueue([Say("I look."), *CALL])
    first = await openai.responses.create(model="small", input="Weather?", tools=[WEATHER], store=False)
    history: list[Any] = [
        {"role": "user", "content": "Weather?"},
        *(item.model_dump(exclude_none=True) for item in first.output),
        {"type": "function_call_output", "call_id": "call_1", "output": "Rain."},
    ]
    await openai.responses.create(model="small", input=history, store=False)
    _, said, returned = upstream.requests[-1].body["messages"]
    assert (said["content"], said["tool_calls"][0]["id"]) == ("I look.", "call_1")
    assert returned == {"role": "tool", "content": "Rain.", "tool_call_id": "call_1"}


async def test_a_chain_of_responses_is_one_conversation(openai: AsyncOpenAI, upstream: Upstream) -> None:
    before: str | None = None
    for number in range(4):
        upstream.enqueue([Say(f"Answer {number}."), *END])
        answer = await openai.responses.create(
            model="small", input=f"Question {number}?", previous_response_id=before
        )
        before = answer.id
    said = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert (
        said
        == [f"{kind} {n}{mark}" for n in range(4) for kind, mark in (("Question", "?"), ("Answer", "."))][:-1]
    )


async def test_what_goes_on_may_branch(openai: AsyncOpenAI, upstream: Upstream) -> None:
    first = await openai.responses.create(model="small", input="One")
    for branch in ("Two", "Or two"):
        await openai.responses.create(model="small", input=branch, previous_response_id=first.id)
        said = [message["content"] for message in upstream.requests[-1].body["messages"]]
        assert said == ["One", "Hello from the upstream.", branch]


async def test_what_is_not_there_cannot_be_gone_on_from(openai: AsyncOpenAI, service: Service) -> None:
    private = await openai.responses.create(model="small", input="Hello", store=False)
    gone = await openai.responses.create(model="small", input="Hello")
    await openai.responses.delete(gone.id)
    async with client_of(service.url, **{"x-user": "bob"}) as bob:
        others = await bob.responses.create(model="small", input="Hello")
    for id in (private.id, gone.id, others.id, "resp_unknown", "x"):
        with pytest.raises(sdk.BadRequestError) as raised:
            await openai.responses.create(model="small", input="And?", previous_response_id=id)
        assert raised.value.code == "previous_response_not_found"
        assert raised.value.param == "previous_response_id"
        assert id in raised.value.message


async def test_a_running_response_cannot_be_gone_on_from(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.enqueue([Say("Hel"), Stall()])
    running = await openai.responses.create(model="small", input="Hello", background=True)
    with pytest.raises(sdk.BadRequestError, match="still being answered"):
        await openai.responses.create(model="small", input="And?", previous_response_id=running.id)
    await openai.responses.cancel(running.id)
    await openai.responses.create(model="small", input="And?", previous_response_id=running.id)
    said = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert said[-1] == "And?"


async def test_a_chain_is_bounded(
    openai: AsyncOpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.handlers.responses.LONGEST_CHAIN", 2)
    before: str | None = None
    for _ in range(3):
        answer = await openai.responses.create(model="small", input="Hello", previous_response_id=before)
        before = answer.id
    with pytest.raises(sdk.BadRequestError, match="More than 2 responses"):
        await openai.responses.create(model="small", input="Hello", previous_response_id=before)


# How it may end


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_an_answer_may_be_incomplete(
    openai: AsyncOpenAI, upstream: Upstream, reason: str, told: str
) -> None:
    upstream.script(Say("And so"), Finish(reason), Usage(), Done())
    answer = await openai.responses.create(model="small", input="Hello")
    assert (answer.status, answer.output_text) == ("incomplete", "And so")
    assert answer.incomplete_details
    assert answer.incomplete_details.reason == told
    stream = await read(await openai.responses.create(model="small", input="Hello", stream=True))
    assert stream[-1].type == "response.incomplete"
    assert ending(stream).incomplete_details == answer.incomplete_details
    (item,) = answer.output
    assert item.type == "message"
    assert item.status == "incomplete"


async def test_a_failure_in_the_midst(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), ErrorChunk("The model stumbled."))
    stream = await read(await openai.responses.create(model="small", input="Hello", stream=True))
    assert stream[-1].type == "response.failed"
    failed = ending(stream)
    assert (failed.status, failed.output_text) == ("failed", "Hel")
    assert failed.error
    assert "stumbled" in failed.error.message
    with pytest.raises(sdk.InternalServerError, match="stumbled") as raised:
        await openai.responses.create(model="small", input="Hello")
    assert raised.value.status_code == 502
    assert await openai.responses.retrieve(failed.id) == failed


REFUSALS: list[tuple[Step, type[sdk.APIStatusError], int, str]] = [
    (Status(400, failure("Too hot.")), sdk.BadRequestError, 400, "invalid_request"),
    (Status(401, failure("Incorrect key.")), sdk.InternalServerError, 502, "provider_auth"),
    (Status(429, failure("Slow."), {"Retry-After": "7"}), sdk.RateLimitError, 429, "rate_limit_exceeded"),
    (Status(500, failure("Boom.")), sdk.InternalServerError, 502, "upstream_error"),
    (Reset(), sdk.InternalServerError, 502, "upstream_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("step", "error", "status", "code"), REFUSALS)
async def test_a_failure_before_the_first_word_has_a_status(
    openai: AsyncOpenAI,
    upstream: Upstream,
    step: Step,
    error: type[sdk.APIStatusError],
    status: int,
    code: str,
    stream: bool,
) -> None:
    upstream.script(step)
    with pytest.raises(error) as raised:
        await openai.responses.create(model="small", input="Hello", stream=stream)
    assert (raised.value.status_code, raised.value.code) == (status, code)


async def test_what_is_wrong_with_a_request(openai: AsyncOpenAI, upstream: Upstream) -> None:
    with pytest.raises(sdk.NotFoundError) as unknown:
        await openai.responses.create(model="no-such-model", input="Hello")
    assert unknown.value.code == "model_not_found"
    wrong: list[tuple[Json, str]] = [
        ({"input": []}, "input"),
        ({"input": [{"role": "user"}]}, "input[0]"),
        ({"input": [[]]}, "$.input[0]"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "tools[0].type"),
        ({"temperature": "hot"}, "$.temperature"),
        ({"conversation": "conv_1"}, "conversation"),
    ]
    for fields, param in wrong:
        with pytest.raises(sdk.BadRequestError) as raised:
            await openai.responses.create(model="small", extra_body={"input": "Hello"} | fields)
        assert raised.value.param == param
    assert [request for request in upstream.requests if request.method == "POST"] == []


async def test_unknown_fields_have_no_effect(openai: AsyncOpenAI, upstream: Upstream) -> None:
    more: Json = {
        "truncation": "auto",
        "user": "u",
        "context_management": [],
        "frobnicate": {"a": 1},
        "store": None,
    }
    answer = await openai.responses.create(model="small", input="Hello", extra_body=more)
    assert (answer.truncation, answer.user) == ("auto", "u")
    assert upstream.requests[-1].body.keys() == {"model", "messages", "stream", "stream_options"}


async def test_a_client_that_leaves_ends_it(
    openai: AsyncOpenAI, upstream: Upstream, service: Service
) -> None:
    upstream.script(Say("Hel"), Silent())
    stream = await openai.responses.create(model="small", input="Hello", stream=True)
    created = await anext(aiter(stream))
    assert created.type == "response.created"
    await stream.close()
    await until(lambda: upstream.aborted, seconds=1)
    await until(lambda: not service.context.turns.running(None), seconds=1)
    left = await openai.responses.retrieve(created.response.id)
    assert (left.status, left.output_text) == ("cancelled", "Hel")


# What is stored


async def test_what_is_stored_is_read_again(openai: AsyncOpenAI, service: Service) -> None:
    told = await read(await openai.responses.create(model="small", input="Hello", stream=True))
    said = ending(told)
    for _ in range(2):
        assert await openai.responses.retrieve(said.id) == said
        assert await openai.responses.retrieve(said.id.removeprefix("resp_")) == said
        assert await read(await openai.responses.retrieve(said.id, stream=True)) == told
        await until(lambda: not service.context.turns._present)  # then the journal has it
    for event in told:
        after = event.sequence_number
        rest = await read(await openai.responses.retrieve(said.id, stream=True, starting_after=after))
        assert rest == told[after + 1 :]


async def test_a_stream_that_is_cut_is_read_on(openai: AsyncOpenAI, upstream: Upstream) -> None:
    gates = [asyncio.Event() for _ in range(5)]
    steps = [step for letter, gate in zip("abcde", gates, strict=True) for step in (Say(letter), Gate(gate))]
    upstream.script(*steps, *END)
    told: list[ResponseStreamEvent] = []
    stream = await openai.responses.create(model="small", input="Hello", background=True, stream=True)
    for gate in gates:
        async for event in stream:
            told.append(event)
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        gate.set()
        assert told[0].type == "response.created"
        stream = await openai.responses.retrieve(
            told[0].response.id, stream=True, starting_after=told[-1].sequence_number
        )
    told += await read(stream)
    assert text(told) == "abcde"
    assert numbers(told) == list(range(len(told)))
    assert ending(told).output_text == "abcde"
    assert len(upstream.bill) == 1


async def test_the_sdks_helper_reads_on(openai: AsyncOpenAI, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("a"), Say("b"), Gate(gate), Say("c"), *END)
    async with openai.responses.stream(model="small", input="Hello", background=True) as stream:
        seen = []
        async for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    assert seen[0].type == "response.created"
    gate.set()
    async with openai.responses.stream(
        response_id=seen[0].response.id, starting_after=seen[-1].sequence_number
    ) as again:
        rest = [event.sequence_number async for event in again]
        final = await again.get_final_response()
    assert rest[0] == seen[-1].sequence_number + 1
    assert final.output_text == "abc"


async def test_two_readers_read_the_same(openai: AsyncOpenAI, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("a"), Gate(gate), Say("b"), *END)
    running = await openai.responses.create(model="small", input="Hello", background=True)
    streams = [await openai.responses.retrieve(running.id, stream=True) for _ in range(3)]
    gate.set()
    first, *others = await asyncio.gather(*(read(stream) for stream in streams))
    assert others == [first, first]


@pytest.mark.parametrize("number", ["-1", "x", "1.5", ""])
async def test_a_number_that_is_none_is_refused(openai: AsyncOpenAI, service: Service, number: str) -> None:
    answer = await openai.responses.create(model="small", input="Hello")
    url = f"{service.url}/v1/responses/{answer.id}?stream=true&starting_after={number}"
    async with service.http.get(url) as refused:
        assert refused.status == 400
        assert (await refused.json())["error"]["param"] == "starting_after"


async def test_in_the_background(openai: AsyncOpenAI, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Hel"), Gate(gate), Say("lo"), *END)
    answer = await openai.responses.create(model="small", input="Hello", background=True)
    assert (answer.status, answer.background, answer.usage) == ("in_progress", True, None)
    for _ in range(200):
        answer = await openai.responses.retrieve(answer.id)
        if answer.output_text:
            break
    assert (answer.status, answer.output_text) == ("in_progress", "Hel")
    gate.set()
    for _ in range(200):
        answer = await openai.responses.retrieve(answer.id)
        if answer.status != "in_progress":
            break
    assert (answer.status, answer.output_text) == ("completed", "Hello")
    assert answer.usage


async def test_what_is_not_stored_is_not_there(openai: AsyncOpenAI, service: Service) -> None:
    answer = await openai.responses.create(model="small", input="Hello", store=False)
    assert answer.output_text
    await assert_missing(openai, answer.id)


async def test_a_turn_of_another_wire_is_no_response(openai: AsyncOpenAI, service: Service) -> None:
    async with service.asking() as answer:
        await answer.read()
    await assert_missing(openai, answer.headers["X-Turn-Id"])


async def test_somebody_elses_response_is_not_there(
    openai: AsyncOpenAI, service: Service, upstream: Upstream
) -> None:
    upstream.script(Say("Hel"), Stall())
    async with (
        client_of(service.url, **{"x-user": "anna"}) as anna,
        client_of(service.url, **{"x-user": "bob"}) as bob,
    ):
        hers = await anna.responses.create(model="small", input="Hello", background=True)
        for stranger in (bob, openai):
            await assert_missing(stranger, hers.id)
        assert not upstream.aborted
        assert (await anna.responses.cancel(hers.id)).status == "cancelled"
        for stranger in (bob, openai):
            await assert_missing(stranger, hers.id)
        assert (await anna.responses.retrieve(hers.id)).status == "cancelled"


async def assert_missing(client: AsyncOpenAI, id: str) -> None:
    responses = client.responses
    calls: list[Callable[[str], Awaitable[object]]] = [
        responses.retrieve,
        partial(responses.retrieve, stream=True),
        responses.cancel,
        responses.delete,
        responses.input_items.list,
    ]
    for call in calls:
        with pytest.raises(sdk.NotFoundError) as raised:
            await call(id)
        assert raised.value.code == "not_found"


async def test_cancelling(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    stream = await openai.responses.create(model="small", input="Hello", stream=True)
    told = []
    async for event in stream:
        told.append(event)
        if event.type == "response.created":
            id = event.response.id
        if event.type == "response.output_text.delta":
            break
    cancelled = await openai.responses.cancel(id)
    assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hel")
    await until(lambda: upstream.aborted, seconds=1)
    told += await read(stream)
    assert ending(told) == cancelled == await openai.responses.retrieve(id)
    assert await openai.responses.cancel(id) == cancelled


async def test_what_has_ended_is_cancelled_no_more(openai: AsyncOpenAI) -> None:
    answer = await openai.responses.create(model="small", input="Hello")
    assert await openai.responses.cancel(answer.id) == answer


async def test_deleting(openai: AsyncOpenAI, service: Service, upstream: Upstream) -> None:
    kept = await openai.responses.create(model="small", input="Hello")
    gone = await openai.responses.create(model="small", input="Hello")
    async with service.http.delete(f"{service.url}/v1/responses/{gone.id}") as answer:
        assert await answer.json() == {"id": gone.id, "object": "response", "deleted": True}
    await assert_missing(openai, gone.id)
    assert await openai.responses.retrieve(kept.id) == kept
    assert len(await service.records()) == 2, "what it cost stays"


async def test_deleting_what_runs_ends_it(openai: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    running = await openai.responses.create(model="small", input="Hello", background=True)
    await openai.responses.delete(running.id)
    await until(lambda: upstream.aborted, seconds=1)
    await assert_missing(openai, running.id)


async def test_nothing_is_deleted_before_it_is_kept(tmp_path: Path, upstream: Upstream) -> None:
    row, settle = ROW.format(url=upstream.url), {"CAUSERIE_DATABASE_SETTLE_TIMEOUT": "0.2"}
    async with serving(tmp_path, row, **settle) as service, client_of(service.url) as client:
        upstream.script(Say("Hel"), Stall())
        running = await client.responses.create(model="small", input="Hello", background=True)
        other = sqlite3.connect(
            tmp_path / "state" / "causerie.db", isolation_level=None, check_same_thread=False
        )
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")  # as a backup that hangs would
        with pytest.raises(sdk.InternalServerError) as raised:
            await client.responses.delete(running.id)
        assert (raised.value.status_code, raised.value.code) == (503, "unavailable")
        other.close()
        await until(lambda: not service.context.database.waiting, seconds=30)
        await client.responses.delete(running.id)
        assert endings(tmp_path, "turns") == {}


async def test_the_input_is_listed(openai: AsyncOpenAI) -> None:
    first = await openai.responses.create(model="small", input="Hello")
    asked: list[Any] = [{"role": "user", "content": f"Question {number}"} for number in range(5)]
    answer = await openai.responses.create(model="small", input=asked, previous_response_id=first.id)
    newest = await openai.responses.input_items.list(answer.id)
    assert [item.content for item in newest.data] == [f"Question {n}" for n in (4, 3, 2, 1, 0)]  # type: ignore[union-attr]
    assert {item.type for item in newest.data} == {"message"}
    assert newest.has_more is False
    paged = [item async for item in openai.responses.input_items.list(answer.id, order="asc", limit=2)]
    assert paged == newest.data[::-1]
    (item,) = (await openai.responses.input_items.list(first.id)).data
    assert item.to_dict()["content"] == [{"type": "input_text", "text": "Hello"}]


async def test_the_same_request_again_is_the_same_response(openai: AsyncOpenAI, upstream: Upstream) -> None:
    first, again = [
        await openai.responses.create(model="small", input="Hello", extra_headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert first == again
    assert len(upstream.bill) == 1


async def test_a_clients_key_is_not_kept(openai: AsyncOpenAI, service: Service) -> None:
    brought = {"api_key": "sk-clients-own", "provider": "Upstream"}
    answer = await openai.responses.create(model="small", input="Hello", extra_body=brought)
    turn = await service.context.turns.find(answer.id.removeprefix("resp_"), "local")
    assert turn.request
    assert b"Hello" in turn.request
    assert b"sk-clients-own" not in turn.request


# When the service ends


@asynccontextmanager
async def restarting(directory: Path, upstream: Upstream) -> AsyncGenerator[Service, None]:
    row = ROW.format(url=upstream.url)
    async with serving(directory, row, CAUSERIE_SERVER_SHUTDOWN_TIMEOUT="0.1") as service:
        yield service


async def test_who_is_sent_away_reads_on_after_the_restart(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Say("lo"), Stall())
    told: list[ResponseStreamEvent] = []
    async with asyncio.TaskGroup() as group, restarting(tmp_path, upstream) as service:
        client = client_of(service.url)
        stream = await client.responses.create(model="small", input="Hello", background=True, stream=True)
        async for event in stream:
            told.append(event)
            if text(told) == "Hello":
                break
        group.create_task(_finish(stream, told))
    await client.close()
    *told, away = told
    assert away.type == "error"
    assert away.code == "service_restarting"
    assert told[0].type == "response.created"
    id = told[0].response.id
    async with restarting(tmp_path, upstream) as service, client_of(service.url) as client:
        rest = await client.responses.retrieve(id, stream=True, starting_after=away.sequence_number)
        told += await read(rest)
        assert numbers(told) == list(range(len(told)))
        left = ending(told)
        assert (left.status, left.output_text) == ("incomplete", "Hello")
        assert left.to_dict()["incomplete_details"] == {"reason": "interrupted"}
        assert await client.responses.retrieve(id) == left
        upstream.script(*END)
        await client.responses.create(model="small", input="Go on.", previous_response_id=id)
        said = [message["content"] for message in upstream.requests[-1].body["messages"]]
        assert said == ["Hello", "Hello", "Go on."]


async def _finish(stream: Any, told: list[ResponseStreamEvent]) -> None:
    told += await read(stream)


@pytest.mark.slow
async def test_what_a_crash_left_is_there(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    async with process_of(tmp_path, upstream) as (process, url), client_of(url) as client:
        running = await client.responses.create(model="small", input="Hello", background=True)
        await asyncio.sleep(1)  # the journal writes four times a second
        process.kill()
        await process.wait()
    async with process_of(tmp_path, upstream) as (_, url), client_of(url) as client:
        left = await client.responses.retrieve(running.id)
        assert (left.status, left.output_text, left.created_at) == ("incomplete", "Hel", running.created_at)
        assert left.to_dict()["incomplete_details"] == {"reason": "interrupted"}
        for read_before in (0, 5, 50):
            told = await read(
                await client.responses.retrieve(running.id, stream=True, starting_after=read_before)
            )
            assert ending(told) == left
            assert told[0].sequence_number == read_before + 1
