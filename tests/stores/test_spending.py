"""What was spent: by whom, on this day and in this month."""

from datetime import date, datetime, time

import pytest
from msgspec.structs import replace

from service.stores.database import Database
from service.stores.ledger import Ledger, Record
from service.stores.spending import Whose, spent

TODAY = date.today()
MONTH = datetime.combine(TODAY.replace(day=1), time(0, 0, 1)).timestamp()
"""On the first of the month, which may be today."""


@pytest.mark.parametrize(
    ("whose", "id", "amount"),
    [
        ("key", "of ada", 900_000),
        ("key", "of nobody", 0),
        ("user", "ada", 900_000),
        ("user", "carol", 0),
        ("service", None, 5_900_000),
    ],
)
async def test_a_day_and_its_month(
    whose: Whose, id: str | None, amount: int, database: Database, ledger: Ledger
) -> None:
    for user, cost in (("ada", 600_000), ("ada", 300_000), ("ada", None), ("bob", 5_000_000)):
        record = Record(id=f"{user} {cost}", user=user, key=f"of {user}", ended_at=1.0, cost=cost)
        await ledger.settle(replace(record, ending="done"))
        await ledger.settle(replace(record, id=f"{record.id} on the first", opened_at=MONTH, ending="done"))
        await ledger.settle(replace(record, id=f"{record.id} long ago", opened_at=1.0, ending="done"))
    sums = await spent(database, whose, id, TODAY)
    assert (sums.day, sums.month) == (2 * amount if TODAY.day == 1 else amount, 2 * amount)
