"""What the ledger's rows add up to: the lines of `GET usage/<date>` and the sums of `GET stats`.

Both leave out what still runs and what was refused: neither has used anything.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Self

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    RowMapping,
    Select,
    Text,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from service.stores.schema import records


class Usage(msgspec.Struct, omit_defaults=True):
    """What one record used. Unknown counts are 0 here; `reported` marks a client's own report."""

    model: str | None
    provider: str | None
    label: str | None
    user: str | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    saved_tokens: int
    usage_source: str | None
    reported: bool = False

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        return cls(*(row[name] for name in cls.__struct_fields__))


class Counters(msgspec.Struct):
    """`total_tokens` are the prompts' and the completions'."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    saved_tokens: int = 0
    total_tokens: int = 0

    def add(self, row: RowMapping) -> None:
        for name in Counters.__struct_fields__:
            setattr(self, name, getattr(self, name) + int(row[name]))


class Day(Counters, kw_only=True):
    """The counters of a local day, `date` as in 2026-01-31."""

    date: str


class Stats(msgspec.Struct):
    """Days ascend, those without a request are left out; the maps begin with the most tokens."""

    days: list[Day]
    models: dict[str, Counters]
    providers: dict[str, Counters]
    users: dict[str, Counters]
    totals: Counters


PROMPT, COMPLETION, CACHED, REASONING, SAVED = (
    func.coalesce(records.c[f"{what}_tokens"], 0)
    for what in ("prompt", "completion", "cached", "reasoning", "saved")
)
MODEL = func.coalesce(records.c.model, records.c.model_asked)
PROVIDER = func.coalesce(records.c.provider, records.c.provider_asked)
PARTS = ("days", "models", "providers", "users")


def used(day: date, user: str | None) -> Select[Any]:
    """The columns of `Usage` for a local day, and `opened_at` and `id` to order them by."""
    columns = (
        records.c.opened_at,
        records.c.id,
        MODEL.label("model"),
        PROVIDER.label("provider"),
        records.c.label,
        records.c.user,
        PROMPT.label("prompt_tokens"),
        COMPLETION.label("completion_tokens"),
        (PROMPT + COMPLETION).label("total_tokens"),
        CACHED.label("cached_tokens"),
        REASONING.label("reasoning_tokens"),
        SAVED.label("saved_tokens"),
        records.c.usage_source,
        (records.c.kind == "report").label("reported"),
    )
    return select(*columns).where(records.c.day == day, *_settled(user))


def sums(days: int, user: str | None) -> CompoundSelect[Any]:
    """Counters by day, model, provider and user; from one scan, so that the four agree with each other."""
    columns = (
        cast(records.c.day, Text).label("days"),
        MODEL.label("models"),
        PROVIDER.label("providers"),
        records.c.user.label("users"),
        PROMPT.label("prompt_tokens"),
        COMPLETION.label("completion_tokens"),
        SAVED.label("saved_tokens"),
        (PROMPT + COMPLETION).label("total_tokens"),
    )
    since = date.today() - timedelta(days=days)
    counted = (records.c.day > since, records.c.kind != "report", *_settled(user))
    scan = select(*columns).where(*counted).cte("counted")
    return union_all(*(_counters(scan, part) for part in PARTS))


def added_up(rows: Iterable[RowMapping]) -> Stats:
    """The rows of `sums` in the shape of the contract; a missing name is "unknown"."""
    parts: dict[str, dict[str, Counters]] = {part: {} for part in PARTS}
    totals = Counters()
    for row in rows:
        parts[row["part"]].setdefault(row["name"] or "unknown", Counters()).add(row)
        if row["part"] == "days":
            totals.add(row)
    days = [Day(date=name, **msgspec.structs.asdict(day)) for name, day in sorted(parts.pop("days").items())]
    return Stats(days=days, totals=totals, **{part: _ranked(names) for part, names in parts.items()})


def _settled(user: str | None) -> tuple[ColumnElement[bool], ...]:
    settled = (records.c.ending.is_not(None), records.c.ending != "refused")
    return settled if user is None else (*settled, records.c.user == user)


def _counters(scan: CTE, part: str) -> Select[Any]:
    tokens = [name for name in Counters.__struct_fields__ if name != "requests"]
    return select(
        literal_column(f"'{part}'").label("part"),
        scan.c[part].label("name"),
        func.count().label("requests"),
        *(func.sum(scan.c[name]).label(name) for name in tokens),
    ).group_by(scan.c[part])


def _ranked(names: dict[str, Counters]) -> dict[str, Counters]:
    return dict(sorted(names.items(), key=lambda item: (-item[1].total_tokens, item[0])))
