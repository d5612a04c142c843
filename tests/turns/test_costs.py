"""What turns cost, and whatever else uses tokens: in the ledger, in what clients read, in the metrics."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.schema import records
from tests.serving import Json, Service, serving
from tests.several import row, settled
from tests.upstream import Data, Done, ErrorChunk, Finish, Reset, Say, Step, Upstream, Usage, until

MILLION = 1_000_000
PRICED = 'prices = { small = { prompt = 2, completion = 8 }, "*" = { prompt = 1, completion = 1 } }\n'


def elsewhere(name: str, upstream: Upstream) -> str:
    """A provider that is no program on this machine."""
    return f'\n[[providers]]\nname = "{name}"\nurl = "{upstream.url}"\nkey = "SOME_KEY"\n'


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream(["small", "gpt-4o-mini"]) as second:
        yield second


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, second: Upstream) -> AsyncIterator[Service]:
    """One with the operator's prices, one whose name the table knows, one that nobody knows, a local one."""
    upstream.models = ["small", "large", "gpt-4o-mini"]
    rows = (
        elsewhere("Priced", upstream) + PRICED,
        elsewhere("OpenAI", second),
        elsewhere("Unknown", second),
        row("Local", upstream),
    )
    async with serving(tmp_path, "".join(rows), SOME_KEY="secret") as service:
        yield service


async def metric(service: Service, name: str) -> float:
    """The sum of all series of a counter."""
    async with service.http.get(service.url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


async def bill(service: Service) -> list[tuple[int | None, str | None]]:
    return [(row["cost"], row["price"]) for row in await settled(service)]


async def last(service: Service, kind: str) -> Json:
    """The row of what was no turn, which is written a moment later."""
    query = select(records).where(records.c.kind == kind)
    for _ in range(400):
        if rows := await service.context.database.read(query):
            return dict(rows[-1])
        await until(lambda: not service.context.database.waiting)
    raise TimeoutError("nothing was written")


@pytest.mark.parametrize(
    ("provider", "model", "cost", "price"),
    [
        ("Priced", "small", 3_000 * 2_000 + 50 * 8_000, "settings"),
        ("Priced", "large", 3_050 * 1_000, "settings"),
        ("OpenAI", "gpt-4o-mini", 3_000 * 150 + 50 * 600, "genai-prices "),
        ("OpenAI", "small", None, "unpriced"),
        ("Unknown", "gpt-4o-mini", None, "unpriced"),
        ("Local", "gpt-4o-mini", 0, "local"),
    ],
)
async def test_a_turn_costs_what_its_provider_takes(
    service: Service,
    upstream: Upstream,
    second: Upstream,
    provider: str,
    model: str,
    cost: int | None,
    price: str,
) -> None:
    for each in (upstream, second):
        each.script(Say("Yes."), Finish(), Usage(3_000, 50), Done())
    await service.ask(provider=provider, model=model)
    ((amount, by),) = await bill(service)
    assert amount == cost
    assert by
    assert by.startswith(price)
    (line,) = await service.records()
    assert (line["cost_usd"], line["price"]) == (None if cost is None else cost / 1e9, by)
    totals = (await service.get("/backend-api/v2/stats"))["totals"]
    assert (totals["cost_usd"], totals["unpriced"]) == ((cost or 0) / 1e9, int(cost is None))
    assert await metric(service, "llm_cost_usd_total") == pytest.approx((cost or 0) / 1e9)
    assert await metric(service, "llm_unpriced_total") == int(cost is None)


async def test_streamed_or_not_it_costs_the_same(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Yes."), Finish(), Usage(3_000, 50), Done())
    body = {"model": "small", "provider": "Priced", "messages": [{"role": "user", "content": "Hello"}]}
    for stream in (True, False):
        url = service.url + "/v1/chat/completions"
        async with service.http.post(url, json={**body, "stream": stream}) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
    first, other = await settled(service, 2)
    assert first["cost"] == other["cost"] == 3_000 * 2_000 + 50 * 8_000
    assert first["price"] == other["price"] == "settings"


async def test_cached_and_reasoned_tokens_cost_what_is_billed(service: Service, second: Upstream) -> None:
    usage = {
        "prompt_tokens": 1_000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 60},
    }

    second.script(Say("Yes."), Finish(), Data({"choices": [], "usage": usage}), Done())
    await service.ask(provider="OpenAI", model="gpt-4o-mini")
    (found,) = await settled(service)
    assert found["cost"] == 600 * 150 + 400 * 75 + 100 * 600
    assert (found["cached_tokens"], found["reasoning_tokens"]) == (400, 60)


async def test_an_estimate_is_priced_as_one(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("four"), Reset())
    await service.ask(provider="Priced", model="small")
    (found,) = await settled(service)
    assert (found["ending"], found["usage_source"], found["price"]) == ("failed", "estimate", "settings")
    assert found["cost"] == found["prompt_tokens"] * 2_000 + found["completion_tokens"] * 8_000 > 0


async def test_who_used_nothing_owes_nothing(service: Service, second: Upstream) -> None:
    second.script(Reset())
    await service.ask(provider="Unknown", model="small")
    assert await bill(service) == [(0, None)]
    assert (await service.get("/backend-api/v2/stats"))["totals"]["unpriced"] == 0


@pytest.mark.parametrize(
    ("used", "cost", "price"),
    [
        (Usage(1_000, 0), 1_000 * 2_000 + 5 * 150 + 2 * 600, "settings + genai-prices "),
        (None, 5 * 150 + 2 * 600, "genai-prices "),
    ],
    ids=["who failed has used something", "nothing"],
)
async def test_the_legs_of_a_turn_are_added_up(
    tmp_path: Path, upstream: Upstream, second: Upstream, used: Step | None, cost: int, price: str
) -> None:
    prices = "prices = { gpt-4o-mini = { prompt = 2, completion = 8 } }\n"
    upstream.models = second.models = ["gpt-4o-mini"]
    upstream.script(*([used] if used else []), ErrorChunk())
    second.script(Say("Yes."), Finish(), Usage(5, 2), Done())
    rows = elsewhere("Priced", upstream) + prices + elsewhere("OpenAI", second)
    async with serving(tmp_path, rows, SOME_KEY="secret") as service:
        await service.ask(model="gpt-4o-mini")
        (found,) = await settled(service)
        assert found["cost"] == cost == sum(leg["cost"] for leg in found["legs"])
        assert found["price"].startswith(price)
        assert await metric(service, "llm_cost_usd_total") == pytest.approx(cost / 1e9)


async def test_a_leg_without_a_price_leaves_the_turn_without(
    tmp_path: Path, upstream: Upstream, second: Upstream
) -> None:
    upstream.script(Usage(1_000, 0), ErrorChunk())
    rows = elsewhere("Unknown", upstream) + elsewhere("Priced", second) + PRICED
    async with serving(tmp_path, rows, SOME_KEY="secret") as service:
        await service.ask(model="small")
        (found,) = await settled(service)
        assert (found["cost"], found["price"]) == (None, "unpriced")
        first, other = found["legs"]
        assert (first["cost"], first["price"], other["price"]) == (None, "unpriced", "settings")
        assert other["cost"] > 0


async def test_what_is_no_turn_costs_as_well(service: Service, upstream: Upstream) -> None:
    body = {"model": "small", "provider": "Priced", "input": "three words here"}
    assert (await service.post("/v1/embeddings", body))[0] == 200
    found = await last(service, "embedding")
    ((prompt, _),) = upstream.bill
    assert (found["prompt_tokens"], found["cost"], found["price"]) == (prompt, prompt * 2_000, "settings")
    picture = {"model": "small", "provider": "Priced", "prompt": "a house"}
    assert (await service.post("/v1/images/generations", picture))[0] == 200
    assert (await last(service, "image"))["price"]


async def test_a_report_has_no_price(service: Service) -> None:
    report = {"provider": "Priced", "model": "small", "prompt_tokens": 5}
    assert await service.post("/backend-api/v2/usage", report) == (200, {})
    found = await last(service, "report")
    assert (found["cost"], found["price"]) == (None, None)
