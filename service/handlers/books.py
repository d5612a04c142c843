"""The books, for whoever runs the service: the ledger searched and exported; what was used, as bars."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.context import Caller, Context
from service.errors import BadRequest
from service.handlers.accounts import Range
from service.handlers.tables import csv_lines
from service.replies import Lines
from service.routes import admin, route, user
from service.stores.ledger import Ending
from service.stores.search import Line, Search, Wanted
from service.stores.series import Dimension, Piece, series

V2 = "/backend-api/v2"


class Question(Struct):
    """Which records, and how.

    `since` (the first moment) and `until` (the first one that is too late) are ISO 8601, in the server's time
    zone where they name none. `model` and `provider` are those that were asked, or that answered. The ending
    `open` is that of turns that run. With the format `json` there are `limit` at a time; `before` is the last
    answer's `next`.
    """

    since: str | None = None
    until: str | None = None
    user: str | None = None
    key: str | None = None
    model: str | None = None
    provider: str | None = None
    ending: Ending | Literal["open"] | None = None
    kind: str | None = None
    format: Literal["json", "jsonl", "csv"] = "json"
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    before: str | None = None


class Found(Struct):
    """The newest records first; `next` leads to older ones, null where there are none."""

    data: list[Line]
    next: str | None


class Bars(Range):
    """By which of its names a day is told in parts."""

    by: Dimension = "model"


class Bookkeeping:
    """ledger, series."""

    def __init__(self, context: Context) -> None:
        self._database, self._search = context.database, Search(context.database)
        self.routes = {
            f"{V2}/ledger": route(GET=self.ledger),
            f"{V2}/stats/series": route(GET=self.series),
        }

    @admin
    async def ledger(self, query: Question) -> Found | Lines:
        """The ledger's records, a page of them, or all as JSON lines or CSV.

        As a page the newest are first, in a file the oldest.
        """
        wanted = _wanted(query)
        match query.format:
            case "json":
                return await self._page(wanted, query)
            case "jsonl":
                return Lines(self._search.all(wanted), "application/x-ndjson", "ledger.jsonl")
            case "csv":
                return Lines(_rows(self._search.all(wanted)), "text/csv", "ledger.csv", csv_lines)

    @user
    async def series(self, query: Bars, caller: Caller) -> list[Piece]:
        """What was used on each day, by model, provider or user: one's own, the operator sees all."""
        return await series(self._database, query.days, query.by, query.user if caller.admin else caller.user)

    async def _page(self, wanted: Wanted, query: Question) -> Found:
        try:
            return Found(*await self._search.newest(wanted, query.before, query.limit))
        except ValueError as error:
            raise BadRequest(
                f"{query.before!r} is no page: send `next` of the last one.", "before"
            ) from error


def _wanted(query: Question) -> Wanted:
    told = {name: getattr(query, name) for name in Wanted.__struct_fields__}
    return Wanted(**told | {name: _moment(told[name], name) for name in ("since", "until")})


def _moment(text: str | None, name: str) -> datetime | None:
    try:
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.max
    if moment and not 1970 < moment.year < 9000:
        raise BadRequest(f"{name} must be a time such as 2026-01-31 or 2026-01-31T08:00:00Z.", name)
    return moment


async def _rows(pages: AsyncGenerator[list[Line], None]) -> AsyncGenerator[Sequence[Sequence[Any]], None]:
    """The names of the columns, and the records."""
    yield [Line.__struct_fields__]
    async with aclosing(pages):
        async for page in pages:
            yield [_cells(line) for line in page]


def _cells(line: Line) -> list[Any]:
    *cells, legs = msgspec.structs.astuple(line)
    return [*cells, legs and msgspec.json.encode(legs).decode()]
