"""What was spent so far, by a key, by a user or by everybody: with it budgets survive a restart."""

from datetime import date
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import Select, Table, case, func, select

from service.stores.database import Database
from service.stores.key_costs import key_costs
from service.stores.totals import LONGEST_USER, totals

Whose = Literal["key", "user", "service"]


class Spent(Struct, frozen=True):
    """On a local day, and in its month, in billionths of a US dollar; what has no price is not in it."""

    day: int
    month: int


async def spent(database: Database, whose: Whose, id: str | None, today: date) -> Spent:
    """One query for both. Raises `Unavailable`."""
    (row,) = await database.read(_sums(whose, id, today))
    return Spent(int(row["day"]), int(row["month"]))  # PostgreSQL adds integers up to decimals


def _sums(whose: Whose, id: str | None, today: date) -> Select[Any]:
    """A correction counts on the day of what it corrects."""
    if whose == "key":
        return _since(key_costs, today).where(key_costs.c.key == id)
    if whose == "user":
        return _since(totals, today).where(
            totals.c.scope == "users", totals.c.user == (id or "")[:LONGEST_USER]
        )
    return _since(totals, today).where(totals.c.scope == "users")


def _since(table: Table, today: date) -> Select[Any]:
    """Sums of this table's rows since the first of the month."""
    on_this_day = case((table.c.day == today, table.c.cost), else_=0)
    return select(
        func.coalesce(func.sum(on_this_day), 0).label("day"),
        func.coalesce(func.sum(table.c.cost), 0).label("month"),
    ).where(table.c.day >= today.replace(day=1))
