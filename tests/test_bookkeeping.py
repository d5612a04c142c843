"""`ledger reprice`: says what the prices of today would change, and corrects the ledger by adding to it."""

from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.schema import records
from tests.serving import Json, Service, serving
from tests.several import settled
from tests.test_commands import said
from tests.upstream import Done, Finish, Reset, Say, Upstream, Usage

HEAD = "PROVIDER  MODEL  RECORDS  UNPRICED  USD BEFORE  USD AFTER"
NOTHING = "The prices of today change nothing.\n"


def settings(upstream: Upstream, price: float | None = None) -> str:
    prices = "" if price is None else f"prices = {{ small = {{ prompt = {price}, completion = {price} }} }}\n"
    row = f'[[providers]]\nname = "Gateway"\nurl = "{upstream.url}"\nkey = "GATEWAY_KEY"\n'
    return row + prices


async def reprice(directory: Path, text: str, *words: str) -> list[str]:
    (directory / "causerie.toml").write_text(text)
    config = {"CAUSERIE_CONFIG": str(directory / "causerie.toml"), "GATEWAY_KEY": "secret"}
    status, output, errors = await said(directory, "ledger", "reprice", *words, **config)
    assert (status, errors) == (0, "")
    return output.splitlines()


async def totals(service: Service) -> tuple[int, float, int, int]:
    """Requests, US dollars, requests without a price, tokens."""
    found = (await service.get("/backend-api/v2/stats"))["totals"]
    return found["requests"], found["cost_usd"], found["unpriced"], found["total_tokens"]


async def lines(service: Service) -> list[tuple[float | None, str | None]]:
    return [(line["cost_usd"], line["price"]) for line in await service.records()]


async def rows(service: Service) -> list[Json]:
    query = select(records).order_by(records.c.opened_at, records.c.ended_at)
    return [dict(row) for row in await service.context.database.read(query)]


@pytest.fixture
async def directory(tmp_path: Path, upstream: Upstream) -> Path:
    """Two turns that nobody knew the price of, of 1,000,000 tokens each, and one that failed at once."""
    upstream.script(Say("Yes."), Finish(), Usage(900_000, 100_000), Done())
    async with serving(tmp_path, settings(upstream), GATEWAY_KEY="secret") as service:
        for _ in range(2):
            await service.ask(model="small", provider="Gateway")
        upstream.script(Reset())
        await service.ask(model="small", provider="Gateway")
        assert [row["price"] for row in await settled(service, 3)] == ["unpriced", "unpriced", None]
        assert (await totals(service))[:3] == (3, 0, 2)
    return tmp_path


async def test_it_says_what_would_change_and_changes_nothing(directory: Path, upstream: Upstream) -> None:
    for _ in range(2):
        assert await reprice(directory, settings(upstream, 2)) == [
            HEAD,
            "Gateway   small  2        2         0.000000    4.000000",
            "2 records would change; --apply corrects them.",
        ]
    async with serving(directory, settings(upstream), GATEWAY_KEY="secret") as service:
        assert (await totals(service))[:3] == (3, 0, 2)


async def test_corrections_are_added_and_sums_have_them(directory: Path, upstream: Upstream) -> None:
    told = await reprice(directory, settings(upstream, 2), "--apply")
    assert told[-1] == "2 records were corrected."
    async with serving(directory, settings(upstream), GATEWAY_KEY="secret") as service:
        assert await totals(service) == (3, 4.0, 0, 2_000_000)
        assert await lines(service) == [(2.0, "settings"), (2.0, "settings"), (0.0, None)]
        found = await rows(service)
        originals = [row for row in found if row["corrects"] is None]
        assert [(row["cost"], row["price"]) for row in originals[:2]] == [(None, "unpriced")] * 2
        corrections = [row for row in found if row["corrects"]]
        assert {row["corrects"] for row in corrections} == {row["id"] for row in originals[:2]}
        assert {row["kind"] for row in corrections} == {"correction"}
    assert await reprice(directory, settings(upstream, 2), "--apply") == [NOTHING.strip()]


async def test_a_correction_may_be_corrected(directory: Path, upstream: Upstream) -> None:
    await reprice(directory, settings(upstream, 2), "--apply")
    assert await reprice(directory, settings(upstream, 0.5), "--apply") == [
        HEAD,
        "Gateway   small  2        0         4.000000    1.000000",
        "2 records were corrected.",
    ]
    async with serving(directory, settings(upstream), GATEWAY_KEY="secret") as service:
        assert await totals(service) == (3, 1.0, 0, 2_000_000)
        assert await lines(service) == [(0.5, "settings"), (0.5, "settings"), (0.0, None)]


async def test_what_has_no_price_today_keeps_the_one_that_it_had(directory: Path, upstream: Upstream) -> None:
    await reprice(directory, settings(upstream, 2), "--apply")
    assert await reprice(directory, settings(upstream), "--apply") == [NOTHING.strip()]


async def test_only_what_is_asked_for_is_looked_at(directory: Path, upstream: Upstream) -> None:
    assert await reprice(directory, settings(upstream, 2), "--since", "2999-01-01") == [NOTHING.strip()]


async def test_it_works_beside_a_running_service(directory: Path, upstream: Upstream) -> None:
    async with serving(directory, settings(upstream), GATEWAY_KEY="secret") as service:
        await reprice(directory, settings(upstream, 2), "--apply")
        assert await totals(service) == (3, 4.0, 0, 2_000_000)


async def test_a_day_that_is_none_is_refused(tmp_path: Path) -> None:
    status, _, errors = await said(tmp_path, "ledger", "reprice", "--since", "yesterday")
    assert status == 2
    assert "'yesterday' is no day: write it as 2026-01-31" in errors
