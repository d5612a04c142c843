"""Ollama by its own interface, seen by a reader of the stream; and what it is asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.providers.ollama_stream import Lines
from service.providers.sse import StreamTooLong
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
    Refusal,
    Say,
    Split,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
    vector,
)

KIND = 'kind = "ollama"\n'
PICTURE = "data:image/png;base64,iVBORw=="


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    async with serving(tmp_path, ROW.format(url=upstream.root) + KIND) as service:
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
    assert upstream.requests[-1].path == "/api/chat"
    assert upstream.requests[-1].body == {
        "model": "small",
        "messages": [{"role": "user", "content": "Who is there?"}],
        "stream": True,
        "options": {},
    }


async def test_the_models_are_its_tags(tmp_path: Path, upstream: Upstream) -> None:
    tags = [
        {"name": "llava:7b", "details": {"families": ["llama", "clip"]}},
        {"name": "gemma3:4b", "details": {"families": None}, "capabilities": ["completion", "vision"]},
        {"name": "smollm2:135m"},
    ]
    upstream.script_models(Status(200, {"models": tags}))
    async with serving(tmp_path, ROW.format(url=upstream.root) + KIND) as service:
        cards = await service.get("/backend-api/v2/models/Upstream")
        assert [(card["id"], card["vision"]) for card in cards] == [
            ("llava:7b", True),
            ("gemma3:4b", True),
            ("smollm2:135m", False),
        ]


async def test_thoughts_come_before_the_answer(service: Service, upstream: Upstream) -> None:
    upstream.script(Reason("Let me "), Reason("think."), Say("Yes."), Finish("length"), Done())
    answer = await service.ask()
    assert [event for event in answer if event["type"] == "reasoning"] == [
        {"type": "reasoning", "token": "Let me "},
        {"type": "reasoning", "token": "think."},
        {"type": "reasoning", "token": None, "status": ""},
    ]
    assert (text(answer), answer[-2]["finish"]) == ("Yes.", {"reason": "length"})


async def test_thoughts_in_the_text_are_told_apart(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("<thi"), Say("nk>Hm.</think>"), Say("Yes."), Finish(), Done())
    answer = await service.ask()
    assert (kinds(answer)[1], text(answer)) == ("reasoning", "Yes.")


async def test_tools_are_called_as_openai_calls_them(service: Service, upstream: Upstream) -> None:
    upstream.script(
        ToolCall("weather", '{"city": "Kyiv"}', "1"),
        ToolCall("time", "{}", "2"),
        Finish("tool_calls"),
        Done(),
    )
    answer = await service.ask(tools=[TOOL])
    pieces = [call for event in answer if event["type"] == "tool_calls" for call in event["tool_calls"]]
    said = {0: "", 1: ""}
    for piece in pieces:
        said[piece["index"]] += piece["function"].get("arguments", "")
    assert said == {0: '{"city":"Kyiv"}', 1: "{}"}
    heads = [piece for piece in pieces if piece.get("id")]
    assert [(head["index"], head["function"]["name"]) for head in heads] == [(0, "weather"), (1, "time")]
    assert len({head["id"] for head in heads}) == 2
    assert answer[-2]["finish"] == {"reason": "tool_calls"}


async def test_a_whole_answer_is_understood(service: Service, upstream: Upstream) -> None:
    whole = {
        "message": {"role": "assistant", "content": "All at once."},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 5,
        "eval_count": 3,
    }
    upstream.script(Status(200, whole))
    answer = await service.ask()
    assert (text(answer), answer[-1]["usage"]["total_tokens"]) == ("All at once.", 8)


async def test_characters_are_whole_however_the_stream_is_cut(service: Service, upstream: Upstream) -> None:
    upstream.script(Split(3), Say("Grüße, "), Say("мир "), Say("👋🏽"), Finish(), Usage(), Done())
    assert text(await service.ask()) == "Grüße, мир 👋🏽"


async def test_a_bad_line_is_skipped(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("a"), Raw(b"{nonsense\n\n \r\n"), Data({"x": 1}), Say("b"), Finish(), Done())
    assert text(await service.ask()) == "ab"


BROKEN: dict[str, list[Step]] = {
    "cut": [Say("Hel"), Cut()],
    "closed without its last line": [Say("Hel"), Finish(), Close()],
    "nothing at all": [Close()],
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_stream_without_its_end_is_broken(service: Service, upstream: Upstream, name: str) -> None:
    upstream.script(*BROKEN[name])
    answer = await service.ask(provider="Upstream")
    assert (answer[-1]["type"], answer[-1]["error"]) == ("error", "ProviderError")
    assert text(answer) in {"", "Hel"}


REFUSED: dict[str, tuple[Step, str, str]] = {
    "no such model": (Refusal(404, "model 'x' not found", ""), "ModelNotFound", "model 'x' not found"),
    "busy": (Refusal(503, "server busy", ""), "ProviderError", "503: server busy"),
    "in the stream": (ErrorChunk("llama runner process has terminated"), "ProviderError", "llama runner"),
    "an endless line": (Raw(b"x" * 9_000_000), "StreamTooLong", "8388608 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_it_complains_of_is_told(service: Service, upstream: Upstream, name: str) -> None:
    step, error, words = REFUSED[name]
    upstream.script(step)
    last = (await service.ask(provider="Upstream"))[-1]
    assert (last["error"], words in last["message"]) == (error, True)


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


async def test_a_conversation_is_written_as_ollama_wants_it(service: Service, upstream: Upstream) -> None:
    function = {"name": "weather", "arguments": '{"city": "Kyiv"}'}
    body = await asked(
        service,
        upstream,
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": PICTURE}},
                {"type": "text", "text": " Well?"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}],
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "It rains."},
        tools=[TOOL],
    )
    called = {"function": {"name": "weather", "arguments": {"city": "Kyiv"}}}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look. Well?", "images": ["iVBORw=="]},
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [called]},
        {"role": "tool", "content": "It rains.", "tool_name": "weather"},
    ]
    assert body["tools"] == [TOOL]
    assert "tools" not in await asked(service, upstream, tools=[TOOL], tool_choice="none")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "does not listen"),
        ({"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/a.png"}}, "data URI"),
    ],
    ids=["audio", "a picture elsewhere"],
)
async def test_what_it_cannot_take_is_refused_before(
    service: Service, upstream: Upstream, part: Json, words: str
) -> None:
    question = {"messages": [{"role": "user", "content": [part]}], "provider": "Upstream"}
    status, error = await service.post(CONVERSATION, question)
    assert (status, words in error["error"]["message"]) == (400, True)
    assert not [request for request in upstream.requests if request.method == "POST"]


async def test_parameters_become_options(tmp_path: Path, upstream: Upstream) -> None:
    options = 'options = { keep_alive = "1h", num_ctx = 4096, temperature = 0.1, seed = 7 }\n'
    async with serving(tmp_path, ROW.format(url=upstream.root) + KIND + options) as service:
        body = await asked(
            service,
            upstream,
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            min_p=0.05,
            max_tokens=9,
            max_completion_tokens=77,
            stop="END",
            repetition_penalty=1.1,
            presence_penalty=0.2,
            frequency_penalty=0.3,
            logprobs=True,
            top_logprobs=2,
        )
    assert body["keep_alive"] == "1h"
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert body["options"] == {
        "num_ctx": 4096,
        "temperature": 0.5,
        "seed": 7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "num_predict": 77,
        "stop": ["END"],
        "repeat_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
    }


SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}}


async def test_the_form_of_the_answer_is_asked_for(service: Service, upstream: Upstream) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert (await asked(service, upstream, response_format=wanted))["format"] == SCHEMA
    assert (await asked(service, upstream, response_format={"type": "json_object"}))["format"] == "json"
    assert "format" not in await asked(service, upstream, response_format={"type": "text"})


@pytest.mark.parametrize(
    ("said", "think"),
    [
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "none"}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, True),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, False),
        ({}, None),
    ],
)
async def test_whether_it_thinks_is_said(
    service: Service, upstream: Upstream, said: Json, think: bool | str | None
) -> None:
    assert (await asked(service, upstream, **said)).get("think") == think


async def test_it_embeds(service: Service, upstream: Upstream) -> None:
    status, answer = await service.post("/v1/embeddings", {"model": "small", "input": "a"})
    assert (status, answer["data"][0]["embedding"]) == (200, vector("a"))
    assert upstream.requests[-1].path == "/v1/embeddings"


@given(some.lists(some.text(some.characters(codec="utf-8", exclude_characters="\n"))), some.data())
def test_lines_are_the_same_however_they_are_cut(texts: list[str], data: some.DataObject) -> None:
    stream = "\n".join(texts).encode()
    cuts = data.draw(some.lists(some.integers(0, len(stream)), max_size=8))
    lines = Lines()
    found = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(stream)], strict=True):
        found += lines.feed(stream[start:stop])
    assert [*found, *lines.end()] == [line.encode() for line in texts if line.encode().strip()]


def test_a_line_has_a_limit() -> None:
    lines = Lines(limit=10)
    assert lines.feed(b"123456789\n12345") == [b"123456789"]
    with pytest.raises(StreamTooLong):
        lines.feed(b"678901")
