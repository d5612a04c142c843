"""The ledger's records as an operator asks for them: chosen by what they say, each told whole."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

import msgspec
from msgspec import Struct, structs
from sqlalchemy import ColumnElement, RowMapping, Select, or_, select, tuple_

from service.stores.database import Database
from service.stores.ledger import storable
from service.stores.prices import NANO
from service.stores.schema import records

OPEN = "open"
"""In the place of an ending: the record has none yet."""
KEY = (records.c.day, records.c.opened_at, records.c.id)
"""The order of all answers, which an index has; a day's records stand together."""
TIMES = ("opened_at", "first_token_at", "ended_at")
A_DAY = timedelta(days=1)
SOME = 100


class Wanted(Struct, frozen=True, kw_only=True):
    """What records must say; None is whatever they say. Opened from `since` on and before `until`.

    A model or a provider may be the one that was asked or the one that answered.
    """

    since: datetime | None = None
    until: datetime | None = None
    user: str | None = None
    key: str | None = None
    model: str | None = None
    provider: str | None = None
    ending: str | None = None
    kind: str | None = None


class Line(Struct, kw_only=True):
    """A record: `day` is local, times are ISO 8601 in UTC. `ending` is null while the turn runs.

    `cost_usd` is null where nobody knows; a correction's is added to that of the record that it `corrects`.
    `legs` are the parts of several providers, where more than one had a part.
    """

    id: str
    kind: str
    day: str
    user: str | None
    key: str | None
    request_id: str | None
    wire: str | None
    provider_asked: str | None
    model_asked: str | None
    provider: str | None
    model: str | None
    label: str | None
    attempts: int
    opened_at: str
    first_token_at: str | None
    ended_at: str | None
    ending: str | None
    error: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    saved_tokens: int | None
    usage_source: str | None
    characters: int | None
    bytes: int | None
    seconds: float | None
    cost_usd: float | None
    price: str | None
    corrects: str | None
    times: int | None
    legs: list[dict[str, Any]] | None

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        told = dict(row)
        told["cost_usd"] = _dollars(told.pop("cost"))
        told["day"], told["legs"] = told["day"].isoformat(), _legs(told["legs"])
        for name in TIMES:
            told[name] = _iso(told[name])
        return cls(**told)


class Search:
    """Finds records; nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, wanted: Wanted, before: str | None, count: int) -> tuple[list[Line], str | None]:
        """The last `count` records, or those before a mark; and the mark of more, None where there is none.

        Raises `ValueError` for what is no mark.
        """
        statement = _chosen(wanted).order_by(*(part.desc() for part in KEY)).limit(count + 1)
        if before is not None:
            statement = statement.where(tuple_(*KEY) < _place(before))
        rows = await self._database.read(statement)
        return [Line.of(row) for row in rows[:count]], _mark(rows[count - 1]) if len(rows) > count else None

    async def all(self, wanted: Wanted) -> AsyncGenerator[list[Line], None]:
        """Every record, the oldest first, some at a time: between them others have their turn."""
        async with aclosing(self._database.pages(_chosen(wanted), *KEY)) as pages:
            async for page in pages:
                for start in range(0, len(page), SOME):
                    yield [Line.of(row) for row in page[start : start + SOME]]
                    await asyncio.sleep(0)


def _chosen(wanted: Wanted) -> Select[Any]:
    return select(records).where(*_facts(wanted))


def _facts(wanted: Wanted) -> list[ColumnElement[bool]]:
    told = {name: storable(value) for name, value in structs.asdict(wanted).items()}
    facts = [records.c[name] == value for name in ("user", "key", "kind") if (value := told[name])]
    for name in ("model", "provider"):
        if value := told[name]:
            facts.append(or_(records.c[name] == value, records.c[f"{name}_asked"] == value))
    if wanted.ending:
        ending = records.c.ending
        facts.append(ending.is_(None) if wanted.ending == OPEN else ending == wanted.ending)
    # Days are indexed; one more on either side, for whoever has moved to another time zone since.
    if wanted.since:
        facts += [
            records.c.opened_at >= wanted.since.timestamp(),
            records.c.day >= wanted.since.date() - A_DAY,
        ]
    if wanted.until:
        facts += [
            records.c.opened_at < wanted.until.timestamp(),
            records.c.day <= wanted.until.date() + A_DAY,
        ]
    return facts


def _mark(row: RowMapping) -> str:
    return "_".join((row["day"].isoformat(), repr(row["opened_at"]), row["id"]))


def _place(mark: str) -> Sequence[Any]:
    day, opened_at, id = mark.split("_", 2)
    return date.fromisoformat(day), float(opened_at), id


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dollars(amount: int | None) -> float | None:
    return None if amount is None else int(amount) / NANO


def _legs(text: str | None) -> list[dict[str, Any]] | None:
    """With their costs in dollars, as the record's is."""
    try:
        legs = msgspec.json.decode(text or "[]", type=list[dict[str, Any]])
    except msgspec.DecodeError:  # a row that somebody has written by hand must not end an export
        return None
    return [leg | {"cost_usd": _dollars(leg.pop("cost", None))} for leg in legs] or None
