"""Who breaks off is gone on from by the next, where that was asked for: one text, a seam, both legs."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.process import address, started
from tests.serving import CONVERSATION, Service, kinds, serving, text
from tests.several import alias, chats, providers, routing, row, settled, switches
from tests.turns.clients import followed
from tests.upstream import (
    Cut,
    Done,
    ErrorChunk,
    Finish,
    Reason,
    Reset,
    Say,
    Stall,
    Status,
    Step,
    ToolCall,
    Upstream,
    Usage,
)


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream() as second:
        second.script(Say("lo, "), Say("you."), Finish(), Usage(), Done())
        yield second


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, second: Upstream) -> AsyncIterator[Service]:
    rows = routing() + row("First", upstream, deadline=0.3) + row("Second", second)
    mended = alias("mended", "First/small", "Second/large", more="continuation = true")
    async with serving(tmp_path, rows + mended + alias("plain", "First/small", "Second/large")) as service:
        yield service


BROKEN: dict[str, tuple[list[Step], str]] = {
    "a cut": ([Cut()], "ProviderError"),
    "a reset": ([Reset()], "ProviderError"),
    "an error in the stream": ([ErrorChunk("Out of memory.")], "ProviderError"),
    "silence": ([Stall()], "ProviderTimeout"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_the_next_goes_on(service: Service, upstream: Upstream, second: Upstream, name: str) -> None:
    script, error = BROKEN[name]
    upstream.script(Say("He"), Say("l"), *script)
    answer = await service.ask("Greet me.", model="small", continuation=True)
    assert kinds(answer) == ["provider", "content", "switch", "provider", "content", "finish", "usage"]
    assert text(answer) == "Hello, you."
    assert switches(answer) == [("First", error, True)]
    assert providers(answer) == ["First", "Second"]
    assert chats(second)[0].body["messages"] == [
        {"role": "user", "content": "Greet me."},
        {"role": "assistant", "content": "Hel"},
    ]
    (record,) = await settled(service)
    assert (record["ending"], record["error"], record["attempts"]) == ("done", None, 2)
    first, other = record["legs"]
    assert (first["provider"], first["error"], first["usage_source"]) == ("First", error, "estimate")
    assert (first["prompt_tokens"], first["completion_tokens"]) == (7, 1)
    assert [other["prompt_tokens"], other["completion_tokens"]] == list(second.bill[0])
    assert record["prompt_tokens"] == 7 + second.bill[0][0]
    assert answer[-1]["usage"] == {
        "prompt_tokens": 7 + second.bill[0][0],
        "completion_tokens": 1 + second.bill[0][1],
        "total_tokens": 8 + sum(second.bill[0]),
        "estimated": True,
    }


async def test_an_estimate_of_the_next_counts_what_it_was_handed(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Say("x" * 400), Cut())
    second.script(Say("y"), Finish(), Done())
    await service.ask("Greet me.", model="small", continuation=True)
    (record,) = await settled(service)
    assert [leg["prompt_tokens"] for leg in record["legs"]] == [7, 107]


async def test_an_alias_may_say_so_for_all(service: Service, upstream: Upstream, second: Upstream) -> None:
    upstream.script(Say("Hel"), Cut())
    assert text(await service.ask(model="mended")) == "Hello, you."
    assert chats(second)[0].body["model"] == "large"
    assert kinds(await service.ask(model="plain")) == ["provider", "content", "error"]
    assert text(await service.ask(model="plain", continuation=True)) == "Hello, you."


async def test_several_may_break_off_one_after_another(
    tmp_path: Path, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Say("Hel"), Cut())
    second.script(Say("lo, "), Reset())
    async with Upstream() as third:
        third.script(Say("you."), Finish(), Usage(), Done())
        rows = row("First", upstream, deadline=0.3) + row("Second", second) + row("Third", third)
        async with serving(tmp_path, routing() + rows) as service:
            answer = await service.ask(model="small", continuation=True)
            assert text(answer) == "Hello, you."
            assert [seam for _, _, seam in switches(answer)] == [True, True]
            assert chats(third)[0].body["messages"][-1] == {"role": "assistant", "content": "Hello, "}
            (record,) = await settled(service)
            assert [leg["provider"] for leg in record["legs"]] == ["First", "Second", "Third"]


@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": {"type": "json_object"}},
        {"continuation": False},
        {"provider": "First"},
    ],
    ids=str,
)
async def test_what_cannot_be_gone_on_with_ends(
    service: Service, upstream: Upstream, second: Upstream, asked: dict[str, Any]
) -> None:
    upstream.script(Say("Hel"), Cut())
    answer = await service.ask(**{"model": "small", "continuation": True, **asked})
    assert (kinds(answer), text(answer)) == (["provider", "content", "error"], "Hel")
    assert not chats(second)


async def test_one_of_several_answers_is_not_gone_on_with(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Say("Hel"), Cut())
    body = {"model": "mended", "n": 2, "messages": [{"role": "user", "content": "Greet me."}]}
    status, _ = await service.post("/v1/chat/completions", body)
    assert status == 502
    assert not chats(second)


async def test_never_after_a_tool_call(service: Service, upstream: Upstream, second: Upstream) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    upstream.script(Say("Let me look."), ToolCall("look", '{"at"', "call_1"), Cut())
    answer = await service.ask(model="mended", continuation=True, tools=tools)
    assert kinds(answer) == ["provider", "content", "tool_calls", "error"]
    assert not chats(second)


async def test_thoughts_are_closed_and_not_handed_over(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Reason("Hm."), Cut())
    answer = await service.ask(model="small", continuation=True)
    assert text(answer) == "lo, you."
    closing = [event for event in answer if event["type"] == "reasoning"][-1]
    assert closing == {"type": "reasoning", "token": None, "status": ""}
    assert [message["role"] for message in chats(second)[0].body["messages"]] == ["user"]
    assert switches(answer) == [("First", "ProviderError", True)]


async def test_a_beginning_of_the_clients_own_is_gone_on_with(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Say("Hel"), Cut())
    begun = [{"role": "user", "content": "Greet me."}, {"role": "assistant", "content": "Well: "}]
    assert text(await service.ask(messages=begun, model="small", continuation=True)) == "Hello, you."
    assert chats(second)[0].body["messages"][1:] == [{"role": "assistant", "content": "Well: Hel"}]


async def test_nothing_more_to_say_is_an_end(service: Service, upstream: Upstream, second: Upstream) -> None:
    upstream.script(Say("All of it."), Cut())
    second.script(Finish(), Usage(9, 0), Done())
    answer = await service.ask(model="small", continuation=True)
    assert kinds(answer) == ["provider", "content", "switch", "provider", "finish", "usage"]
    assert text(answer) == "All of it."


async def test_where_nobody_goes_on_the_error_is_told(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Say("Hel"), Cut())
    second.script(Status(500))
    answer = await service.ask(model="small", continuation=True)
    assert kinds(answer) == ["provider", "content", "switch", "provider", "error"]
    (record,) = await settled(service)
    assert (record["ending"], record["completion_tokens"]) == ("failed", 1)
    assert [leg["error"] for leg in record["legs"]] == ["ProviderError", "ProviderError"]


async def test_the_seam_is_told_again(service: Service, upstream: Upstream, second: Upstream) -> None:
    upstream.script(Say("Hel"), Cut())
    async with service.asking(model="mended") as answer:
        stream, turn = await answer.read(), answer.headers["X-Turn-Id"]
    assert await followed(service.http, service.url, turn) == (200, stream)


@pytest.mark.slow
async def test_what_a_leg_used_is_not_lost_with_the_process(
    tmp_path: Path, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Say("Hel"), Usage(70, 3), ErrorChunk())
    second.script(Say("lo"), Stall())
    file = tmp_path / "operator.toml"
    file.write_text(row("First", upstream, deadline=0.3) + row("Second", second))
    variables = {"CAUSERIE_CONFIG": str(file), "CAUSERIE_SCRIPTED_ENABLED": "false"}
    async with started(tmp_path, **variables) as process, aiohttp.ClientSession() as http:
        body = {"prompt": "Greet me.", "model": "small", "continuation": True}
        async with http.post(await address(process) + CONVERSATION, json=body) as answer:
            await answer.content.readuntil(b'"lo"}\n\n')
            await asyncio.sleep(0.6)  # the journal is written four times a second
            process.kill()
            await process.wait()
    async with started(tmp_path, **variables) as process:
        await address(process)
    with closing(sqlite3.connect(tmp_path / "state" / "causerie.db")) as database:
        columns = "ending, attempts, prompt_tokens, completion_tokens, usage_source, legs"
        (record,) = database.execute(f"SELECT {columns} FROM records").fetchall()
    assert record[:5] == ("interrupted", 2, 78, 4, "estimate")
    first, other = json.loads(record[5])
    assert (first["prompt_tokens"], first["completion_tokens"], first["usage_source"]) == (70, 3, "provider")
    assert (other["provider"], other["completion_tokens"], other["usage_source"]) == ("Second", 1, "estimate")
