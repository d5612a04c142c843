"""What fails before its first word is answered by somebody else: one clean stream, one record of both."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving import Service, kinds, serving, text
from tests.several import chats, providers, routing, row, settled, switches
from tests.upstream import (
    Cut,
    Data,
    Done,
    ErrorChunk,
    Finish,
    Html,
    Raw,
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


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream() as second:
        yield second


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, second: Upstream) -> AsyncIterator[Service]:
    rows = row("First", upstream, deadline=0.3) + row("Second", second)
    async with serving(tmp_path, routing() + rows) as service:
        yield service


TOO_LONG = "This model's maximum context length is 8 tokens. However, you requested 9 tokens."
BEFORE: dict[str, tuple[list[Step], str]] = {
    "an error in the stream": ([ErrorChunk("Out of memory.")], "ProviderError"),
    "silence after the head": ([Stall()], "ProviderTimeout"),
    "silence": ([Silent()], "ProviderTimeout"),
    "pings only": ([Raw(b": ping\n\n"), Stall()], "ProviderTimeout"),
    "a reset": ([Reset()], "ProviderError"),
    "a reset after the head": ([Raw(b""), Reset()], "ProviderError"),
    "a cut": ([Raw(b""), Cut()], "ProviderError"),
    "an empty stream": ([Finish(), Usage(), Done()], "ProviderError"),
    "an end without anything": ([Done()], "ProviderError"),
    "a web page": ([Html()], "ProviderError"),
    "500": ([Status(500)], "ProviderError"),
    "503": ([Status(503)], "ProviderError"),
    "409": ([Status(409)], "ProviderError"),
    "425": ([Status(425)], "ProviderError"),
    "408": ([Status(408)], "ProviderTimeout"),
    "429": ([Status(429)], "RateLimited"),
    "429 with Retry-After": ([Status(429, headers={"Retry-After": "30"})], "RateLimited"),
    "a rejected key": ([Status(401)], "ProviderAuth"),
    "a model that is gone": ([Status(404, failure("No such model.", "model_not_found"))], "ModelNotFound"),
    "a short context": ([Status(400, failure(TOO_LONG, "context_length_exceeded"))], "ContextTooLong"),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_somebody_else_answers(
    service: Service, upstream: Upstream, second: Upstream, name: str
) -> None:
    script, error = BEFORE[name]
    upstream.script(*script)
    answer = await service.ask(model="small")
    assert kinds(answer) == ["provider", "switch", "provider", "content", "finish", "usage"]
    assert providers(answer) == ["First", "Second"]
    assert switches(answer) == [("First", error, False)]
    assert text(answer) == "Hello from the upstream."
    (record,) = await settled(service)
    assert (record["ending"], record["error"], record["attempts"]) == ("done", None, 2)
    assert (record["provider"], record["model"], record["provider_asked"]) == (
        "Second",
        "small",
        "AnyProvider",
    )
    first, other = record["legs"]
    assert (first["provider"], first["model"], first["error"]) == ("First", "small", error)
    assert (other["provider"], other["error"], other["usage_source"]) == ("Second", None, "provider")
    assert [other["prompt_tokens"], other["completion_tokens"]] == list(second.bill[0])
    assert record["prompt_tokens"] == first["prompt_tokens"] + other["prompt_tokens"]
    assert record["completion_tokens"] == first["completion_tokens"] + other["completion_tokens"]
    assert answer[-1]["usage"]["total_tokens"] == record["prompt_tokens"] + record["completion_tokens"]
    assert not answer[-1]["usage"].get("estimated")


async def test_a_refused_connection(tmp_path: Path, second: Upstream) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    gone = f'\n[[providers]]\nname = "Gone"\nurl = "http://127.0.0.1:{port}/v1"\nkey = "GONE_KEY"\n'
    async with serving(
        tmp_path, gone + 'models = ["small"]\n' + row("Second", second), GONE_KEY="k"
    ) as service:
        answer = await service.ask(model="small")
        assert switches(answer) == [("Gone", "ProviderError", False)]
        assert text(answer) == "Hello from the upstream."
        assert [leg["provider"] for leg in (await settled(service))[0]["legs"]] == ["Gone", "Second"]


async def test_what_a_failed_leg_used_is_counted_with_the_rest(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Usage(70, 0), ErrorChunk())
    second.script(Say("Yes."), Finish(), Usage(5, 2), Done())
    answer = await service.ask(model="small")
    assert answer[-1]["usage"] == {"prompt_tokens": 75, "completion_tokens": 2, "total_tokens": 77}
    (record,) = await settled(service)
    assert [(leg["prompt_tokens"], leg["completion_tokens"]) for leg in record["legs"]] == [(70, 0), (5, 2)]
    assert (record["prompt_tokens"], record["completion_tokens"]) == (75, 2)
    assert record["usage_source"] == "provider"


async def test_one_leg_that_nobody_counted_makes_an_estimate_of_all(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Usage(70, 0), ErrorChunk())
    second.script(Say("Yes!"), Finish(), Done())
    answer = await service.ask(model="small")
    assert answer[-1]["usage"]["estimated"]
    (record,) = await settled(service)
    assert [leg["usage_source"] for leg in record["legs"]] == ["provider", "estimate"]
    assert (record["completion_tokens"], record["usage_source"]) == (1, "estimate")


async def test_where_all_fail_the_last_error_is_told(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Status(500))
    second.script(Status(401))
    answer = await service.ask(model="small")
    assert kinds(answer) == ["provider", "switch", "provider", "auth"]
    (record,) = await settled(service)
    assert (record["ending"], record["error"], record["attempts"]) == ("failed", "ProviderAuth", 2)
    assert (record["prompt_tokens"], record["completion_tokens"]) == (0, 0)
    assert [leg["error"] for leg in record["legs"]] == ["ProviderError", "ProviderAuth"]


async def test_what_is_the_requests_own_fault_is_nobody_elses(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Status(400, failure("temperature is at most 2.")))
    answer = await service.ask(model="small", temperature=9)
    assert kinds(answer) == ["provider", "error"]
    assert answer[-1]["error"] == "BadRequest"
    assert not chats(second)


async def test_a_provider_that_is_named_answers_alone(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Status(500))
    assert kinds(await service.ask(model="small", provider="First")) == ["provider", "error"]
    assert (len(chats(upstream)), len(chats(second))) == (1, 0)
    (record,) = await settled(service)
    assert (record["attempts"], record["legs"], record["provider_asked"]) == (1, None, "First")


async def test_the_last_ones_empty_answer_stands(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Finish("content_filter"), Usage(4, 0), Done())
    second.script(Status(500))
    alone = await service.ask(model="small", provider="First")
    assert kinds(alone) == ["provider", "finish", "usage"]
    assert alone[1]["finish"] == {"reason": "content_filter"}
    second.script(Finish("length"), Usage(3, 0), Done())
    answer = await service.ask(model="small")
    assert kinds(answer) == ["provider", "switch", "provider", "finish", "usage"]
    assert answer[-2]["finish"] == {"reason": "length"}
    assert answer[-1]["usage"]["prompt_tokens"] == 7


async def test_a_refusal_is_an_answer(service: Service, upstream: Upstream, second: Upstream) -> None:
    delta = {"refusal": "I would rather not."}
    upstream.script(Data({"choices": [{"index": 0, "delta": delta}]}), Finish(), Usage(), Done())
    answer = await service.ask(model="small")
    assert kinds(answer) == ["provider", "extra", "finish", "usage"]
    assert answer[1]["extra"] == delta
    assert chats(second) == []


AFTER: dict[str, list[Step]] = {
    "words": [Say("Hel"), Cut()],
    "thoughts": [Reason("Hm."), Cut()],
    "a tool call": [ToolCall("look", "{}", "call_1"), Cut()],
}


@pytest.mark.parametrize("name", AFTER)
async def test_after_the_first_token_a_failure_is_told(
    service: Service, upstream: Upstream, second: Upstream, name: str
) -> None:
    upstream.script(*AFTER[name])
    answer = await service.ask(model="small")
    assert kinds(answer)[0] == "provider"
    assert kinds(answer)[-1] == "error"
    assert switches(answer) == []
    assert not chats(second)
    (record,) = await settled(service)
    assert (record["ending"], record["attempts"], record["legs"]) == ("failed", 1, None)
    assert record["completion_tokens"] > 0, "what was said is in the books, tool calls as well"


# Retry-After


def later(seconds: float) -> list[Step]:
    return [Status(429, headers={"Retry-After": str(seconds)})]


async def test_who_says_when_to_come_back_is_asked_again(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.enqueue(later(0.5))
    answer = await service.ask(model="small", provider="First")
    assert providers(answer) == ["First", "First"]
    assert text(answer) == "Hello from the upstream."
    first, again = chats(upstream)
    assert again.at - first.at >= 0.5
    (record,) = await settled(service)
    assert (record["attempts"], [leg["error"] for leg in record["legs"]]) == (2, ["RateLimited", None])


async def test_where_all_want_to_be_left_alone_the_first_to_come_back_is_waited_for(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(*later(60))
    second.enqueue(later(0.4))
    answer = await service.ask(model="small")
    assert providers(answer) == ["First", "Second", "Second"]
    assert switches(answer) == [("First", "RateLimited", False), ("Second", "RateLimited", False)]
    assert text(answer) == "Hello from the upstream."


async def test_nobody_waits_longer_than_the_operator_says(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(*later(60))
    second.script(*later(50))
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await service.ask(model="small")
    assert answer[-1]["type"] == "error"
    assert (answer[-1]["error"], answer[-1]["retry_after"]) == ("RateLimited", 50)
    answer = await service.ask(model="small")
    assert (kinds(answer), answer[-1]["error"]) == (["error"], "RateLimited")
    assert 45 < answer[-1]["retry_after"] <= 50
    assert loop.time() - began < 4, "it is plain from the beginning"
    assert (len(chats(upstream)), len(chats(second))) == (1, 1), "both were left alone"
    refused = (await settled(service, 2))[1]
    assert (refused["attempts"], refused["prompt_tokens"], refused["completion_tokens"]) == (0, 0, 0)
    await service.ask(model="small", provider="First")
    assert len(chats(upstream)) == 2, "who is named is asked nonetheless"


async def test_impatience_has_an_end(tmp_path: Path, upstream: Upstream, second: Upstream) -> None:
    upstream.script(*later(0))
    async with serving(tmp_path, routing(patience=1) + row("First", upstream, deadline=0.3)) as service:
        answer = await service.ask(model="small")
        assert answer[-1]["error"] == "RateLimited"
        assert len(chats(upstream)) == 3


async def test_who_rests_is_passed_over(service: Service, upstream: Upstream, second: Upstream) -> None:
    upstream.enqueue(later(1))
    assert providers(await service.ask(model="small")) == ["First", "Second"]
    assert providers(await service.ask(model="small")) == ["Second"]
    await asyncio.sleep(1)
    assert providers(await service.ask(model="small")) == ["First"]


# Leaving


async def test_a_reader_who_leaves_during_the_fallback(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Status(500))
    second.script(Silent())
    async with service.asking(model="small") as answer:
        await answer.content.readuntil(b'"Second"')
        await until(lambda: chats(second))
    await until(lambda: second.aborted, seconds=1)
    (record,) = await settled(service)
    assert (record["ending"], record["attempts"]) == ("abandoned", 2)
    assert [leg["error"] for leg in record["legs"]] == ["ProviderError", None]


@pytest.mark.parametrize("by", ["stop", "leaving"])
async def test_nobody_is_waited_for_in_vain(
    tmp_path: Path, upstream: Upstream, second: Upstream, by: str
) -> None:
    upstream.script(*later(30))
    second.script(*later(30))
    rows = routing(patience=600) + row("First", upstream, deadline=0.3) + row("Second", second)
    async with serving(tmp_path, rows) as service:
        async with asyncio.timeout(5), service.asking(model="small") as answer:
            await answer.content.readuntil(b'"switch":{"provider":"Second"')
            if by == "stop":
                turn = answer.headers["X-Turn-Id"]
                stopped = await service.post(f"/backend-api/v2/turns/{turn}/stop", {})
                assert stopped == (200, {"id": turn, "ending": "stopped"})
                await answer.read()
        (record,) = await settled(service)
        assert record["ending"] == ("stopped" if by == "stop" else "abandoned")
        assert (record["attempts"], record["prompt_tokens"], record["completion_tokens"]) == (2, 0, 0)
        assert (len(chats(upstream)), len(chats(second))) == (1, 1)


async def test_many_fall_back_at_the_same_time_and_nothing_is_left(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Stall())
    answers = await asyncio.gather(*(service.ask(model="small") for _ in range(50)))
    assert {text(answer) for answer in answers} == {"Hello from the upstream."}
    await until(lambda: len(upstream.aborted) == 50)
    await until(lambda: upstream.open <= 1)  # that of its models
    assert not service.context.turns.running(None)
    rows = await settled(service, 50)
    assert [(row["ending"], row["attempts"]) for row in rows] == [("done", 2)] * 50


# A provider that takes connections and never answers


async def test_a_black_hole_slows_nobody_down(tmp_path: Path, upstream: Upstream, second: Upstream) -> None:
    async with Upstream() as hole:
        hole.script(Silent())
        hole.script_models(Silent())
        away = (
            f'\n[[providers]]\nname = "Hole"\nurl = "{hole.url}"\nkey = "HOLE_KEY"\nfirst_token_timeout = 5\n'
        )
        rows = away + 'models = ["small"]\n' + row("First", upstream, deadline=0.3) + row("Second", second)
        async with serving(tmp_path, routing(failures=1) + rows, HOLE_KEY="k") as service:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(service.ask(model="small")) for _ in range(20)]
                await until(lambda: len(chats(hole)) == 20)
                assert await _seconds(service) < 1, "others wait five seconds"
                for name in ("First", "Second"):
                    assert providers(await service.ask(model="small", provider=name)) == [name]
                assert not any(task.done() for task in asked)
            for task in asked:
                assert switches(task.result()) == [("Hole", "ProviderTimeout", False)]
            assert providers(await service.ask(model="small")) == ["First"], "it is passed over now"
            assert len(chats(hole)) == 20


async def _seconds(service: Service) -> float:
    """How long all that says what there is takes together."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for path in ("models", "providers", "models/AnyProvider", "models/Hole", "status", "health/Hole"):
        await service.get(f"/backend-api/v2/{path}")
    return loop.time() - began
