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
    return _folded(await database.read(_sums(days, by, storable(user))))


def _sums(days: int, by: Dimension, user: str | None) -> Select[Any]:
    name = totals.c[by]
    counts = (func.sum(totals.c[what]).label(what) for what in ("requests", "total_tokens", "cost"))
    which = since(days, by, user)
    return select(totals.c.day, name.label("name"), *counts).where(which).group_by(totals.c.day, name)


def _folded(rows: Sequence[RowMapping]) -> list[Piece]:
    """The largest names by themselves, the others together."""
    tokens: dict[str, int] = defaultdict(int)
    for row in rows:
        tokens[row["name"]] += int(row["total_tokens"])
    places = {
        name: place for place, name in enumerate(sorted(tokens, key=lambda name: (-tokens[name], name)))
    }
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        piece = sums[row["day"].isoformat(), min(places[row["name"]], MOST)]
        for index, what in enumerate(("requests", "total_tokens", "cost")):
            piece[index] += int(row[what])
    names = [*(name or "unknown" for name in list(places)[:MOST]), None]
    return [
        Piece(day, None if place == MOST else names[place], requests, total, cost / NANO)
        for (day, place), (requests, total, cost) in sorted(sums.items())
    ]
