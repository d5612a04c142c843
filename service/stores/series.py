"""What was used day by day, by model, provider or user: the bars of a chart."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import RowMapping, Select, func, select

from service.stores.database import Database
from service.stores.ledger import storable
from service.stores.prices import NANO
from service.stores.totals import since, totals

Dimension = Literal["model", "provider", "user"]
MOST = 20
"""Names that are told by themselves, those with the most tokens; the others are one."""


class Piece(Struct):
    """The part of one name in a local day; null is all other names together."""

    date: str
    name: str | None
    requests: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0


async def series(database: Database, days: int, by: Dimension, user: str | None) -> list[Piece]:
    """The last `days`, today included, of `user` or of everybody (None); days ascend."""
    return _pieces(await database.read(_sums(days, by, storable(user))))


def _sums(days: int, by: Dimension, user: str | None) -> Select[Any]:
    """Of the names that are not among the most, which are null, the database tells no more than the sum."""
    name, which = totals.c[by], since(days, by, user)
    by_tokens = (func.sum(totals.c.total_tokens).desc(), name)
    most = select(name.label("name")).where(which).group_by(name).order_by(*by_tokens).limit(MOST).subquery()
    counts = (func.sum(totals.c[what]).label(what) for what in ("requests", "total_tokens", "cost"))
    named = totals.outerjoin(most, most.c.name == name)
    columns = select(totals.c.day, most.c.name, *counts).select_from(named)
    return columns.where(which).group_by(totals.c.day, most.c.name)


def _pieces(rows: Sequence[RowMapping]) -> list[Piece]:
    """Of each day the largest names first, the others last."""
    tokens: dict[str | None, int] = defaultdict(int)
    for row in rows:
        tokens[row["name"]] += int(row["total_tokens"])  # PostgreSQL adds integers up to decimals
    ranked = sorted(tokens, key=lambda name: (name is None, -tokens[name], name or ""))
    places = {name: place for place, name in enumerate(ranked)}
    return [
        Piece(
            row["day"].isoformat(),
            row["name"] if row["name"] is None else row["name"] or "unknown",
            int(row["requests"]),
            int(row["total_tokens"]),
            int(row["cost"]) / NANO,
        )
        for row in sorted(rows, key=lambda row: (row["day"], places[row["name"]]))
    ]
