"""What records cost with their corrections: a row is never changed, what was wrong with it is another row."""

from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, case, func, select

from service.stores.schema import records

KIND = "correction"


def priced(since: date) -> Select[Any]:
    """What may have cost something since a local day, with what it has cost by now as `cost`."""
    columns = [column for column in records.columns if column is not records.c.cost]
    has_ended = (records.c.ending.is_not(None), records.c.ending != "refused")
    is_own = records.c.kind.not_in(("report", KIND))
    return select(*columns, corrected_cost().label("cost")).where(records.c.day >= since, *has_ended, is_own)


def corrected_cost() -> ColumnElement[int]:
    """The cost with its corrections, which make a cost where there was none."""
    other = records.alias()
    added = select(func.sum(other.c.cost)).where(other.c.corrects == records.c.id).scalar_subquery()
    return case((added.is_(None), records.c.cost), else_=func.coalesce(records.c.cost, 0) + added)


def last_price() -> ScalarSelect[str]:
    """By what the last correction was priced; none where there is none."""
    other = records.alias()
    of_this = select(other.c.price).where(other.c.corrects == records.c.id)
    return of_this.order_by(other.c.ended_at.desc()).limit(1).scalar_subquery()
