"""What records would cost by the prices of today, and the corrections that make them do so."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from service.stores.corrections import KIND
from service.stores.ledger import Ledger, Record
from service.stores.prices import Cost, Prices
from service.turns.costs import CLIENT, price


class Change(Struct, frozen=True):
    """A record that would cost something else; None was no price at all."""

    record: Record
    before: int | None
    after: Cost


async def changes(ledger: Ledger, prices: Prices, since: date) -> AsyncGenerator[list[Change], None]:
    """In pages. What has no price today keeps the one that it had."""
    async with aclosing(ledger.priced(since)) as pages:
        async for page in pages:
            yield [change for record in page if (change := await _change(record, prices))]


async def apply(ledger: Ledger, changes: list[Change]) -> None:
    """Writes their corrections; done when these are durable."""
    await asyncio.gather(*(ledger.settle(_correction(change)) for change in changes))


async def _change(record: Record, prices: Prices) -> Change | None:
    if CLIENT.price in (record.price or "").split(" + "):
        return None
    anew = replace(record)
    await price(anew, prices)
    if anew.cost is None or anew.cost == record.cost:
        return None
    return Change(record, record.cost, Cost(anew.cost, anew.price))


def _correction(change: Change) -> Record:
    """It counts on the day of what it corrects."""
    record, after = change.record, change.after
    return Record(
        id=secrets.token_urlsafe(16),
        kind=KIND,
        user=record.user,
        key=record.key,
        provider_asked=record.provider_asked,
        model_asked=record.model_asked,
        provider=record.provider,
        model=record.model,
        label=record.label,
        opened_at=record.opened_at,
        ended_at=time.time(),
        ending=record.ending,
        cost=(after.amount or 0) - (change.before or 0),
        price=after.price,
        corrects=record.id,
    )
