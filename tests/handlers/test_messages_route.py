"""Anthropic's SDK for Python, unmodified, over the scripted upstream; and what reaches that of a message."""

import asyncio
import io
import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import anthropic as sdk
import msgspec
import pytest
from anthropic import AsyncAnthropic, beta_async_tool
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel

from service.handlers.messages import MessageRequest
from service.messages import Ask
from tests.conftest import ROW
from tests.serving import Json, Service, serving
from tests.upstream import (
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

ROUTE, COUNT = "/v1/messages", "/v1/messages/count_tokens"
QUESTION: list[MessageParam] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: ToolParam = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = (
    ToolCall("weather", "", "call_1"),
    ToolCall(arguments='{"city": '),
    ToolCall(arguments='"Paris"}'),
    Finish("tool_calls"),
    Usage(),
    Done(),
)
PIXEL = "iVBORw0KGgo="


@pytest.fixture
async def anthropic(service: Service) -> AsyncGenerator[AsyncAnthropic, None]:
    """It sends its key, as it always does, and does not try again by itself."""
    async with AsyncAnthropic(api_key="sk-whatever", base_url=service.url, max_retries=0) as client:
        yield client


def asked(upstream: Upstream) -> Json:
    """The body of the last request that reached the upstream."""
    (*_, last) = (request for request in upstream.requests if request.path == "/v1/chat/completions")
    assert isinstance(last.body, dict)
    return last.body


async def told(upstream: Upstream, service: Service, **body: Any) -> Json:
    """What reaches the upstream of a request with these fields."""
    request = {"model": "small", "max_tokens": 50, "messages": QUESTION} | body
    status, answer = await service.post(ROUTE, request)
    assert status == 200, answer
    return asked(upstream)


# Answers


async def test_a_message(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    answer = await anthropic.messages.create(
        model="small",
        max_tokens=50,
        messages=QUESTION,
        stop_sequences=["END"],
        extra_body={"temperature": 0.5},
    )
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "small")
    assert answer.id.startswith("msg_")
    assert answer._request_id
    (block,) = answer.content
    assert (block.type, block.type == "text" and block.text) == ("text", "Hello from the upstream.")
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (6, 4)
    sent = asked(upstream)
    assert (sent["max_tokens"], sent["temperature"], sent["stop"]) == (50, 0.5, ["END"])


async def test_a_stream(anthropic: AsyncAnthropic) -> None:
    async with anthropic.messages.stream(model="small", max_tokens=50, messages=QUESTION) as stream:
        pieces = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert pieces == ["Hello", " from", " the", " upstream."]
    assert await stream.get_final_text() == "Hello from the upstream."
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 6, 4)


async def test_the_stream_begins_with_an_estimate_of_the_prompt(anthropic: AsyncAnthropic) -> None:
    count = await anthropic.messages.count_tokens(model="small", messages=QUESTION, tools=[WEATHER])
    async with anthropic.messages.stream(
        model="small", max_tokens=50, messages=QUESTION, tools=[WEATHER]
    ) as stream:
        events = [event async for event in stream]
    first = events[0]
    assert first.type == "message_start"
    assert first.message.usage.input_tokens == count.input_tokens > 20


async def test_the_same_turn_streamed_and_whole(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    upstream.script(Reason("Let me think."), Say("Paris"), Say("."), Finish("length"), Usage(3, 2), Done())
    whole = await anthropic.messages.create(model="small", max_tokens=50, messages=QUESTION)
    async with anthropic.messages.stream(model="small", max_tokens=50, messages=QUESTION) as stream:
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].type == "thinking"
    assert final.content[0].thinking == "Let me think."
    assert final.to_dict()["content"] == whole.to_dict()["content"]
    assert (final.stop_reason, final.usage) == (whole.stop_reason, whole.usage)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
async def test_reasons_to_stop(
    reason: str, expected: str, anthropic: AsyncAnthropic, upstream: Upstream
) -> None:
    upstream.script(Say("Well"), Finish(reason), Usage(), Done())
    answer = await anthropic.messages.create(model="small", max_tokens=50, messages=QUESTION)
    async with anthropic.messages.stream(model="small", max_tokens=50, messages=QUESTION) as stream:
        final = await stream.get_final_message()
    assert answer.stop_reason == final.stop_reason == expected


async def test_tools_there_and_back(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    upstream.enqueue((Say("I look."), *CALL))
    async with anthropic.messages.stream(
        model="small",
        max_tokens=50,
        messages=QUESTION,
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    ) as stream:
        called = await stream.get_final_message()
    sent = asked(upstream)
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells the weather.",
                "parameters": WEATHER["input_schema"],
            },
        }
    ]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)
    assert called.stop_reason == "tool_use"
    _, use = called.content
    assert use.type == "tool_use"
    assert (use.id, use.name, use.input) == ("call_1", "weather", {"city": "Paris"})

    await anthropic.messages.create(
        model="small",
        max_tokens=50,
        tools=[WEATHER],
        messages=[
            *QUESTION,
            called.to_param(),
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": use.id, "content": "Sunny"},
                    {"type": "text", "text": "Be brief."},
                ],
            },
        ],
    )
    _, assistant, tool, user = asked(upstream)["messages"]
    (call,) = assistant["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_1", "weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
    assert tool == {"role": "tool", "content": "Sunny", "tool_call_id": "call_1"}
    assert user == {"role": "user", "content": "Be brief."}


async def test_the_sdks_own_loop_of_tools(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    @beta_async_tool
    async def weather(city: str) -> str:
        """Tells the weather."""
        return f"Sunny in {city}"

    upstream.enqueue(CALL)
    runner = anthropic.beta.messages.tool_runner(
        model="small", max_tokens=50, messages=[{"role": "user", "content": "How is it?"}], tools=[weather]
    )
    final = await runner.until_done()
    assert final.content[0].type == "text"
    assert final.content[0].text == "Hello from the upstream."
    assert asked(upstream)["messages"][-1]["content"] == "Sunny in Paris"


class Capital(BaseModel):
    city: str


async def test_an_answer_in_a_form(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    upstream.script(Say('{"city": '), Say('"Paris"}'), Finish(), Usage(), Done())
    answer = await anthropic.messages.parse(
        model="small", max_tokens=50, messages=QUESTION, output_format=Capital
    )
    assert answer.parsed_output == Capital(city="Paris")
    form = asked(upstream)["response_format"]
    assert (form["type"], form["json_schema"]["schema"]["required"]) == ("json_schema", ["city"])


# What reaches the upstream


async def test_a_picture(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    await anthropic.messages.create(
        model="small",
        max_tokens=50,
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}},
                    {"type": "text", "text": "What is this?"},
                ],
            }
        ],
    )
    (message,) = asked(upstream)["messages"]
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}},
        {"type": "text", "text": "What is this?"},
    ]


def said(*blocks: Json, role: str = "user") -> list[Json]:
    return [{"role": role, "content": list(blocks)}]


def words(text: str) -> Json:
    return {"type": "text", "text": text}


def result(**fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": "call_1", **fields}


IMAGE = {"type": "image", "source": {"type": "url", "url": "data:,"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}
USE = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}

MESSAGES: dict[str, tuple[Any, list[Json]]] = {
    "a text": (said(words("Hi")), [{"role": "user", "content": "Hi"}]),
    "several texts": (
        said(words("Hi"), words(""), words("there")),
        [{"role": "user", "content": [words("Hi"), words("there")]}],
    ),
    "turns of the same side": (
        [*said(words("a"), role="assistant"), *said(words("b"), role="assistant"), *said(words("c"))],
        [
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    ),
    "the system in between": (
        [*said(words("a")), {"role": "system", "content": "Be brief."}],
        [{"role": "user", "content": "a"}, {"role": "system", "content": "Be brief."}],
    ),
    "a text, then calls": (
        said(words("I look."), USE, role="assistant"),
        [{"role": "assistant", "content": "I look.", "tool_calls": [CALLED]}],
    ),
    "calls alone": (said(USE, role="assistant"), [{"role": "assistant", "tool_calls": [CALLED]}]),
    "thoughts of another provider": (
        said(
            {"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="},
            {"type": "redacted_thinking", "data": "aGlkZGVu"},
            words("Yes."),
            role="assistant",
        ),
        [{"role": "assistant", "content": [words("Yes.")]}],
    ),
    "a result without a word": (
        said(result()),
        [{"role": "tool", "content": "", "tool_call_id": "call_1"}],
    ),
    "a result that is an error": (
        said(result(content="No such city.", is_error=True)),
        [{"role": "tool", "content": "Error:\nNo such city.", "tool_call_id": "call_1"}],
    ),
    "a result in blocks, and more": (
        said(result(content=[words("One"), words("Two")]), words("Go on.")),
        [
            {"role": "tool", "content": "One\nTwo", "tool_call_id": "call_1"},
            {"role": "user", "content": "Go on."},
        ],
    ),
    "a result with a picture": (
        said(result(content=[words("Look:"), IMAGE]), words("Go on.")),
        [
            {
                "role": "tool",
                "content": "Look:\nWhat belongs to this result follows in the next message.",
                "tool_call_id": "call_1",
            },
            {"role": "user", "content": [PICTURE, words("Go on.")]},
        ],
    ),
    "a document in words": (
        said({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Once"}}),
        [{"role": "user", "content": "Once"}],
    ),
    "a document with a title": (
        said(
            {"type": "document", "source": {"type": "content", "content": "Once"}, "title": "A tale"},
            {"type": "document", "source": {"type": "content", "content": [words("Two"), IMAGE]}},
        ),
        [{"role": "user", "content": [words("A tale"), words("Once"), words("Two"), PICTURE]}],
    ),
    "a document in bytes": (
        said(
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "text/html", "data": "PHA+T25jZTwvcD4="},
                "title": "tale.html",
            }
        ),
        [
            {
                "role": "user",
                "content": [words("tale.html"), words("<!-- File: tale.html -->\nOnce\n<-- End -->\n\n")],
            }
        ],
    ),
    "what a search has found": (
        said(
            {
                "type": "search_result",
                "source": "https://news.example",
                "title": "News",
                "content": [words("One"), words("Two")],
            }
        ),
        [{"role": "user", "content": "News (https://news.example)\nOne\nTwo"}],
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
async def test_messages_are_told_in_openais_form(name: str, service: Service, upstream: Upstream) -> None:
    sent, expected = MESSAGES[name]
    assert (await told(upstream, service, messages=sent))["messages"] == expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("Be brief.", "Be brief."),
        ([words("Be brief.")], "Be brief."),
        ([words("Be brief."), words("Be kind.")], [words("Be brief."), words("Be kind.")]),
        ([{**words("Be brief."), "cache_control": {"type": "ephemeral"}}], [words("Be brief.")]),
    ],
    ids=str,
)
async def test_the_system_comes_first(
    system: Any, expected: Any, service: Service, upstream: Upstream
) -> None:
    first, *_ = (await told(upstream, service, system=system))["messages"]
    assert first == {"role": "system", "content": expected}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
    ids=str,
)
async def test_which_tool_to_call(choice: Any, expected: Any, service: Service, upstream: Upstream) -> None:
    sent = await told(upstream, service, tools=[WEATHER], tool_choice=choice)
    assert sent["tool_choice"] == expected
    assert "parallel_tool_calls" not in sent


async def test_web_search_is_no_function(service: Service, upstream: Upstream) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    sent = await told(upstream, service, tools=[search], tool_choice={"type": "auto"})
    assert not {"tools", "tool_choice"} & sent.keys()
    sent = await told(upstream, service, tools=[search, {**WEATHER, "type": "custom"}])
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"]


async def test_how_to_answer(service: Service, upstream: Upstream) -> None:
    sent = await told(
        upstream, service, top_p=0.5, top_k=9, output_config={"effort": "high"}, service_tier="standard_only"
    )
    told_of = {name: sent[name] for name in ("top_p", "top_k", "reasoning_effort", "service_tier")}
    assert told_of == {"top_p": 0.5, "top_k": 9, "reasoning_effort": "high", "service_tier": "default"}


async def test_what_says_nothing_to_us_is_no_mistake(service: Service, upstream: Upstream) -> None:
    sent = await told(
        upstream, service, metadata={"user_id": "u"}, service_tier="auto", container=None, stop_sequences=[]
    )
    assert set(sent) == {"model", "messages", "max_tokens", "stream", "stream_options"}


async def test_the_model_and_the_provider_may_be_left_out(service: Service, upstream: Upstream) -> None:
    for provider in (None, "Upstream"):
        status, answer = await service.post(ROUTE, {"messages": QUESTION, "provider": provider})
        assert (status, answer["model"]) == (200, "small")


# What only some providers can read


def question(**body: Any) -> Ask:
    """What a provider is asked, when the request has these fields."""
    return msgspec.convert({"messages": QUESTION} | body, MessageRequest).ask()


CACHE: Json = {"cache_control": {"type": "ephemeral"}}


def test_what_is_to_be_cached_stays_marked() -> None:
    document = {"type": "document", "source": {"type": "content", "content": [words("a"), words("b")]}}
    ask = question(
        system=[words("Be brief."), {**words("Be kind."), **CACHE}],
        messages=said({**IMAGE, **CACHE}, {**document, **CACHE}, result(content="Sunny", **CACHE)),
        tools=[{**WEATHER, **CACHE}, WEATHER],
    )
    system, tool, user = ask.messages
    assert system.content == [words("Be brief."), {**words("Be kind."), **CACHE}]
    assert tool.content == [{**words("Sunny"), **CACHE}]
    assert user.content == [{**PICTURE, **CACHE}, words("a"), {**words("b"), **CACHE}]
    assert [tool.get("cache_control") for tool in ask.generation.tools or ()] == [{"type": "ephemeral"}, None]


def test_thoughts_go_back_as_they_came() -> None:
    thoughts: list[Json] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="},
        {"type": "redacted_thinking", "data": "aGlkZGVu"},
    ]
    (message,) = question(messages=said(*thoughts, USE, role="assistant")).messages
    assert (message.content, message.tool_calls) == (thoughts, [CALLED])


def test_a_document_elsewhere_is_a_file_with_its_address() -> None:
    source = {"type": "url", "url": "https://papers.example/a.pdf"}
    (message,) = question(messages=said({"type": "document", "source": source})).messages
    file = {"filename": "document.pdf", "file_data": "https://papers.example/a.pdf"}
    assert message.content == [{"type": "file", "file": file}]


def test_what_the_provider_is_to_do_besides() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    search = {"type": "web_search_20250305", "name": "web_search"}
    plain, full = question(), question(thinking=thinking, tools=[search], continuation=True)
    assert (full.generation.thinking, full.web_search, full.continuation) == (thinking, True, True)
    assert (plain.generation.thinking, plain.web_search, plain.continuation) == (None, False, False)


# What goes wrong


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [], "system": "Be brief."}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "$.messages[0].role"),
        ({"messages": said({"type": "video"})}, "video"),
        ({"messages": said(words("a\0b"))}, "NUL"),
        ({"system": "a\0b"}, "NUL"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "bash_20250124"),
        ({"tool_choice": {"type": "some"}}, "$.tool_choice.type"),
    ],
    ids=str,
)
async def test_a_bad_request_says_what_is_bad(body: Json, said: str, anthropic: AsyncAnthropic) -> None:
    request: Json = {"model": "small", "max_tokens": 50, "messages": QUESTION} | body
    with pytest.raises(sdk.BadRequestError) as raised:
        await anthropic.messages.create(**request)
    assert raised.value.type == "invalid_request_error"
    assert said in raised.value.message


async def test_an_error_has_anthropics_shape_wherever_it_happens(service: Service) -> None:
    cases: list[tuple[str, str, Any, Any, int, str]] = [
        ("POST", ROUTE, b"{", {}, 400, "invalid_request_error"),
        ("POST", COUNT, b"{", {}, 400, "invalid_request_error"),
        ("POST", f"{ROUTE}/batches", b"{}", {}, 404, "not_found_error"),
        ("GET", ROUTE, None, {}, 405, "invalid_request_error"),
        ("POST", ROUTE, b"{}", {"Host": "evil.example"}, 403, "permission_error"),
        ("POST", ROUTE, io.BytesIO(b" " * 2_000_000), {}, 413, "request_too_large"),
    ]
    for method, path, data, headers, status, kind in cases:
        async with service.http.request(method, service.url + path, data=data, headers=headers) as answer:
            body = await answer.json()
            assert (answer.status, body["type"], body["error"]["type"]) == (status, "error", kind)
            assert body["error"].keys() == {"type", "message"}
            assert body["request_id"] == answer.headers["request-id"] == answer.headers["X-Request-ID"]


async def test_other_paths_keep_their_shape(service: Service) -> None:
    for path in ("/v1/messagesque", "/v1/nowhere", "/v1"):
        async with service.http.get(service.url + path) as answer:
            assert (await answer.json()).keys() == {"error"}
            assert "request-id" not in answer.headers


async def test_an_unknown_model_is_not_found(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    with pytest.raises(sdk.NotFoundError) as raised:
        await anthropic.messages.create(model="huge", max_tokens=50, messages=QUESTION)
    assert (raised.value.type, upstream.bill) == ("not_found_error", [])
    assert raised.value.request_id


@pytest.mark.parametrize("stream", [False, True])
async def test_too_many_requests_say_when_to_come_again(
    stream: bool, anthropic: AsyncAnthropic, upstream: Upstream
) -> None:
    upstream.script(Status(429, failure("Slow down."), {"Retry-After": "7"}))
    with pytest.raises(sdk.RateLimitError) as raised:
        await anthropic.messages.create(
            model="small",
            max_tokens=50,
            messages=QUESTION,
            stream=stream,
            extra_body={"provider": "Upstream"},
        )
    assert (raised.value.type, raised.value.response.headers["Retry-After"]) == ("rate_limit_error", "7")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_rejected_key_is_not_the_callers(
    stream: bool, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.key = "sk-right"
    upstream.script_models(Status(404))
    row = f'[[providers]]\nname = "Upstream"\nurl = "{upstream.url}"\nkey = "UPSTREAM_KEY"\n'
    async with (
        serving(tmp_path, row, UPSTREAM_KEY="sk-wrong") as service,
        AsyncAnthropic(api_key="sk-whatever", base_url=service.url, max_retries=0) as client,
    ):
        with pytest.raises(sdk.APIStatusError) as raised:
            await client.messages.create(
                model="small",
                max_tokens=50,
                messages=QUESTION,
                stream=stream,
                extra_body={"provider": "Upstream"},
            )
    assert not isinstance(raised.value, sdk.AuthenticationError)
    assert (raised.value.status_code, raised.value.type) == (502, "api_error")


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_there_is_an_overload(stream: bool, tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as service,
        AsyncAnthropic(api_key="sk-whatever", base_url=service.url, max_retries=0) as client,
    ):
        with pytest.raises(sdk.InternalServerError) as raised:
            await client.messages.create(model="small", max_tokens=50, messages=QUESTION, stream=stream)
    assert (raised.value.status_code, raised.value.type) == (503, "overloaded_error")


@pytest.mark.parametrize("end", [ErrorChunk("It fell."), Reset()], ids=["error", "reset"])
async def test_an_error_in_the_midst_of_a_stream_is_raised(
    end: Any, anthropic: AsyncAnthropic, upstream: Upstream
) -> None:
    upstream.script(Say("Hel"), end)
    pieces: list[str] = []
    with pytest.raises(sdk.APIStatusError) as raised:
        async with anthropic.messages.stream(model="small", max_tokens=50, messages=QUESTION) as stream:
            async for text in stream.text_stream:
                pieces.append(text)
    assert pieces == ["Hel"]
    assert raised.value.type == "api_error"


# Streams


async def test_a_ping_may_come_before_the_message(tmp_path: Path, upstream: Upstream) -> None:
    over = asyncio.Event()
    upstream.script(Gate(over), Say("Late."), Finish(), Usage(), Done())
    settings = ROW.format(url=upstream.url) + "\n[stream]\nheartbeat = 0.05\nfirst_event_timeout = 0.05\n"
    async with serving(tmp_path, settings) as service:
        body = {"model": "small", "messages": QUESTION, "stream": True}
        async with service.http.post(service.url + ROUTE, json=body) as answer:
            assert answer.status == 200
            assert await answer.content.readuntil(b"\n\n") == b'event: ping\ndata: {"type": "ping"}\n\n'
        async with (
            AsyncAnthropic(api_key="sk-whatever", base_url=service.url, max_retries=0) as client,
            client.messages.stream(model="small", max_tokens=50, messages=QUESTION) as stream,
        ):
            over.set()
            assert await stream.get_final_text() == "Late."


async def test_a_client_that_leaves_stops_the_upstream(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Silent())
    async with anthropic.messages.stream(model="small", max_tokens=50, messages=QUESTION) as stream:
        async for _ in stream.text_stream:
            break
    await until(lambda: upstream.aborted, 1)


async def test_a_client_that_leaves_a_whole_answer_stops_the_upstream(
    anthropic: AsyncAnthropic, upstream: Upstream
) -> None:
    upstream.script(Say("Hel"), Silent())
    with pytest.raises(sdk.APITimeoutError):
        await anthropic.with_options(timeout=0.2).messages.create(
            model="small", max_tokens=50, messages=QUESTION
        )
    await until(lambda: upstream.aborted, 1)


async def test_the_same_key_is_the_same_turn(service: Service, upstream: Upstream) -> None:
    body = {"model": "small", "messages": QUESTION}
    headers = {"Idempotency-Key": "k-1", "X-On-Disconnect": "detach"}
    first = await service.post(ROUTE, body, headers=headers)
    again = await service.post(ROUTE, body, headers=headers)
    assert first == again
    assert len(upstream.bill) == 1
    status, answer = await service.post(ROUTE, {**body, "max_tokens": 5}, headers=headers)
    assert (status, answer["error"]["type"]) == (422, "invalid_request_error")


async def test_the_ledger_knows_the_wire(anthropic: AsyncAnthropic, service: Service, tmp_path: Path) -> None:
    await anthropic.messages.create(model="small", max_tokens=50, messages=QUESTION)
    (record,) = await service.records()
    assert (record["prompt_tokens"], record["completion_tokens"]) == (6, 4)
    with closing(sqlite3.connect(tmp_path / "state/causerie.db")) as database:
        assert database.execute("SELECT wire, ending FROM records").fetchall() == [("anthropic", "done")]


async def test_to_count_is_not_to_ask(anthropic: AsyncAnthropic, upstream: Upstream) -> None:
    short = await anthropic.messages.count_tokens(model="small", messages=QUESTION)
    long = await anthropic.messages.count_tokens(model="small", messages=QUESTION, system="word " * 100)
    assert 100 < long.input_tokens - short.input_tokens < 150
    assert upstream.bill == []
