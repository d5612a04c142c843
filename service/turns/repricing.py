"""What records would cost by the prices of today, and the corrections that make them do so."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from service.settings import SpeakerRow
from service.stores.corrections import KIND
from service.stores.ledger import Ledger, Record
from service.stores.prices import Cost, Prices
from service.turns.costs import BY_CHARACTERS, CLIENT, price, spoken


class Change(Struct, frozen=True):
    """A record that would cost something else; None was no price at all."""

    record: Record
    before: int | None
    after: Cost


async def changes(
    ledger: Ledger, prices: Prices, speakers: Sequence[SpeakerRow], since: date
) -> AsyncGenerator[list[Change], None]:
    """In pages. What has no price today keeps the one that it had."""
    rows = {row.name: row for row in speakers}
    async with aclosing(ledger.priced(since)) as pages:
        async for page in pages:
            costs = [(record, await _cost(record, prices, rows)) for record in page]
            yield [
                Change(record, record.cost, cost)
                for record, cost in costs
                if cost.amount is not None and cost.amount != record.cost
            ]


async def apply(ledger: Ledger, changes: list[Change]) -> None:
    """Writes their corrections; done when these are durable."""
    await asyncio.gather(*(ledger.settle(_correction(change)) for change in changes))


async def _cost(record: Record, prices: Prices, speakers: Mapping[str, SpeakerRow]) -> Cost:
    """What it costs today; what it has cost where that was no price of ours."""
    if CLIENT.price in (record.price or "").split(" + "):
        return Cost(record.cost, record.price)
    if record.kind == BY_CHARACTERS:
        return _spoken(record, speakers)
    anew = replace(record)
    await price(anew, prices)
    return Cost(anew.cost, anew.price)


def _spoken(record: Record, speakers: Mapping[str, SpeakerRow]) -> Cost:
    """Without a price it was spoken for somebody else, or before."""
    row = speakers.get(record.provider or "")
    if row is None or record.price is None:
        return Cost(record.cost, record.price)
    return spoken(record.characters or 0, row)


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
