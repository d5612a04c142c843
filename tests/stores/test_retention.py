"""Old records go, and stay in the sums."""

import asyncio
from datetime import date, datetime, time, timedelta

import pytest
from sqlalchemy import select

from service.stores.database import PAGE, Database
from service.stores.ledger import Ledger, Record
from service.stores.retention import SHORTEST, remove_old, retain
from service.stores.schema import records
from service.tasks import Tasks
from tests.upstream import until


def noon(days_ago: int) -> float:
    return datetime.combine(date.today() - timedelta(days=days_ago), time(12)).timestamp()


async def settle(ledger: Ledger, *days_ago: int) -> None:
    await asyncio.gather(
        *(
            ledger.settle(Record(id=f"{days}-{number}", opened_at=noon(days), ending="done"))
            for number, days in enumerate(days_ago)
        )
    )


async def kept(database: Database) -> list[str]:
    return sorted(row["id"].split("-")[0] for row in await database.read(select(records.c.id)))


async def test_what_is_old_goes_and_stays_in_the_sums(database: Database, ledger: Ledger) -> None:
    await settle(ledger, 101, 100, 99, 0, 365)
    await remove_old(database, 100)
    assert await kept(database) == ["0", "100", "99"]
    assert (await ledger.stats(365, None)).totals.requests == 4
    assert (await ledger.stats(365, None)).days[0].requests == 1


async def test_more_than_a_page_goes(database: Database, ledger: Ledger) -> None:
    await settle(ledger, *[200] * (PAGE + 10), 1)
    await remove_old(database, 100)
    assert await kept(database) == ["1"]


async def test_what_still_runs_stays(database: Database, ledger: Ledger) -> None:
    ledger.open(Record(id="200-open", opened_at=noon(200)))
    await settle(ledger, 200, 0)
    await remove_old(database, 100)
    assert await kept(database) == ["0", "200"]


async def test_the_records_of_a_month_always_stay(database: Database, ledger: Ledger) -> None:
    await settle(ledger, 31, SHORTEST + 1, 0)
    await remove_old(database, 1)
    assert await kept(database) == ["0", "31"]


@pytest.mark.parametrize(("keep", "left"), [(0, ["400"]), (100, [])])
async def test_it_goes_by_itself_unless_all_is_kept(
    database: Database, ledger: Ledger, keep: int, left: list[str]
) -> None:
    await settle(ledger, 400)
    tasks = Tasks()
    running = tasks.start(retain(database, keep), "retention")
    if keep:
        while await kept(database):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    else:
        await until(running.done)
    await tasks.close()
    assert await kept(database) == left
