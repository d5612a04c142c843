"""What was used: reports of clients, the lines of a day, sums."""

import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import date
from typing import Annotated, Any

from msgspec import Meta, Struct

from service.context import Caller, Context
from service.errors import BadRequest, NotFound
from service.replies import Lines
from service.routes import route, user
from service.stores.complaints import MOST, Complaints
from service.stores.complaints import Complaint as Kept
from service.stores.ledger import Record
from service.stores.sums import Stats

log = logging.getLogger(__name__)

V2 = "/backend-api/v2"
LOGGED = 300
"""Characters that are kept of what a client reports."""

Tokens = Annotated[float, Meta(ge=0)] | None


class Report(Struct):
    """What a client believes to have used; it is kept and listed, and never counted."""

    model: str | None = None
    provider: str | None = None
    label: str | None = None
    prompt_tokens: Tokens = None
    completion_tokens: Tokens = None


class Complaint(Struct):
    """What a client saw go wrong; other fields are passed over."""

    type: str | None = None
    error: str | None = None
    message: str | None = None


class Last(Struct):
    """The newest so many."""

    limit: Annotated[int, Meta(ge=1, le=MOST)] = 100


class Complained(Struct):
    """What clients saw go wrong in the last seven days, the newest first."""

    logs: list[Kept]
    count: int


class Range(Struct):
    """The last `days`, today included; of one `user` for whoever may see others."""

    days: Annotated[int, Meta(ge=1, le=365)] = 30
    user: str | None = None


class Accounts:
    """usage, stats, log."""

    def __init__(self, context: Context) -> None:
        self._ledger, self._complaints = context.ledger, Complaints(context.database)
        self.routes = {
            f"{V2}/usage": route(POST=self.report),
            f"{V2}/usage/{{day}}": route(GET=self.usage),
            f"{V2}/stats": route(GET=self.stats),
            f"{V2}/log": route(GET=self.complaints, POST=self.complain),
        }

    @user
    async def report(self, body: Report, record: Record) -> dict[str, str]:
        """Keeps a client's own report of what it used, marked as one."""
        record.kind, record.usage_source = "report", "client"
        record.model, record.provider, record.label = body.model, body.provider, body.label
        record.prompt_tokens = _whole(body.prompt_tokens)
        record.completion_tokens = _whole(body.completion_tokens)
        return {}

    @user
    async def usage(self, day: str, caller: Caller) -> Lines:
        """What was used on a day (YYYY-MM-DD), a JSON object a line: one's own, the operator sees all."""
        pages = self._ledger.usage(_date(day), None if caller.admin else caller.user)
        try:
            first = await anext(pages)
        except StopAsyncIteration:
            raise NotFound("No usage data found for this date") from None
        return Lines(_with(first, pages))

    @user
    async def stats(self, query: Range, caller: Caller) -> Stats:
        """Sums by day, model, provider and user."""
        return await self._ledger.stats(query.days, query.user if caller.admin else caller.user)

    @user
    async def complain(self, body: Complaint, caller: Caller) -> dict[str, str]:
        """Keeps what a client saw go wrong, and writes it to the service's log."""
        told = [text and text[:LOGGED] for text in (body.type, body.error, body.message)]
        log.info("a client reports: %s", " / ".join(repr(text) for text in told if text))
        self._complaints.note(caller.user, *told)
        return {}

    @user
    async def complaints(self, query: Last, caller: Caller) -> Complained:
        """What clients saw go wrong: one's own, the operator sees all."""
        found = await self._complaints.last(query.limit, None if caller.admin else caller.user)
        return Complained(found, len(found))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"Invalid date {text!r}: write it as YYYY-MM-DD.", "day") from error


def _whole(tokens: float | None) -> int | None:
    return None if tokens is None else int(tokens)


async def _with(
    first: Sequence[Any], rest: AsyncGenerator[Sequence[Any], None]
) -> AsyncGenerator[Sequence[Any], None]:
    try:
        yield first
        async for page in rest:
            yield page
    finally:
        await rest.aclose()
