"""POST conversation: the stream that comes back, to the byte."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROW
from tests.serving import Service, events, kinds, serving, text, unnumbered
from tests.upstream import (
    Close,
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Html,
    Reason,
    Reset,
    Say,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
    failure,
    until,
)

BROKEN = "The connection to the provider broke. Try again."


def frames(*events: str) -> bytes:
    """The exact stream of these events, given as JSON."""
    return b"".join(f"event: {json.loads(event)['type']}\ndata: {event}\n\n".encode() for event in events)


def chosen(upstream: Upstream, model: str = "small") -> str:
    return (
        f'{{"type":"provider","provider":{{"name":"Upstream","url":"{upstream.url}",'
        f'"label":"The upstream","model":"{model}"}}}}'
    )


def used(prompt: int, completion: int, more: str = "") -> str:
    return (
        f'{{"type":"usage","usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},'
        f'"total_tokens":{prompt + completion}{more}}},"model":"small","provider":"Upstream"}}'
    )


CACHED = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 4},
}
STOPPED = '{"type":"finish","finish":{"reason":"stop"}}'
HELLO = '{"type":"content","content":"Hello"}'

GOLDEN: dict[str, tuple[tuple[Step, ...], tuple[str, ...]]] = {
    "plain": (
        (
            Say("Hello"),
            Say(" from"),
            Finish(),
            Data({"choices": [], "model": "small", "usage": CACHED}),
            Done(),
        ),
        (
            HELLO,
            '{"type":"content","content":" from"}',
            STOPPED,
            used(11, 5, ',"prompt_tokens_details":{"cached_tokens":4}'),
        ),
    ),
    "reasoning, then the answer": (
        (Reason("Let me "), Reason("think."), Say("Hello"), Finish(), Usage(), Done()),
        (
            '{"type":"reasoning","token":"Let me "}',
            '{"type":"reasoning","token":"think."}',
            '{"type":"reasoning","token":null,"status":""}',
            HELLO,
            STOPPED,
            used(2, 3),
        ),
    ),
    "reasoning under its other name": (
        (Reason("Hm.", "reasoning"), Finish(), Usage(), Done()),
        (
            '{"type":"reasoning","token":"Hm."}',
            '{"type":"reasoning","token":null,"status":""}',
            STOPPED,
            used(2, 1),
        ),
    ),
    "tools": (
        (
            ToolCall("get_weather", "", "call_1"),
            ToolCall(arguments='{"city"'),
            ToolCall(arguments=':"Rome"}'),
            Finish("tool_calls"),
            Usage(),
            Done(),
        ),
        (
            '{"type":"tool_calls","tool_calls":[{"index":0,"id":"call_1","type":"function",'
            '"function":{"name":"get_weather","arguments":""}}]}',
            '{"type":"tool_calls","tool_calls":[{"index":0,"function":{"arguments":"{\\"city\\""}}]}',
            '{"type":"tool_calls","tool_calls":[{"index":0,"function":{"arguments":":\\"Rome\\"}"}}]}',
            '{"type":"finish","finish":{"reason":"tool_calls"}}',
            used(2, 3),
        ),
    ),
    "cut off by its length": (
        (Say("Hello"), Finish("length"), Usage(), Done()),
        (HELLO, '{"type":"finish","finish":{"reason":"length"}}', used(2, 1)),
    ),
    "usage is estimated where nobody counts": (
        (Say("Hello"), Finish(), Done()),
        (HELLO, STOPPED, used(7, 2, ',"estimated":true')),
    ),
    "a clean end without [DONE]": (
        (Say("Hello"), Finish(), Usage(), Close()),
        (HELLO, STOPPED, used(2, 1)),
    ),
    "an end without a finish": (
        (Say("Hello"), Close()),
        (HELLO, f'{{"type":"error","error":"ProviderError","message":"{BROKEN}"}}'),
    ),
    "the upstream fails": (
        (Status(500, failure("upstream exploded")),),
        (
            '{"type":"error","error":"ProviderError",'
            '"message":"The upstream answered 500: upstream exploded"}',
        ),
    ),
    "the upstream wants another key": (
        (Status(401, failure("Incorrect API key provided.")),),
        (
            '{"type":"auth","auth":"ProviderAuth",'
            '"message":"The upstream answered 401: Incorrect API key provided."}',
        ),
    ),
    "the upstream has had enough": (
        (Status(429, failure("Slow down."), {"Retry-After": "7"}),),
        (
            '{"type":"error","error":"RateLimited","message":"The upstream answered 429: Slow down.",'
            '"retry_after":7.0}',
        ),
    ),
    "a page instead of an answer": (
        (Html(),),
        (
            '{"type":"error","error":"ProviderError",'
            '"message":"The upstream answered with a web page, not with a stream. Check its url."}',
        ),
    ),
    "an error in the midst of the answer": (
        (Say("Hello"), ErrorChunk("The model stumbled."), Finish(), Usage(), Done()),
        (
            HELLO,
            '{"type":"error","error":"ProviderError","message":"The upstream answered: The model stumbled."}',
        ),
    ),
    "the connection ends": (
        (Say("Hello"), Cut()),
        (HELLO, f'{{"type":"error","error":"ProviderError","message":"{BROKEN}"}}'),
    ),
    "the connection is reset before the answer": (
        (Reset(),),
        (f'{{"type":"error","error":"ProviderError","message":"{BROKEN}"}}',),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
async def test_the_stream_is_the_contracts(name: str, service: Service, upstream: Upstream) -> None:
    script, answer = GOLDEN[name]
    upstream.script(*script)
    async with service.asking("Hello there") as response:
        assert response.status == 200
        assert unnumbered(await response.read()) == frames(chosen(upstream), *answer)


async def test_what_was_said_before_the_connection_was_lost_arrives(
    service: Service, upstream: Upstream
) -> None:
    said = asyncio.Event()
    upstream.script(Say("Hello"), Gate(said), Reset())
    async with service.asking() as response:
        begun = await response.content.readuntil(b'"Hello"}\n\n')
        said.set()
        rest = events(await response.content.read())
    assert kinds(events(begun)) == ["turn", "provider", "content"]
    assert rest == [{"type": "error", "error": "ProviderError", "message": BROKEN}]


async def test_each_event_is_sent_when_it_happens(service: Service, upstream: Upstream) -> None:
    heard = asyncio.Event()
    upstream.script(Say("Hel"), Gate(heard), Say("lo"), Finish(), Usage(), Done())
    async with service.asking() as response:
        await response.content.readuntil(b'"Hel"}\n\n')
        heard.set()
        assert kinds(events(await response.content.read())) == ["content", "finish", "usage"]


async def test_a_model_that_names_itself_is_told(service: Service, upstream: Upstream) -> None:
    upstream.script(
        Data({"model": "small-2026", "choices": [{"delta": {"content": "Hi"}}]}), Finish(), Usage(), Done()
    )
    first, second, *rest = await service.ask()
    assert [event["provider"]["model"] for event in (first, second)] == ["small", "small-2026"]
    assert kinds(rest) == ["content", "finish", "usage"]
    assert rest[-1]["model"] == "small-2026"


async def test_the_streams_headers(service: Service) -> None:
    async with service.asking() as response:
        headers = response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["X-Turn-Id"]
        assert "Set-Cookie" not in headers


async def test_silence_is_broken_by_comments(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Gate(over := asyncio.Event()), Finish(), Usage(), Done())
    row = ROW.format(url=upstream.url)
    async with (
        serving(tmp_path, row, CAUSERIE_STREAM_HEARTBEAT="0.05") as service,
        service.asking() as answer,
    ):
        await answer.content.readuntil(b": ping\n\n: ping\n\n")
        over.set()
        assert kinds(events(await answer.content.read())) == ["finish", "usage"]


def lines(stream: bytes) -> list[Any]:
    """The events of JSON lines; a line that is none fails."""
    return [json.loads(line) for line in stream.splitlines()]


@pytest.mark.parametrize(
    ("setting", "headers", "as_lines"),
    [
        ("auto", {}, False),
        ("auto", {"x-user": "anna"}, False),
        ("auto", {"x_user": "anna"}, True),
        ("auto", {"x_secret": ""}, True),
        ("auto", {"X_Api_Key": "1"}, True),
        ("auto", {"x_api_base": "1"}, True),
        ("auto", {"x_ignored": ""}, True),
        ("auto", {"Accept": "application/x-ndjson"}, True),
        ("auto", {"Accept": "text/event-stream"}, False),
        ("on", {}, True),
        ("off", {"x_user": "anna"}, False),
        ("off", {"Accept": "application/x-ndjson"}, True),
    ],
)
async def test_clients_of_before_get_json_lines(
    setting: str, headers: dict[str, str], as_lines: bool, tmp_path: Path, upstream: Upstream
) -> None:
    row = ROW.format(url=upstream.url)
    async with (
        serving(tmp_path, row, CAUSERIE_SERVER_LEGACY=setting) as service,
        service.asking(headers=headers) as response,
    ):
        stream = await response.read()
    answer = lines(stream) if as_lines else events(stream)
    assert kinds(answer) == ["turn", "provider", "content", "finish", "usage"]
    assert text(answer) == "Hello from the upstream."


async def test_signs_of_life_are_blanks_between_json_lines(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(
        tmp_path, ROW.format(url=upstream.url), CAUSERIE_STREAM_HEARTBEAT="0.02", CAUSERIE_SERVER_LEGACY="on"
    ) as service:
        upstream.script(Say("Hel"), Gate(over := asyncio.Event()), Say("lo"), Finish(), Usage(), Done())
        async with service.asking() as response:
            begun = await response.content.readuntil(b'"Hel"}\n')
            blanks = await response.content.readexactly(3)
            over.set()
            assert (blanks, text(lines(begun + blanks + await response.content.read()))) == (b"   ", "Hello")


async def test_a_client_that_leaves_is_noticed_upstream(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Gate(asyncio.Event()))
    async with service.asking() as response:
        await response.content.readuntil(b'"Hello"}\n\n')
    response.close()
    await until(lambda: upstream.aborted)
