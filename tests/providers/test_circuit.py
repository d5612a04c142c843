"""Who fails again and again is left out, tried by one question, and comes back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.serving import Service, kinds, serving, text
from tests.several import chats, offers, providers, routing, row
from tests.upstream import Cut, Done, Finish, Gate, Say, Silent, Stall, Status, Step, Upstream, failure, until

COOL_DOWN = 0.5


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream() as second:
        yield second


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, second: Upstream) -> AsyncIterator[Service]:
    rows = row("First", upstream, deadline=0.3) + row("Second", second)
    async with serving(tmp_path, routing(failures=2, cool_down=COOL_DOWN, patience=0.1) + rows) as service:
        yield service


async def asked(service: Service, provider: str | None = None) -> list[str]:
    return providers(await service.ask(model="small", provider=provider))


async def state(service: Service, name: str = "First") -> str:
    found: str = (await offers(service))[name]["circuit"]
    return found


async def metric(service: Service, line: str) -> str | None:
    """The number behind a name and its labels."""
    async with service.http.get(service.url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next((found.rpartition(" ")[2] for found in lines if found.startswith(line + " ")), None)


async def opened(service: Service, upstream: Upstream) -> None:
    """First fails as often as it takes."""
    upstream.script(Status(500))
    for _ in range(2):
        assert await asked(service) == ["First", "Second"]
    assert await state(service) == "open"


async def test_a_circuit_opens_is_tried_and_closes(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    gauge = 'provider_circuit_state{provider="First"}'
    assert (await state(service), await metric(service, gauge)) == ("closed", "0.0")
    await opened(service, upstream)
    assert await asked(service) == ["Second"]
    assert len(chats(upstream)) == 2
    assert await metric(service, gauge) == "2.0"
    offer = (await offers(service))["First"]
    assert offer["live"], "it lists its models, and that is another matter"
    assert "2 failures in a row" in offer["reason"]
    await asyncio.sleep(COOL_DOWN)
    assert (await state(service), await metric(service, gauge)) == ("half-open", "1.0")
    assert await asked(service) == ["First", "Second"], "one question tries it"
    assert await state(service) == "open"
    assert await asked(service) == ["Second"]
    upstream.script(Say("Back."), Finish(), Done())
    await asyncio.sleep(COOL_DOWN)
    assert await asked(service) == ["First"]
    assert (await state(service), await metric(service, gauge)) == ("closed", "0.0")
    assert (await offers(service))["First"]["reason"] is None
    count = 'llm_attempts_total{outcome="%s",provider="First"}'
    assert await metric(service, count % "upstream_error") == "3.0"
    assert await metric(service, count % "answered") == "1.0"


async def test_one_of_many_tries_it(service: Service, upstream: Upstream, second: Upstream) -> None:
    await opened(service, upstream)
    gate = asyncio.Event()
    upstream.script(Gate(gate), Say("Back."), Finish(), Done())
    await asyncio.sleep(COOL_DOWN)
    seen = len(chats(upstream))
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(service.ask(model="small")) for _ in range(20)]
        await until(lambda: sum(answer.done() for answer in answers) == 19, seconds=2)
        assert len(chats(upstream)) == seen + 1
        assert await state(service) == "half-open"
        gate.set()
    found = sorted(providers(answer.result()) for answer in answers)
    assert found == [["First"], *[["Second"]] * 19]
    assert await state(service) == "closed"


async def test_a_first_word_closes_it_and_a_cut_opens_it_again(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    await opened(service, upstream)
    gate = asyncio.Event()
    upstream.script(Say("Ba"), Gate(gate), Cut())
    await asyncio.sleep(COOL_DOWN)
    async with service.asking(model="small") as answer:
        await answer.content.readuntil(b'"Ba"}\n\n')
        assert await state(service) == "closed"
        gate.set()
        await answer.read()
    assert await state(service) == "open"


async def test_who_leaves_while_trying_says_nothing_about_it(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    await opened(service, upstream)
    upstream.script(Silent())
    await asyncio.sleep(COOL_DOWN)
    seen = len(chats(upstream))
    async with service.asking(model="small"):
        await until(lambda: len(chats(upstream)) > seen)
    await until(lambda: upstream.aborted)
    await until(lambda: not service.context.turns.running(None))
    assert await state(service) == "half-open"
    upstream.script(Say("Back."), Finish(), Done())
    assert await asked(service) == ["First"]


COUNTED: dict[str, list[Step]] = {
    "a cut after the first word": [Say("Hel"), Cut()],
    "silence after the first word": [Say("Hel"), Stall()],
    "silence": [Silent()],
    "503": [Status(503)],
}
PASSED_OVER: dict[str, list[Step]] = {
    "429": [Status(429)],
    "a rejected key": [Status(401)],
    "a bad request": [Status(400, failure("No."))],
    "an empty answer": [Finish(), Done()],
}


@pytest.mark.parametrize("name", COUNTED)
async def test_what_counts(service: Service, upstream: Upstream, second: Upstream, name: str) -> None:
    upstream.script(*COUNTED[name])
    for _ in range(2):
        assert (await asked(service))[0] == "First"
    assert await state(service) == "open"


@pytest.mark.parametrize("name", PASSED_OVER)
async def test_what_does_not_count(service: Service, upstream: Upstream, second: Upstream, name: str) -> None:
    upstream.script(*PASSED_OVER[name])
    for _ in range(4):
        assert (await asked(service))[0] == "First"
    assert await state(service) == "closed"


async def test_an_answer_in_between_begins_the_count_anew(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    failing: list[Step] = [Status(500)]
    upstream.enqueue(failing, [Say("Yes."), Finish(), Done()], failing)
    for _ in range(3):
        await asked(service)
    assert await state(service) == "closed"


async def test_who_is_named_is_asked_whatever_the_circuit(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    await opened(service, upstream)
    assert kinds(await service.ask(model="small", provider="First")) == ["provider", "error"]
    upstream.script(Say("Back."), Finish(), Done())
    assert text(await service.ask(model="small", provider="First")) == "Back."
    assert await state(service) == "closed", "its answer counts"
    assert await asked(service) == ["First"]


async def test_what_began_before_says_nothing_about_now(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.enqueue([Gate(gate), Say("Late."), Finish(), Done()])
    async with asyncio.TaskGroup() as group:
        late = group.create_task(service.ask(model="small", provider="First"))
        await until(lambda: chats(upstream))
        await opened(service, upstream)
        gate.set()
    assert text(late.result()) == "Late."
    assert await state(service) == "open"


async def test_an_answer_ends_the_rest(service: Service, upstream: Upstream, second: Upstream) -> None:
    upstream.enqueue([Status(429, headers={"Retry-After": "60"})])
    assert await asked(service) == ["First", "Second"]
    assert "left alone" in (await offers(service))["First"]["reason"]
    assert await asked(service, "First") == ["First"]
    assert (await offers(service))["First"]["reason"] is None
    assert await asked(service) == ["First"]


async def test_where_all_are_left_out_somebody_is_asked(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    second.script(Status(500))
    await opened(service, upstream)
    assert await state(service, "Second") == "open"
    upstream.script(Say("Back."), Finish(), Done())
    assert await asked(service) == ["First"]
