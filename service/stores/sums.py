"""What the ledger's rows add up to: the lines of `GET usage/<date>` and the sums of `GET stats`.

Both leave out what still runs and what was refused: neither has used anything.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Self

import msgspec
from sqlalchemy import (
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

from service.stores.corrections import KIND, corrected_cost, last_price
from service.stores.prices import NANO
from service.stores.schema import records
from service.stores.totals import ENDINGS, SUMS, since, totals


class Usage(msgspec.Struct, omit_defaults=True):
    """What one record used. Unknown counts are 0 here; `reported` marks a client's own report.

    `cost_usd` has its corrections in it, and is null where nobody knows; `price` says where it comes from.
    """

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
    kind: str
    ending: str
    cost_usd: float | None
    price: str | None
    first_token_seconds: float | None
    """From the request to the first piece of the answer."""
    reported: bool = False

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        values = {name: row[name] for name in cls.__struct_fields__ if name != "cost_usd"}
        return cls(**values, cost_usd=None if row["cost"] is None else _dollars(row["cost"]))


class Counters(msgspec.Struct):
    """`total_tokens` are the prompts' and the completions'; `cost_usd` is that of what has a price.

    `unpriced` requests have none. The time to the first token is a mean, in seconds; the tokens a second are
    those of all answers over the time that they took from there on; both are null where there was none.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    saved_tokens: int
    total_tokens: int
    cost_usd: float
    unpriced: int
    endings: dict[str, int]
    first_token_seconds: float | None
    tokens_per_second: float | None


class Day(Counters, kw_only=True):
    """The counters of a local day, `date` as in 2026-01-31."""

    date: str


class Sum(msgspec.Struct):
    """What can be added up of requests, by the columns of `sums`; times in seconds, money in billionths."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    saved_tokens: int = 0
    total_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    done: int = 0
    stopped: int = 0
    abandoned: int = 0
    failed: int = 0
    timeout: int = 0
    interrupted: int = 0
    first_tokens: int = 0
    waited: float = 0.0
    spoken: float = 0.0
    spoken_tokens: int = 0

    def add(self, row: RowMapping) -> None:
        for name in Sum.__struct_fields__:
            number = type(getattr(self, name))(row[name] or 0)  # some databases add integers up to decimals
            setattr(self, name, getattr(self, name) + number)

    def counters(self) -> Counters:
        return Counters(
            self.requests,
            self.prompt_tokens,
            self.completion_tokens,
            self.saved_tokens,
            self.total_tokens,
            _dollars(self.cost),
            self.unpriced,
            {name: number for name in ENDINGS if (number := getattr(self, name))},
            self.waited / self.first_tokens if self.first_tokens else None,
            self.spoken_tokens / self.spoken if self.spoken > 0 else None,
        )


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
FIRST = records.c.first_token_at
MODEL = func.coalesce(records.c.model, records.c.model_asked)
PROVIDER = func.coalesce(records.c.provider, records.c.provider_asked)
PARTS = {"days": "day", "models": "model", "providers": "provider", "users": "user"}


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
        records.c.kind,
        records.c.ending,
        corrected_cost().label("cost"),
        func.coalesce(last_price(), records.c.price).label("price"),
        (FIRST - records.c.opened_at).label("first_token_seconds"),
        (records.c.kind == "report").label("reported"),
    )
    return select(*columns).where(records.c.day == day, records.c.kind != KIND, *_settled(user))


def sums(days: int, user: str | None) -> CompoundSelect[Any]:
    """Columns of `Sum` by day, model, provider and user, in one statement, so that the four agree."""
    return union_all(*(_grouped(part, name, since(days, name, user)) for part, name in PARTS.items()))


def added_up(rows: Iterable[RowMapping]) -> Stats:
    """The rows of `sums` in the shape of the contract; a missing name is "unknown"."""
    parts: dict[str, dict[str, Sum]] = {part: {} for part in PARTS}
    totals = Sum()
    for row in rows:
        parts[row["part"]].setdefault(row["name"] or "unknown", Sum()).add(row)
        if row["part"] == "days":
            totals.add(row)
    days = [
        Day(date=name, **msgspec.structs.asdict(day.counters()))
        for name, day in sorted(parts.pop("days").items())
    ]
    maps = {part: _ranked(names) for part, names in parts.items()}
    return Stats(days=days, totals=totals.counters(), **maps)


def _settled(user: str | None) -> tuple[ColumnElement[bool], ...]:
    settled = (records.c.ending.is_not(None), records.c.ending != "refused")
    return settled if user is None else (*settled, records.c.user == user)


def _grouped(part: str, name: str, which: ColumnElement[bool]) -> Select[Any]:
    columns = (
        literal_column(f"'{part}'").label("part"),
        cast(totals.c[name], Text).label("name"),
        *(func.sum(totals.c[column]).label(column) for column in SUMS),
    )
    grouped: Select[Any] = select(*columns).where(which).group_by(totals.c[name])
    return grouped


def _ranked(names: dict[str, Sum]) -> dict[str, Counters]:
    ranked = sorted(names.items(), key=lambda item: (-item[1].total_tokens, item[0]))
    return {name: counted.counters() for name, counted in ranked}


def _dollars(amount: int) -> float:
    return int(amount) / NANO
