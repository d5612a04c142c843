"""A refusal is in the ledger: a row each for what differs, one for all that is alike; and it never counts."""

import asyncio
import gc
import tracemalloc
from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.schema import records
from service.turns import refusals
from tests.serving import Json, Service, serving
from tests.upstream import Upstream

QUERY = select(records).where(records.c.ending == "refused").order_by(records.c.opened_at, records.c.user)


async def refused(service: Service, times: int) -> list[Json]:
    """The rows, once they stand for so many refusals."""
    for _ in range(400):
        rows = [dict(row) for row in await service.context.database.read(QUERY)]
        if sum(row["times"] for row in rows) >= times:
            return rows
        await asyncio.sleep(0.01)
    raise TimeoutError("The refusals were not written.")


async def ask(service: Service, model: str = "no-such-model", user: str = "") -> int:
    async with service.asking(
        provider="Upstream", model=model, headers={"x-user": user} if user else {}
    ) as answer:
        await answer.read()
        return int(answer.status)


async def test_a_refusal_is_a_row_that_counts_for_nothing(service: Service) -> None:
    assert await ask(service) == 404
    (row,) = await refused(service, 1)
    assert (row["kind"], row["ending"], row["error"]) == ("turn", "refused", "ModelNotFound")
    assert (row["times"], row["user"], row["wire"]) == (1, "local", "backend")
    assert (row["provider_asked"], row["model_asked"]) == ("Upstream", "no-such-model")
    assert (row["cost"], row["price"], row["prompt_tokens"]) == (None, None, None)
    assert (await service.get("/backend-api/v2/stats"))["totals"]["requests"] == 0
    assert await service.records() == []


async def test_many_alike_are_one_row(service: Service) -> None:
    assert await asyncio.gather(*(ask(service) for _ in range(50))) == [404] * 50
    (row,) = await refused(service, 50)
    assert await ask(service) == 404
    (later,) = await refused(service, 51)
    assert (later["id"], later["times"]) == (row["id"], 51)


async def test_others_are_rows_of_their_own(service: Service) -> None:
    for user in ("ann", "bob", "ann"):
        await ask(service, user=user)
    rows = await refused(service, 3)
    assert [(row["user"], row["times"]) for row in rows] == [("ann", 2), ("bob", 1)]


async def test_a_turn_that_follows_is_a_row_as_any(service: Service) -> None:
    await ask(service)
    assert await ask(service, "small") == 200
    await refused(service, 1)
    (line,) = await service.records()
    assert line["ending"] == "done"


async def test_after_a_minute_there_is_another_row(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "WINDOW", 0.0)
    await ask(service)
    await refused(service, 1)
    await ask(service)
    assert [row["times"] for row in await refused(service, 2)] == [1, 1]


async def test_a_thousand_names_cost_no_more_than_so_many_rows(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST", 3)
    for number in range(10):
        await ask(service, user=f"user-{number}")
    rows = await refused(service, 10)
    assert sorted((row["user"] or "", row["times"]) for row in rows) == [
        ("", 7),
        ("user-0", 1),
        ("user-1", 1),
        ("user-2", 1),
    ]


async def test_what_was_not_written_yet_is_written_at_the_end(tmp_path: Path, upstream: Upstream) -> None:
    row = f'[[providers]]\nname = "Upstream"\nurl = "{upstream.url}"\nlocal = true\n'
    async with serving(tmp_path, row) as service:
        await ask(service)
    async with serving(tmp_path, row) as service:
        assert [row["times"] for row in await refused(service, 1)] == [1]


async def test_refusals_take_no_memory_for_what_clients_make_up(service: Service) -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            assert await ask(service, "x" * 1_000_000, f"user-{number}") == 404
        await refused(service, 20)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 10_000_000
    finally:
        tracemalloc.stop()
