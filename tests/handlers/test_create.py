"""GET create: one prompt, one text."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from service.stores.schema import records
from tests.conftest import ROW
from tests.serving import Service, serving
from tests.upstream import (
    Cut,
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Reason,
    Say,
    Silent,
    Stall,
    Status,
    Step,
    Upstream,
    Usage,
    until,
)

Query = dict[str, Any]

CREATE = "/backend-api/v2/create"
HELLO = "Hello from the upstream."
BLOCKS = "Here:\n```python\n1\n```\nand\n```json\n{}\n```\n"


def creating(service: Service, headers: Any = None, **query: Any) -> Any:
    """The open response, as a context manager."""
    query.setdefault("prompt", "Hello")
    return service.http.get(service.url + CREATE, params=query, headers=headers, allow_redirects=False)


async def created(service: Service, headers: Any = None, **query: Any) -> str:
    """The text of a 200."""
    async with creating(service, headers, **query) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        return str(await answer.text())


async def refused(service: Service, **query: Any) -> tuple[int, Any]:
    """Status and error of what is not answered."""
    async with creating(service, **query) as answer:
        assert answer.content_type == "application/json"
        return answer.status, (await answer.json())["error"]


@pytest.fixture(params=[{}, {"stream": "1"}], ids=["whole", "streamed"])
def form(request: pytest.FixtureRequest) -> Query:
    """How the answer is sent."""
    assert isinstance(request.param, dict)
    return request.param


# What is answered


async def test_the_answer_is_its_text(form: Query, service: Service, upstream: Upstream) -> None:
    assert await created(service, prompt="Ein größeres Gedicht", **form) == HELLO
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": "Ein größeres Gedicht"}]


async def test_thoughts_are_not_in_it(form: Query, service: Service, upstream: Upstream) -> None:
    upstream.script(Reason("Let me think."), Say("42 "), Say("🦊"), Finish(), Done())
    assert await created(service, **form) == "42 🦊"


@pytest.mark.parametrize(("reason", "text"), [("stop", "One"), ("length", "One[length]")])
async def test_why_it_ended_early_is_its_last_word(
    reason: str, text: str, form: Query, service: Service, upstream: Upstream
) -> None:
    upstream.script(Say("One"), Finish(reason), Usage(), Done())
    assert await created(service, **form) == text


@pytest.mark.parametrize("stream", ["1", "true", "yes"])
async def test_a_stream_comes_as_it_is_said(stream: str, service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("One "), Gate(gate), Say("two"), Finish(), Done())
    async with creating(service, stream=stream) as answer:
        assert await answer.content.readany() == b"One "
        gate.set()
        assert await answer.content.read() == b"two"


@pytest.mark.parametrize("stream", ["0", "false", ""])
async def test_without_a_stream_it_comes_as_a_whole(stream: str, service: Service) -> None:
    async with creating(service, stream=stream) as answer:
        assert answer.headers["Content-Length"] == str(len(HELLO))
        assert await answer.text() == HELLO


async def test_it_is_a_turn_like_any_other(form: Query, service: Service) -> None:
    await created(service, {"x-user": "anna"}, **form)
    (record,) = await service.records()
    assert record.items() >= {"user": "anna", "provider": "Upstream", "model": "small"}.items()
    assert record["completion_tokens"] == 4


# Blocks


@pytest.mark.parametrize("parameter", ["json", "filter_markdown"])
async def test_only_the_first_block_is_left(parameter: str, service: Service, upstream: Upstream) -> None:
    upstream.script(Say(BLOCKS), Done())
    for wish, text in (("true", "1"), ("1", "1"), ("json", "{}"), ("JSON", "{}"), ("python", "1"), ("c", "")):
        assert await created(service, **{parameter: wish}) == text
        assert await created(service, **{parameter: wish, "stream": "1"}) == text
    assert await created(service, **{parameter: "false"}) == BLOCKS


async def test_where_there_is_no_block_the_text_is_left(service: Service) -> None:
    assert await created(service, json="true") == HELLO
    assert await created(service, json="json") == ""


# Who answers


async def test_a_provider_and_a_model_may_be_named(service: Service, upstream: Upstream) -> None:
    assert await created(service, provider="Upstream", model="large") == HELLO
    assert upstream.requests[-1].body["model"] == "large"


async def test_of_several_providers_one_that_can_answers(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream() as other:
        other.script(Say("The other."), Done())
        rows = [("Away", "http://127.0.0.1:9/v1"), ("Upstream", upstream.url), ("Other", other.url)]
        text = "".join(ROW.format(url=url).replace('"Upstream"', f'"{name}"') for name, url in rows)
        async with serving(tmp_path, text.replace("The upstream", "Far away", 1)) as service:
            assert await created(service, provider="AnyProvider") == HELLO
            assert await created(service, provider="Other Away") == "The other."
            assert await created(service, provider="Away Upstream", model="large") == HELLO
            other.script(Status(500))
            assert await created(service, provider="Other Upstream") == HELLO
            found, error = await refused(service, provider="Far away")
            assert (found, "cannot be reached" in error["message"]) == (502, True)


@pytest.mark.parametrize(
    ("query", "status", "code", "param"),
    [
        ({"prompt": ""}, 400, "invalid_request", "prompt"),
        ({"prompt": " "}, 400, "invalid_request", "prompt"),
        ({"provider": "NoSuch"}, 404, "provider_not_found", "provider"),
        ({"provider": "Upstream NoSuch"}, 404, "provider_not_found", "provider"),
        ({"model": "huge"}, 404, "model_not_found", "model"),
        ({"audio": "true"}, 501, "unsupported", "audio"),
        ({"audio_provider": "Gemini"}, 501, "unsupported", "audio"),
    ],
    ids=str,
)
async def test_what_cannot_be_answered_says_why(
    query: Query, status: int, code: str, param: str, service: Service, upstream: Upstream
) -> None:
    found, error = await refused(service, **query)
    assert (found, error["code"], error["param"]) == (status, code, param)
    assert upstream.bill == []


async def test_the_head_alone_costs_nothing(service: Service, upstream: Upstream) -> None:
    async with service.http.head(service.url + CREATE, params={"prompt": "Hello"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
    await asyncio.sleep(0.05)
    assert upstream.bill == [] and await service.records() == []


# What fails

EARLY: dict[str, tuple[list[Step], int, str]] = {
    "a refused key": ([Status(401)], 502, "provider_auth"),
    "too much": ([Status(429, headers={"Retry-After": "70"})], 429, "rate_limit_exceeded"),
    "an error": ([Status(500)], 502, "upstream_error"),
    "an error within the stream": ([ErrorChunk("Overloaded.")], 502, "upstream_error"),
    "a connection that is cut": ([Cut()], 502, "upstream_error"),
}


@pytest.mark.parametrize("name", EARLY)
async def test_what_fails_before_the_first_word_has_a_status(
    name: str, form: Query, service: Service, upstream: Upstream
) -> None:
    script, status, code = EARLY[name]
    upstream.script(*script)
    found, error = await refused(service, provider="Upstream", **form)
    assert (found, error["code"]) == (status, code)


LATE: dict[str, list[Step]] = {
    "an error within the stream": [Say("One "), ErrorChunk("Overloaded.")],
    "a connection that is cut": [Say("One "), Cut()],
}


@pytest.mark.parametrize("name", LATE)
async def test_what_fails_later_cuts_the_connection(name: str, service: Service, upstream: Upstream) -> None:
    upstream.script(*LATE[name])
    async with creating(service, provider="Upstream", stream="1") as answer:
        assert answer.status == 200
        assert await answer.content.readany() == b"One "
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    found, error = await refused(service, provider="Upstream")
    assert (found, error["code"]) == (502, "upstream_error")


async def test_the_first_word_is_not_waited_for_for_ever(tmp_path: Path, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Gate(gate), ErrorChunk("Overloaded."))
    async with (
        serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_STREAM_FIRST_EVENT_TIMEOUT="0.1") as service,
        creating(service, stream="1") as answer,
    ):
        assert answer.status == 200
        gate.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_service_that_ends_cuts_the_connection(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("One "), Silent())
    async with (
        serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_SERVER_SHUTDOWN_TIMEOUT="0.1") as service,
        creating(service, stream="1") as answer,
    ):
        assert await answer.content.readany() == b"One "
        await service.context.turns.close(0)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize("script", [[Stall()], [Say("One "), Silent()]], ids=["before", "after"])
async def test_whoever_leaves_ends_it(
    script: list[Step], form: Query, service: Service, upstream: Upstream
) -> None:
    upstream.script(*script)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), creating(service, **form) as answer:
            await answer.read()
    await until(lambda: upstream.aborted)
    await until(lambda: not service.context.turns.running(None))
    (row,) = await service.context.database.read(select(records.c.ending))
    assert row["ending"] == "abandoned"


# Once more


async def test_the_same_wish_gets_the_same_answer(service: Service, upstream: Upstream) -> None:
    for query in ({}, {"stream": "1"}, {"json": "true"}, {}):
        assert await created(service, cache="today", **query) == HELLO
    assert len(upstream.bill) == len(await service.records()) == 1


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"x-user": "ben"}, {"cache": "today"}),
        ({}, {"cache": "tomorrow"}),
        ({}, {"cache": "today", "prompt": "Bye"}),
        ({}, {"cache": "today", "model": "large"}),
        ({}, {"cache": "today", "provider": "Upstream"}),
        ({}, {"cache": "today", "web_search": "news"}),
        ({}, {"cache": ""}),
        ({}, {}),
    ],
    ids=str,
)
async def test_another_wish_is_asked_anew(
    headers: dict[str, str], query: Query, service: Service, upstream: Upstream
) -> None:
    await created(service, cache="today")
    await created(service, headers, **query)
    assert len(upstream.bill) == 2


async def test_who_comes_while_it_is_answered_hears_the_same(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("One "), Gate(gate), Say("two"), Done())
    async with creating(service, cache="today", stream="1") as answer, asyncio.TaskGroup() as group:
        assert await answer.content.readany() == b"One "
        second = group.create_task(created(service, cache="today"))
        await until(lambda: [turn.readers for turn in service.context.turns.running(None)] == [2])
        gate.set()
    assert second.result() == "One two"
    assert len(upstream.bill) == 1


@pytest.mark.parametrize(
    "script", [[Status(500)], [Say("One "), Cut()], [Silent()]], ids=["at once", "later", "left"]
)
async def test_what_failed_is_asked_again(script: list[Step], service: Service, upstream: Upstream) -> None:
    upstream.enqueue(script)
    with pytest.raises((TimeoutError, AssertionError)):
        async with asyncio.timeout(0.3):
            await created(service, provider="Upstream", cache="today")
    await until(lambda: not service.context.turns.running(None))
    for _ in range(2):
        assert await created(service, provider="Upstream", cache="today") == HELLO
    assert len(upstream.bill) == 2


async def test_answers_that_are_kept_outlive_the_process(tmp_path: Path, upstream: Upstream) -> None:
    for _ in range(2):
        async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
            assert await created(service, cache="today") == HELLO
    assert len(upstream.bill) == 1


# Pictures

ELSEWHERE = "https://pictures.example/a.png"
INLINE = "data:image/png;base64,aGVsbG8="


@pytest.fixture
async def studio(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """The service with an upstream whose first model makes pictures."""
    async with serving(tmp_path, ROW.format(url=upstream.url) + 'image_models = ["small"]\n') as service:
        yield service


def paint(upstream: Upstream, *urls: str) -> None:
    made = [{"url": url} for url in urls]
    upstream.script_at("/v1/images/generations", Status(200, {"data": made}))


async def test_to_a_picture_elsewhere_the_client_is_sent(studio: Service, upstream: Upstream) -> None:
    paint(upstream, ELSEWHERE)
    async with creating(studio, prompt="A red fox") as answer:
        assert (answer.status, answer.headers["Location"]) == (302, ELSEWHERE)
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_picture_in_the_answer_is_a_text(studio: Service, upstream: Upstream) -> None:
    paint(upstream, INLINE)
    assert await created(studio) == INLINE


async def test_several_pictures_are_a_list(form: Query, studio: Service, upstream: Upstream) -> None:
    paint(upstream, ELSEWHERE, INLINE)
    assert await created(studio, **form) == f"{ELSEWHERE}\n{INLINE}\n"


async def test_an_address_in_a_text_leads_nowhere(service: Service, upstream: Upstream) -> None:
    upstream.script(Say(ELSEWHERE), Done())
    assert await created(service) == ELSEWHERE
