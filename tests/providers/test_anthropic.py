"""Anthropic by its own interface, seen by a reader of the stream; and what it is asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, kinds, serving, text
from tests.upstream import (
    Close,
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Raw,
    Reason,
    Redact,
    Refusal,
    Say,
    Seal,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
)

KIND = 'kind = "anthropic"\n'
PICTURE = "data:image/jpeg;base64,/9j/4AA="
KEEP = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    async with serving(tmp_path, ROW.format(url=upstream.url) + KIND) as service:
        yield service


async def asked(service: Service, upstream: Upstream, *messages: Json, **body: Any) -> Json:
    """The body that a question comes to."""
    await service.ask(messages=list(messages) or [{"role": "user", "content": "Hello"}], **body)
    request: Json = upstream.requests[-1].body
    return request


async def test_an_answer_is_streamed(service: Service, upstream: Upstream) -> None:
    answer = await service.ask("Who is there?")
    assert text(answer) == "Hello from the upstream."
    assert kinds(answer) == ["provider", "content", "finish", "usage"]
    assert answer[-2]["finish"] == {"reason": "stop"}
    assert answer[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert upstream.bill == [(3, 4)]
    request = upstream.requests[-1]
    assert (request.path, request.headers["anthropic-version"]) == ("/v1/messages", "2023-06-01")
    assert request.body == {
        "model": "small",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Who is there?"}]}],
        "stream": True,
    }


async def test_the_key_has_a_header_of_its_own(tmp_path: Path, upstream: Upstream) -> None:
    upstream.key = "canary-key"
    row = ROW.format(url=upstream.url) + KIND + 'key = "UPSTREAM_KEY"\n'
    async with serving(tmp_path, row, UPSTREAM_KEY="canary-key") as service:
        await service.ask()
        assert upstream.requests[-1].headers["x-api-key"] == "canary-key"
        assert "authorization" not in upstream.requests[-1].headers


async def test_all_pages_of_the_models_are_read(tmp_path: Path) -> None:
    async with Upstream(models=[f"model-{index}" for index in range(7)]) as upstream:
        upstream.page = 3
        async with serving(tmp_path, ROW.format(url=upstream.url) + KIND) as service:
            cards = await service.get("/backend-api/v2/models/Upstream")
            assert [card["id"] for card in cards] == upstream.models
            assert [request.query for request in upstream.requests] == [
                "limit=1000",
                "limit=1000&after_id=model-2",
                "limit=1000&after_id=model-5",
            ]


async def test_thoughts_have_their_seals(service: Service, upstream: Upstream) -> None:
    upstream.script(
        Reason("Let me "),
        Reason("think."),
        Seal("c2VhbA=="),
        Redact("c2VjcmV0"),
        Say("Yes."),
        Finish(),
        Usage(),
        Done(),
    )
    answer = await service.ask()
    assert [event for event in answer if event["type"] == "reasoning"] == [
        {"type": "reasoning", "token": "Let me "},
        {"type": "reasoning", "token": "think."},
        {"type": "reasoning", "signature": "c2VhbA=="},
        {"type": "reasoning", "token": None, "status": ""},
        {"type": "reasoning", "redacted": "c2VjcmV0"},
    ]
    assert text(answer) == "Yes."


async def test_tools_are_called_as_openai_calls_them(service: Service, upstream: Upstream) -> None:
    upstream.script(
        Say("I look."),
        ToolCall("weather", "", "toolu_1"),
        ToolCall(arguments='{"city":'),
        ToolCall(arguments=' "Kyiv"}'),
        ToolCall("time", call_id="toolu_2"),
        Finish("tool_calls"),
        Usage(),
        Done(),
    )
    answer = await service.ask()
    assert [event["tool_calls"] for event in answer if event["type"] == "tool_calls"] == [
        [{"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"city":'}}],
        [{"index": 0, "function": {"arguments": ' "Kyiv"}'}}],
        [{"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "time", "arguments": ""}}],
    ]
    assert answer[-2]["finish"] == {"reason": "tool_calls"}


async def test_what_its_own_search_does_is_no_call_of_ours(service: Service, upstream: Upstream) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    upstream.script(
        Data({"type": "content_block_start", "index": 0, "content_block": search}),
        Data({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta"}}),
        Data({"type": "content_block_stop", "index": 0}),
        Data({"type": "content_block_start", "index": 1, "content_block": found}),
        Data(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {}}}
        ),
        Data({"type": "a_type_of_tomorrow", "delta": {"type": "unheard_of"}}),
        Say("It rains."),
        Finish("pause_turn"),
        Done(),
    )
    answer = await service.ask()
    assert kinds(answer) == ["provider", "content", "finish", "usage"]
    assert answer[-2]["finish"] == {"reason": "length"}, "it wants to be gone on with"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
async def test_the_reason_to_stop_has_openais_name(
    service: Service, upstream: Upstream, theirs: str, ours: str
) -> None:
    upstream.script(Say("Well."), Finish(theirs), Done())
    assert (await service.ask())[-2]["finish"] == {"reason": ours}


async def test_the_stop_sequence_that_was_met_is_named(service: Service, upstream: Upstream) -> None:
    met = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    counts = {"output_tokens": 1}
    upstream.script(Say("Well."), Data({"type": "message_delta", "delta": met, "usage": counts}), Done())
    assert (await service.ask())[-2]["finish"] == {"reason": "stop", "stop_sequence": "END"}


async def test_what_the_cache_gave_and_took_is_counted(service: Service, upstream: Upstream) -> None:
    cache = {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200}
    start = {"model": "small", "usage": {"input_tokens": 3, "output_tokens": 1, **cache}}
    end = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}
    upstream.script(
        Data({"type": "message_start", "message": start}),
        Raw(b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'),
        Raw(b'"delta":{"type":"text_delta","text":"Hi"}}\n\n'),
        Data({"type": "message_delta", **end}),
        Data({"type": "message_stop"}),
    )
    answer = await service.ask()
    assert answer[-1]["usage"] == {
        "prompt_tokens": 1203,
        "completion_tokens": 42,
        "total_tokens": 1245,
        "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 200},
    }


async def test_the_model_that_answers_is_named(service: Service, upstream: Upstream) -> None:
    start = {"type": "message_start", "message": {"model": "small-20260101"}}
    upstream.script(Data(start), Say("Hi"), Finish(), Done())
    answer = await service.ask()
    named = [event["provider"]["model"] for event in answer if event["type"] == "provider"]
    assert named == ["small", "small-20260101"]


async def test_a_bad_event_is_skipped(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("a"), Raw(b"data: {nonsense\n\n"), Data({"type": "ping"}), Say("b"), Finish(), Done())
    assert text(await service.ask()) == "ab"


BROKEN: dict[str, list[Step]] = {
    "cut": [Say("Hel"), Cut()],
    "closed without message_stop": [Say("Hel"), Finish(), Usage(), Close()],
    "nothing at all": [Close()],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_without_its_end_is_broken(service: Service, upstream: Upstream, name: str) -> None:
    upstream.script(*BROKEN[name])
    answer = await service.ask(provider="Upstream")
    assert (answer[-1]["type"], answer[-1]["error"]) == ("error", "ProviderError")
    assert text(answer) in {"", "Hel"}


LONG = "prompt is too long: 210000 tokens > 200000 maximum"
REFUSED: dict[str, tuple[Step, str, str]] = {
    "overloaded": (Refusal(529, "Overloaded", "overloaded_error"), "ProviderError", "529: Overloaded"),
    "overloaded in the stream": (ErrorChunk("Overloaded", "overloaded_error"), "ProviderError", "Overloaded"),
    "limited": (Refusal(429, "Slow down.", "rate_limit_error"), "RateLimited", "Slow down."),
    "limited in the stream": (ErrorChunk("Slow down.", "rate_limit_error"), "RateLimited", "Slow down."),
    "too long": (Refusal(400, LONG, "invalid_request_error"), "ContextTooLong", "210000"),
    "too long, in the stream": (ErrorChunk(LONG, "invalid_request_error"), "ContextTooLong", "200000"),
    "wrong": (Refusal(400, "max_tokens: too large", "invalid_request_error"), "BadRequest", "max_tokens"),
    "no key": (Refusal(401, "invalid x-api-key", "authentication_error"), "ProviderAuth", "x-api-key"),
    "no right": (ErrorChunk("Not for you.", "permission_error"), "ProviderAuth", "Not for you."),
    "a page of a proxy": (Status(502, b"<html>"), "ProviderError", "502"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_it_complains_of_is_told(service: Service, upstream: Upstream, name: str) -> None:
    step, error, words = REFUSED[name]
    upstream.script(step)
    last = (await service.ask(provider="Upstream"))[-1]
    assert (last.get("error") or last.get("auth"), words in last["message"]) == (error, True)


async def test_a_conversation_is_written_as_anthropic_wants_it(service: Service, upstream: Upstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    broken = {"id": "call_2", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sealed"}
    body = await asked(
        service,
        upstream,
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]},
        {
            "role": "assistant",
            "content": [
                thought,
                {"type": "thinking", "thinking": "of somebody else"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "I add."},
            ],
            "tool_calls": [call, broken],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "?"} | KEEP]},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."} | KEEP]},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
                },
                {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
                {"type": "text", "text": "And now?"} | KEEP,
            ],
        },
    )
    assert body["system"] == [
        {"type": "text", "text": "Be brief."},
        {"type": "text", "text": "Be kind."} | KEEP,
    ]
    first, answer, second = body["messages"]
    assert first == {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look."},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AA="}},
        ],
    }
    assert answer == {
        "role": "assistant",
        "content": [
            thought,
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "I add."},
            {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
            {"type": "tool_use", "id": "call_2", "name": "add", "input": {"arguments": '{"a": 1'}},
        ],
    }
    said = {"type": "text", "text": "3"}
    asked_back = {"type": "text", "text": "?"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    assert second == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": [said]},
            {"type": "tool_result", "tool_use_id": "call_2", "content": [asked_back], **KEEP},
            {"type": "image", "source": {"type": "url", "url": "https://pictures.example/1.png"}},
            {"type": "document", "source": pdf, "title": "a.pdf"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}},
            {"type": "text", "text": "And now?"} | KEEP,
        ],
    }


async def test_an_answer_to_go_on_with_ends_in_no_blank(service: Service, upstream: Upstream) -> None:
    messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two, "}]
    body = await asked(service, upstream, *messages)
    assert body["messages"][-1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "One, two,"}],
    }


@pytest.mark.parametrize(
    ("part", "code", "words"),
    [
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, 400, "does not listen"),
        ({"type": "file", "file": {"file_id": "file-1"}}, 404, "no such file"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, 400, "data URI"),
    ],
    ids=["audio", "a file elsewhere", "no file"],
)
async def test_what_it_cannot_take_is_refused_before(
    service: Service, upstream: Upstream, part: Json, code: int, words: str
) -> None:
    question = {"messages": [{"role": "user", "content": [part]}], "provider": "Upstream"}
    status, error = await service.post(CONVERSATION, question)
    assert (status, words in error["error"]["message"]) == (code, True)
    assert not [request for request in upstream.requests if request.method == "POST"]


async def test_parameters_have_anthropics_names(service: Service, upstream: Upstream) -> None:
    body = await asked(
        service,
        upstream,
        temperature=1.5,
        top_p=0.9,
        top_k=40,
        stop="END",
        max_completion_tokens=77,
        safety_identifier="ada",
        service_tier="default",
        n=2,
        logprobs=True,
        seed=1,
    )
    del body["messages"]
    assert body == {
        "model": "small",
        "max_tokens": 77,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "ada"},
        "service_tier": "standard_only",
        "temperature": 1.0,
        "top_p": 0.9,
        "top_k": 40,
        "stream": True,
    }


async def test_options_are_anthropics_own(tmp_path: Path, upstream: Upstream) -> None:
    options = 'options = { max_tokens = 20000, thinking = { type = "enabled", budget_tokens = 20000 } }\n'
    async with serving(tmp_path, ROW.format(url=upstream.url) + KIND + options) as service:
        body = await asked(service, upstream)
        assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (40_000, 20_000)
        assert "temperature" not in await asked(service, upstream, temperature=0.5)
        body = await asked(service, upstream, thinking={"type": "disabled"}, max_tokens=10, temperature=0.5)
        assert (body["max_tokens"], body["thinking"], body["temperature"]) == (10, {"type": "disabled"}, 0.5)


TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}, "strict": True},
}
CHOICES: dict[str, tuple[Json, Json | None]] = {
    "nothing": ({}, None),
    "auto": ({"tool_choice": "auto"}, {"type": "auto"}),
    "none": ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
    "required": ({"tool_choice": "required"}, {"type": "any"}),
    "a function": (
        {"tool_choice": {"type": "function", "function": {"name": "add"}}},
        {"type": "tool", "name": "add"},
    ),
    "one at a time": (
        {"parallel_tool_calls": False},
        {"type": "auto", "disable_parallel_tool_use": True},
    ),
    "exactly one": (
        {"tool_choice": "required", "parallel_tool_calls": False},
        {"type": "any", "disable_parallel_tool_use": True},
    ),
}


@pytest.mark.parametrize("name", CHOICES)
async def test_tools_and_the_choice_among_them(service: Service, upstream: Upstream, name: str) -> None:
    said, choice = CHOICES[name]
    body = await asked(
        service, upstream, tools=[TOOL | KEEP, {"type": "bash_20250124", "name": "bash"}], **said
    )
    assert body["tools"] == [
        {"name": "add", "input_schema": {"type": "object"}, "description": "Adds.", "strict": True} | KEEP,
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert body.get("tool_choice") == choice


async def test_effort_becomes_a_budget_within_the_limit(service: Service, upstream: Upstream) -> None:
    for effort, budget, limit in (("low", 1024, 4096), ("medium", 4096, 8192), ("high", 16_384, 20_480)):
        body = await asked(service, upstream, reasoning_effort=effort, temperature=0.2)
        assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert body["max_tokens"] == limit
        assert "temperature" not in body, "whoever thinks takes none"
    assert "thinking" not in await asked(service, upstream, reasoning_effort="none")
    given = {"type": "enabled", "budget_tokens": 2000}
    assert (await asked(service, upstream, reasoning_effort="high", thinking=given))["thinking"] == given


CALLED: list[Json] = [
    {"role": "user", "content": "Add."},
    {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "3"},
]


async def test_it_does_not_think_where_it_may_not(service: Service, upstream: Upstream) -> None:
    """Anthropic refuses a question that wants thoughts and has none before the call of a tool."""
    assert "thinking" not in await asked(service, upstream, *CALLED, reasoning_effort="low")
    forced = {"tools": [TOOL], "tool_choice": "required", "reasoning_effort": "low"}
    assert "thinking" not in await asked(service, upstream, **forced)
    prefix = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One"}]
    assert "thinking" not in await asked(service, upstream, *prefix, reasoning_effort="low")
    sealed = {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]}
    thought = [CALLED[0], CALLED[1] | sealed, CALLED[2]]
    assert "thinking" in await asked(service, upstream, *thought, reasoning_effort="low")


SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


async def test_a_schema_is_asked_for(service: Service, upstream: Upstream) -> None:
    body = await asked(service, upstream, response_format=FORMAT)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    body = await asked(service, upstream, response_format={"type": "json_object"})
    assert "one JSON object" in body["system"][0]["text"]


async def test_what_a_model_can_do_is_heeded(tmp_path: Path, upstream: Upstream) -> None:
    yes, no = {"supported": True}, {"supported": False}
    thinking = {"supported": True, "types": {"adaptive": yes, "enabled": no}}
    capabilities = {"thinking": thinking, "structured_outputs": no, "image_input": yes}
    listed = {"type": "model", "id": "small", "max_input_tokens": 200_000, "capabilities": capabilities}
    upstream.script_models(Status(200, {"data": [listed], "has_more": False}))
    async with serving(tmp_path, ROW.format(url=upstream.url) + KIND) as service:
        (card,) = await service.get("/backend-api/v2/models/Upstream")
        assert (card["context_length"], card["vision"]) == (200_000, True)
        body = await asked(service, upstream, reasoning_effort="high", response_format=FORMAT)
        assert (body["thinking"], body["max_tokens"]) == ({"type": "adaptive"}, 4096)
        assert body["output_config"] == {"effort": "high"}
        assert '"additionalProperties": false' in body["system"][0]["text"]


async def test_its_own_search_is_one_more_tool(tmp_path: Path, upstream: Upstream) -> None:
    search = 'web_search = { tools = [{ type = "web_search_20250305", name = "web_search" }] }\n'
    async with serving(tmp_path, ROW.format(url=upstream.url) + KIND + search) as service:
        body = await asked(service, upstream, tools=[TOOL], web_search=True)
        assert [tool["name"] for tool in body["tools"]] == ["add", "web_search"]
        assert "tools" not in await asked(service, upstream, web_search=False)
