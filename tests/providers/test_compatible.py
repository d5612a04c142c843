"""An OpenAI-compatible upstream, and all that it may do wrong, seen by a reader of the stream."""

from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.serving import Service, kinds, serving, text
from tests.upstream import (
    Data,
    Done,
    ErrorChunk,
    Finish,
    Html,
    HugeLine,
    Raw,
    Reason,
    Say,
    Status,
    Step,
    ToolCall,
    Upstream,
    failure,
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
    "an error as a text": ([Status(400, {"error": "Bad model."})], "ProviderError", "Bad model."),
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


async def test_connections_are_used_again(service: Service, upstream: Upstream) -> None:
    for _ in range(5):
        await service.ask()
    assert upstream.open == 1
