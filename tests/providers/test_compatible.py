"""An OpenAI-compatible upstream, and all that it may do wrong, seen by a reader of the stream."""

import json
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.serving import Json, Service, kinds, serving, text
from tests.upstream import (
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Html,
    HugeLine,
    Raw,
    Reason,
    Redirect,
    Reset,
    Say,
    Silent,
    Status,
    Step,
    ToolCall,
    Upstream,
    failure,
    vector,
)

KEYED = ROW + 'key = "UPSTREAM_KEY"\n'


def chunk(**delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


async def test_reasoning_is_closed_before_the_answer(service: Service, upstream: Upstream) -> None:
    upstream.script(Reason("Let me "), Reason("think.", field="reasoning"), Say("Yes."), Finish(), Done())
    answer = await service.ask()
    assert [event for event in answer if event["type"] == "reasoning"] == [
        {"type": "reasoning", "token": "Let me "},
        {"type": "reasoning", "token": "think."},
        {"type": "reasoning", "token": None, "status": ""},
    ]
    assert kinds(answer) == ["provider", "reasoning", "content", "finish", "usage"]


async def test_tool_calls_pass_as_deltas(service: Service, upstream: Upstream) -> None:
    upstream.script(
        ToolCall("weather", "", "call_1"), ToolCall(arguments='{"city":'), Finish("tool_calls"), Done()
    )
    answer = await service.ask()
    assert [event["tool_calls"] for event in answer if event["type"] == "tool_calls"] == [
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"city":'}}],
    ]
    assert answer[-2]["finish"] == {"reason": "tool_calls"}


async def test_a_call_that_a_model_writes_is_known_by_the_tools_it_has(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(Say('```json\n{"name": "weather", "arguments": {}}\n```'), Finish(), Done())
    tool = {"type": "function", "function": {"name": "weather"}}
    assert "tool_calls" in kinds(await service.ask(tools=[tool]))
    assert "tool_calls" not in kinds(await service.ask())


async def test_the_model_that_answers_is_named_when_it_is_another(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(Data({"model": "small-2026", **chunk(content="Hi")}), Finish(), Done())
    answer = await service.ask()
    assert [event["provider"]["model"] for event in answer if event["type"] == "provider"] == [
        "small",
        "small-2026",
    ]
    assert answer[-1]["model"] == "small-2026"


async def test_an_upstream_that_does_not_stream_is_understood(service: Service, upstream: Upstream) -> None:
    whole = {"choices": [{"message": {"content": "All at once."}, "finish_reason": "stop"}]}
    upstream.script(Status(200, whole, {"Content-Type": "application/json"}))
    answer = await service.ask()
    assert text(answer) == "All at once."
    assert kinds(answer) == ["provider", "content", "finish", "usage"]


async def test_what_was_said_before_an_error_in_the_same_read_is_kept(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(
        Raw(b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\ndata: {"error":{"message":"Full."}}\n\n')
    )
    answer = await service.ask()
    assert kinds(answer) == ["provider", "content", "error"]
    assert "Full." in answer[-1]["message"]


async def test_what_was_withheld_is_told_when_the_stream_breaks(service: Service, upstream: Upstream) -> None:
    """It may have become a sign for thoughts; now it never will."""
    upstream.script(Say("<thin"), Cut())
    answer = await service.ask(provider="Upstream")
    assert (text(answer), answer[-1]["type"]) == ("<thin", "error")


SURVIVED: dict[str, list[Step]] = {
    "a bad line": [Say("a"), Raw(b"data: {nonsense\n\n"), Say("b"), Finish(), Done()],
    "bytes that are no UTF-8": [
        Say("a"),
        Raw(b'data: {"choices":"\xff\xfe"}\n\n'),
        Say("b"),
        Finish(),
        Done(),
    ],
    "CRLF, comments and other fields": [
        Raw(b": hi\r\nevent: x\r\nid: 7\r\nretry: 3\r\n"),
        Raw(b'data: {"choices":[{"delta":{"content":"ab"}}]}\r\n\r\n'),
        Finish(),
        Done(),
    ],
    "a byte order mark": [Raw(b"\xef\xbb\xbf"), Say("ab"), Finish(), Done()],
    "data over several lines": [
        Raw(b'data: {"choices":\ndata: [{"delta":{"content":"ab"}}]}\n\n'),
        Finish(),
        Done(),
    ],
    "no choices": [Say("ab"), Data({"choices": []}), Data({}), Finish(), Done()],
    "no last blank line": [Say("ab"), Raw(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}')],
}


@pytest.mark.parametrize("name", SURVIVED)
async def test_it_survives(service: Service, upstream: Upstream, name: str) -> None:
    upstream.script(*SURVIVED[name])
    answer = await service.ask()
    assert text(answer) == "ab"
    assert answer[-2]["finish"] == {"reason": "stop"}


REFUSED: dict[str, tuple[list[Step], str, str]] = {
    "a page": ([Html()], "ProviderError", "web page"),
    "a redirect": ([Status(302, b"", {"Location": "http://127.0.0.1:1/"})], "ProviderError", "redirects"),
    "an endless line": ([HugeLine(9_000_000)], "StreamTooLong", "8388608 bytes"),
    "its own 500": ([Status(500, failure("Exploded."))], "ProviderError", "500: Exploded."),
    "a 500 without a reason": ([Status(500, b"<html>")], "ProviderError", "500"),
    "too many requests": ([Status(429, failure("Slow down."))], "RateLimited", "Slow down."),
    "nonsense that is deep": ([Status(500, b"[" * 16_000)], "ProviderError", "500"),
    "an error as a text": ([Status(400, {"error": "Bad model."})], "BadRequest", "Bad model."),
    "an error in the stream": ([ErrorChunk("Out of memory.")], "ProviderError", "Out of memory."),
    "too long a prompt": (
        [Status(400, {"error": {"message": "too long", "n_prompt_tokens": 9000, "n_ctx": 8192}})],
        "ContextTooLong",
        "9000 tokens, this model reads at most 8192",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_told(service: Service, upstream: Upstream, name: str) -> None:
    script, error, words = REFUSED[name]
    upstream.script(*script)
    answer = await service.ask()
    assert (answer[-1]["type"], answer[-1]["error"]) == ("error", error)
    assert words in answer[-1]["message"]
    assert len(answer[-1]["message"]) < 500


async def test_an_upstream_that_has_gone_is_named(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url="http://127.0.0.1:1/v1").replace("local = true", 'models = ["small"]\nlocal = true')
    async with serving(tmp_path, row) as service:
        answer = await service.ask()
        assert "cannot be reached at http://127.0.0.1:1/v1" in answer[-1]["message"]


async def test_our_key_goes_to_its_upstream_and_into_no_error(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Status(401, failure("Incorrect API key provided: canary-key.")))
    async with serving(tmp_path, KEYED.format(url=upstream.url), UPSTREAM_KEY="canary-key") as service:
        answer = await service.ask()
        assert upstream.requests[-1].headers["authorization"] == "Bearer canary-key"
        assert (answer[-1]["type"], answer[-1]["auth"]) == ("auth", "ProviderAuth")
        assert "canary-key" not in str(answer)
        assert "canary-key" not in str(await service.get("/backend-api/v2/providers"))


async def test_without_its_key_it_says_which_variable_to_set(tmp_path: Path, upstream: Upstream) -> None:
    row = KEYED.format(url=upstream.url).replace("local = true\n", "")
    async with serving(tmp_path, row) as service:
        answer = await service.ask(provider="Upstream")
        assert "UPSTREAM_KEY" in answer[-1]["message"]
        assert answer[-1]["type"] == "auth"
        assert not upstream.requests


async def test_only_named_parameters_reach_it(service: Service, upstream: Upstream) -> None:
    await service.ask(
        temperature=0.5, max_tokens=7, stop=["x"], seed=1, proxy="http://evil", headers={"a": "b"}, n=9
    )
    assert upstream.requests[-1].body == {
        "model": "small",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 7,
        "stop": ["x"],
        "seed": 1,
    }


THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "sealed"}
KEEP = {"cache_control": {"type": "ephemeral"}}


async def test_what_only_anthropic_understands_stays_here(service: Service, upstream: Upstream) -> None:
    question = {"type": "text", "text": "And then?"}
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    await service.ask(
        messages=[
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "Hi."}]},
            {"role": "user", "content": "Add."},
            {
                "role": "assistant",
                "content": [{"type": "redacted_thinking", "data": "x"}],
                "tool_calls": [call],
            },
            {"role": "tool", "content": "3", "tool_call_id": "call_1"},
            {"role": "user", "content": [question | KEEP]},
        ],
        tools=[tool | KEEP],
    )
    assert upstream.requests[-1].body["messages"] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
        {"role": "user", "content": "Add."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "call_1"},
        {"role": "user", "content": [question]},
    ]
    assert upstream.requests[-1].body["tools"] == [tool]


async def test_a_message_of_sealed_thoughts_alone_is_left_out(service: Service, upstream: Upstream) -> None:
    await service.ask(
        messages=[{"role": "assistant", "content": [THOUGHT]}, {"role": "user", "content": "Hi"}]
    )
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": "Hi"}]


SEARCHING = """web_search = { plugins = [{ id = "web" }], web_search_options = { size = "low" } }
search_models = ["*arge"]
"""


async def test_a_search_is_asked_for_as_the_row_says(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url) + SEARCHING) as service:
        await service.ask(model="large", web_search=True, web_search_options={"size": "high"})
        body = upstream.requests[-1].body
        assert body["plugins"] == [{"id": "web"}]
        assert body["web_search_options"] == {"size": "high"}, "what the client says holds"
        await service.ask(model="large")
        assert "plugins" not in upstream.requests[-1].body


async def test_a_search_that_the_client_describes_is_passed_on(service: Service, upstream: Upstream) -> None:
    answer = await service.ask(web_search=True, web_search_options={})
    assert kinds(answer) == ["provider", "content", "finish", "usage"]
    assert upstream.requests[-1].body["web_search_options"] == {}


async def test_who_cannot_search_says_so_and_answers(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url) + SEARCHING) as service:
        answer = await service.ask(model="small", web_search="the weather")
        assert kinds(answer) == ["provider", "message", "content", "finish", "usage"]
        assert answer[1]["error"] == "WebSearchUnavailable"
        assert "plugins" not in upstream.requests[-1].body


LISTED: dict[str, tuple[Json | list[Json], Json]] = {
    "OpenRouter": (
        {
            "data": [
                {
                    "id": "small",
                    "context_length": 128_000,
                    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
                }
            ]
        },
        {"context_length": 128_000, "vision": True, "image": False, "audio": False},
    ),
    "Together AI": (
        [{"id": "small", "object": "model", "type": "image", "context_length": 0}],
        {"vision": False, "image": True, "audio": False},
    ),
    "Groq": (
        {"object": "list", "data": [{"id": "small", "context_window": 131_072, "active": True}]},
        {"context_length": 131_072, "vision": False, "image": False, "audio": False},
    ),
    "somebody odd": (
        {"data": [{"id": "small", "context_length": "long", "architecture": "Llama", "type": 7}]},
        {"context_length": None, "vision": False, "image": False, "audio": False},
    ),
}


@pytest.mark.parametrize("name", LISTED)
async def test_lists_of_models_are_read(tmp_path: Path, upstream: Upstream, name: str) -> None:
    listing, known = LISTED[name]
    upstream.script_models(Status(200, json.dumps(listing).encode(), {"Content-Type": "application/json"}))
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        (card,) = await service.get("/backend-api/v2/models/Upstream")
        assert (card["id"], {field: card[field] for field in known}) == ("small", known)


async def test_embeddings_and_moderation_are_passed_on(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url) + 'renamed = { ours = "small" }\n'
    async with serving(tmp_path, row) as service:
        status, answer = await service.post("/v1/embeddings", {"model": "ours", "input": ["a", "b c"]})
        assert (status, answer["model"], answer["usage"]["prompt_tokens"]) == (200, "ours", 3)
        assert [one["embedding"] for one in answer["data"]] == [vector("a"), vector("b c")]
        assert upstream.requests[-1].body == {"model": "small", "input": ["a", "b c"]}
        _, judged = await service.post("/v1/moderations", {"input": "mere violence"})
        assert judged["results"][0]["flagged"]


@pytest.mark.parametrize(
    ("steps", "status", "code"),
    [
        ([Status(400, failure("Too many texts."))], 400, "invalid_request"),
        ([Status(429)], 429, "rate_limit_exceeded"),
        ([Silent()], 504, "upstream_timeout"),
        ([Reset()], 502, "upstream_error"),
        ([Html()], 502, "upstream_error"),
        ([Redirect("http://127.0.0.1:1/")], 502, "upstream_error"),
    ],
    ids=["refused", "limited", "silent", "reset", "a page", "a redirect"],
)
async def test_what_fails_beside_the_chat_has_its_status(
    tmp_path: Path, upstream: Upstream, steps: list[Step], status: int, code: str
) -> None:
    upstream.script_at("/v1/embeddings", *steps)
    async with serving(tmp_path, ROW.format(url=upstream.url) + "first_token_timeout = 0.3\n") as service:
        found, error = await service.post("/v1/embeddings", {"model": "small", "input": "a"})
        assert (found, error["error"]["code"]) == (status, code)


async def test_connections_are_used_again(service: Service, upstream: Upstream) -> None:
    for _ in range(5):
        await service.ask()
    assert upstream.open == 1
