"""Limits as clients meet them: who is refused and what he is told; and that every ending makes room again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from service.errors import BadRequest
from service.events import Content
from service.providers.provider import Append
from service.stores.keys import Budget, Grant, Limits
from tests.access import bearer
from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, kinds, serving, text
from tests.upstream import Done, Finish, Gate, Reset, Say, Silent, Stall, Status, Upstream, Usage, until

V2 = "/backend-api/v2"
CHAT, MESSAGES, EMBEDDINGS = "/v1/chat/completions", "/v1/messages", "/v1/embeddings"
HELLO = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, Json] = {
    CONVERSATION: {"messages": HELLO},
    CHAT: {"model": "small", "messages": HELLO, "stream": True},
    MESSAGES: {"model": "small", "messages": HELLO, "max_tokens": 100},
    EMBEDDINGS: {"model": "small", "input": "Hello"},
}
PRICED = ROW + 'prices = {{ "*" = {{ prompt = 0, completion = 1000 }} }}\n'
"""A thousandth of a dollar for each token of an answer."""


@pytest.fixture
async def single(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """One answer at a time."""
    row = ROW.format(url=upstream.url) + "first_token_timeout = 0.3\nidle_timeout = 0.3\n"
    async with serving(tmp_path, row, CAUSERIE_LIMITS_TURNS_AT_ONCE="1") as service:
        yield service


@pytest.fixture
async def thrice(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """Three questions a minute for each user."""
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_USER_LIMITS_REQUESTS_PER_MINUTE="3") as service:
        yield service


async def sent(service: Service, path: str = CONVERSATION, **options: Any) -> tuple[int, Any, Json]:
    """Status, headers, and the error of a refusal."""
    async with service.http.post(service.url + path, json=BODIES[path], **options) as answer:
        body = await answer.read()
        error = (await answer.json())["error"] if answer.status != 200 else {"body": body}
        return answer.status, answer.headers, error


# Fifty at once

FIVE: dict[str, dict[str, str]] = {
    "questions": {"CAUSERIE_LIMITS_REQUESTS_PER_MINUTE": "5"},
    "tokens": {"CAUSERIE_USER_LIMITS_TOKENS_PER_MINUTE": "5050"},  # each needs 1000 and the prompt
    "at once": {"CAUSERIE_LIMITS_TURNS_AT_ONCE": "5"},
    "a day": {"CAUSERIE_USER_LIMITS_BUDGET_DAY": "5.5"},  # each may cost a dollar
    "a month": {"CAUSERIE_LIMITS_BUDGET_MONTH": "5"},
}


@pytest.mark.parametrize("name", FIVE)
async def test_of_fifty_at_once_exactly_five_are_admitted(
    name: str, tmp_path: Path, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Gate(gate), Say("Hello."), Finish(), Done())
    async with serving(tmp_path, PRICED.format(url=upstream.url), **FIVE[name]) as service:
        asking = [asyncio.ensure_future(sent(service)) for _ in range(50)]  # noqa: TID251
        await until(lambda: sum(task.done() for task in asking) == 45)
        gate.set()
        statuses = [status for status, _, _ in await asyncio.gather(*asking)]
        assert (statuses.count(200), statuses.count(429)) == (5, 45)
        chats = [request for request in upstream.requests if request.path.endswith("/chat/completions")]
        assert len(chats) == 5, "who is refused costs nothing"
        async with service.http.get(f"{service.url}/metrics") as answer:
            rejected = [
                line for line in (await answer.text()).splitlines() if "ratelimit_rejections_total{" in line
            ]
        assert len(rejected) == 1 and rejected[0].endswith(" 45.0")


# Every ending makes room

End = Callable[[Service, Upstream, pytest.MonkeyPatch], Awaitable[object]]


async def done(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    assert text(await service.ask())


async def stopped(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    upstream.enqueue([Say("Hel"), Stall()])
    async with service.asking() as answer:
        await answer.content.readuntil(b'"Hel"}\n\n')
        assert (await sent(service))[0] == 429
        await service.post(f"{V2}/turns/{answer.headers['X-Turn-Id']}/stop", {})


async def abandoned(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    upstream.enqueue([Say("Hel"), Stall()])
    async with service.asking() as answer:
        await answer.content.readuntil(b'"Hel"}\n\n')
    await until(lambda: not any(turn.readers for turn in service.context.turns.running(None)))


async def failed_at_once(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    upstream.enqueue([Status(400)])
    assert kinds(await service.ask())[-1] == "error"


async def failed_later(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    upstream.enqueue([Say("Hel"), Reset()])
    assert kinds(await service.ask())[-1] == "error"


async def silent(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    upstream.enqueue([Silent()])
    assert kinds(await service.ask())[-1] == "error"


async def embedded(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    upstream.script_at(EMBEDDINGS, Status(500))
    assert (await sent(service, EMBEDDINGS))[0] == 502
    upstream.script_at(EMBEDDINGS)
    assert (await sent(service, EMBEDDINGS))[0] == 200


async def refused_for_its_model(service: Service, upstream: Upstream, _: pytest.MonkeyPatch) -> None:
    status, _body = await service.post(CONVERSATION, {"messages": HELLO, "model": "none"})
    assert status == 404


async def refused_by_the_provider(service: Service, _: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(ask: object) -> None:
        raise BadRequest("No.")

    with monkeypatch.context() as patch:
        patch.setattr(service.context.registry["Upstream"], "check", check)
        assert (await sent(service))[0] == 400


async def not_recorded(service: Service, _: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(record: object) -> None:
        raise OSError("The disk has gone.")

    with monkeypatch.context() as patch:
        patch.setattr(service.context.ledger, "open", opened)
        assert (await sent(service))[0] == 500


async def left_while_it_was_admitted(service: Service, _: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, left = asyncio.Event(), asyncio.Event()

    async def check(ask: object) -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    with monkeypatch.context() as patch:
        patch.setattr(service.context.registry["Upstream"], "check", check)
        asking = asyncio.ensure_future(sent(service))  # noqa: TID251
        await waiting.wait()
        asking.cancel()
        await left.wait()


ENDS: list[End] = [
    done,
    stopped,
    abandoned,
    failed_at_once,
    failed_later,
    silent,
    embedded,
    refused_for_its_model,
    refused_by_the_provider,
    not_recorded,
    left_while_it_was_admitted,
]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_the_next_is_admitted_at_once(
    end: End, single: Service, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end(single, upstream, monkeypatch)
    assert text(await single.ask()) == "Hello from the upstream."


async def test_a_provider_that_is_slow_to_stop_is_not_waited_for(
    single: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def pump(ask: object, append: Append) -> None:
        append([Content("Hel")])
        try:
            await asyncio.Event().wait()
        finally:
            await closed.wait()

    try:
        with monkeypatch.context() as patch:
            patch.setattr(single.context.registry["Upstream"], "pump", pump)
            async with single.asking() as answer:
                await answer.content.readuntil(b'"Hel"}\n\n')
        await until(lambda: not any(turn.readers for turn in single.context.turns.running(None)))
        assert text(await single.ask()) == "Hello from the upstream."
    finally:
        closed.set()


NOTHING_USED: list[End] = [
    refused_for_its_model,
    refused_by_the_provider,
    not_recorded,
    left_while_it_was_admitted,
]


@pytest.mark.parametrize("end", NOTHING_USED, ids=lambda end: end.__name__)
async def test_what_never_began_does_not_count(
    end: End, thrice: Service, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end(thrice, upstream, monkeypatch)
    assert (await sent(thrice))[1]["x-ratelimit-remaining-requests"] == "2"


async def test_the_same_request_again_counts_once(thrice: Service) -> None:
    again = {"Idempotency-Key": "the-same"}
    bodies = [(await sent(thrice, headers=again))[2]["body"] for _ in range(5)]
    assert len(set(bodies)) == 1
    assert (await sent(thrice))[1]["x-ratelimit-remaining-requests"] == "1"


# What clients are told


@pytest.mark.parametrize("path", BODIES)
async def test_every_answer_says_what_is_left_and_the_refusal_when_to_come_back(
    path: str, thrice: Service
) -> None:
    told = [await sent(thrice, path) for _ in range(4)]
    assert [status for status, _, _ in told] == [200, 200, 200, 429]
    assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in told] == ["2", "1", "0", "0"]
    _, headers, error = told[-1]
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-reset-requests"] in {"1m0s", *(f"{seconds}s" for seconds in range(50, 60))}
    assert 50 <= int(headers["Retry-After"]) <= 60
    assert error["type"] == "rate_limit_error"
    assert path == MESSAGES or error["code"] == "rate_limit_exceeded"
    assert (await sent(thrice, path, headers={"x-user": "bob"}))[0] == 200, "another user has his own"


async def test_without_limits_nothing_is_said_of_any(service: Service) -> None:
    _, headers, _ = await sent(service)
    assert not [name for name in headers if name.lower().startswith("x-ratelimit")]


async def test_tokens_are_reserved_and_then_corrected(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_USER_LIMITS_TOKENS_PER_MINUTE="2000") as service:
        async with service.asking(max_tokens=100) as answer:
            reserved = 2000 - int(answer.headers["x-ratelimit-remaining-tokens"])
            assert 100 < reserved < 120, "the prompt, and max_tokens"
            await answer.read()
        _, headers, _ = await sent(service, EMBEDDINGS)
        used = sum(map(sum, upstream.bill))
        assert int(headers["x-ratelimit-remaining-tokens"]) == 2000 - used


async def test_a_provider_that_fails_costs_a_question_and_no_tokens(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.enqueue([Status(400)])
    limits = {"CAUSERIE_LIMITS_REQUESTS_PER_MINUTE": "9", "CAUSERIE_LIMITS_TOKENS_PER_MINUTE": "2000"}
    async with serving(tmp_path, ROW.format(url=upstream.url), **limits) as service:
        assert kinds(await service.ask())[-1] == "error"
        record_headers = (await sent(service, EMBEDDINGS))[1]
        assert record_headers["x-ratelimit-remaining-requests"] == "7"
        assert int(record_headers["x-ratelimit-remaining-tokens"]) > 1950


# Budgets


async def test_a_budget_is_not_in_the_way_of_who_pays_by_himself(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hello."), Finish(), Done())
    allowed = {"CAUSERIE_USER_LIMITS_BUDGET_DAY": "0.5", "CAUSERIE_CLIENTS_KEYS": "true"}
    async with serving(tmp_path, PRICED.format(url=upstream.url), **allowed) as service:
        status, _, error = await sent(service)  # it may cost a dollar
        assert (status, error["code"]) == (429, "insufficient_quota")
        for key, answered in (("sk-theirs", True), ("", False)):
            async with service.asking(provider="Upstream", api_key=key) as answer:
                assert (answer.status == 200) is answered


async def test_a_budget_that_is_spent_stays_spent_after_a_restart(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Hello."), Finish(), Usage(), Done())
    row, limits = PRICED.format(url=upstream.url), {"CAUSERIE_USER_LIMITS_BUDGET_DAY": "0.0015"}
    body = {"messages": HELLO, "max_tokens": 1}
    async with serving(tmp_path, row, **limits) as service:
        assert (await service.post(CONVERSATION, {"messages": HELLO}))[0] == 429, "it may cost a dollar"
        assert kinds(await service.ask(max_tokens=1))[-1] == "usage"
    async with serving(tmp_path, row, **limits) as service:
        status, answer = await service.post(CONVERSATION, body)
        assert status == 429
        assert (answer["error"]["type"], answer["error"]["code"]) == ("insufficient_quota",) * 2
        assert "$0.0015 a day; $0.001 of it" in answer["error"]["message"]
        assert (await sent(service, MESSAGES))[2]["type"] == "rate_limit_error"
        assert (await service.get(f"{V2}/quota/AnyProvider"))["credits"] == {
            "remaining": pytest.approx(0.0005),
            "total": 0.0015,
        }
        assert (await service.get(f"{V2}/quota/AnyProvider", headers={"x-user": "bob"}))["credits"] == {
            "remaining": 0.0015,
            "total": 0.0015,
        }


async def test_the_sdk_reads_the_refusal(tmp_path: Path, upstream: Upstream) -> None:
    row = PRICED.format(url=upstream.url)
    async with (
        serving(tmp_path, row, CAUSERIE_LIMITS_BUDGET_MONTH="0.5") as service,
        openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model="small", messages=[{"role": "user", "content": "Hi"}])
        assert (refused.value.code, refused.value.type) == ("insufficient_quota",) * 2


# Keys


async def test_each_key_has_limits_of_its_own(service: Service) -> None:
    keys = service.context.keys
    grant = Grant(limits=Limits(requests_per_minute=1), budget=Budget(month=2.0))
    _, small = await keys.create("ada", "user", grant=grant)
    _, other = await keys.create("ada", "user", grant=grant)
    _, free = await keys.create("ada", "user")
    for text_of_key in (small, other):
        statuses = [(await sent(service, headers=bearer(text_of_key)))[0] for _ in range(2)]
        assert statuses == [200, 429]
        quota = await service.get(f"{V2}/quota/AnyProvider", headers=bearer(text_of_key))
        assert quota == {
            "credits": {"remaining": 2.0, "total": 2.0},
            "session_usage": {"used_percent": 100.0},
        }
    statuses = [(await sent(service, headers=bearer(free)))[0] for _ in range(3)]
    assert statuses == [200, 200, 200]
    assert await service.get(f"{V2}/quota/AnyProvider", headers=bearer(free)) == {}
