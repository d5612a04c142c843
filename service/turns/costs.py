"""What a settled record costs: the sum of its legs, each by the prices of its provider."""

from collections.abc import Container, Sequence
from decimal import ROUND_HALF_UP, Decimal

import msgspec
from msgspec.structs import replace

from service.settings import SpeakerRow
from service.stores.ledger import Record
from service.stores.prices import FREE, NANO, NO_PRICE, PER_MILLION, Cost, Prices, Tokens
from service.turns.settlement import Leg, parts

NOTHING = Cost(0, None)
BY_CHARACTERS = "speech"
"""The kind of a record that is priced where it is spoken: it used no tokens."""
CLIENT = Cost(0, "client")
"""Who has brought a key of his own pays by himself."""


async def price(record: Record, prices: Prices, keys: Container[str] = ()) -> None:
    """Fills in the cost, of its legs as well; `keys` has the providers that the client has a key for.

    It waits for nothing but the table of prices, once.
    """
    if record.kind == BY_CHARACTERS:
        return
    if not record.attempts and record.ending != "interrupted":  # nobody was asked
        cost = NOTHING
    elif record.usage_source is None and record.error is None:  # a picture: nobody has counted it
        cost = await _uncounted(record, prices)
    else:
        legs = parts(record)
        costs = [await _cost(leg, prices, record.opened_at, keys) for leg in legs]
        if record.legs:
            priced = [
                replace(leg, cost=each.amount, price=each.price)
                for leg, each in zip(legs, costs, strict=True)
            ]
            record.legs = msgspec.json.encode(priced).decode()
        cost = total(costs)
    record.cost, record.price = cost.amount, cost.price


def spoken(characters: int, row: SpeakerRow | None) -> Cost:
    """Of a whole text: an upstream counts what it was sent, whoever listens to the end.

    Who has no row in the settings takes nothing.
    """
    if row is None or row.local:
        return FREE
    if row.price is None:
        return NO_PRICE
    dollars = Decimal(str(row.price)) * characters / PER_MILLION
    return Cost(int((dollars * NANO).to_integral_value(ROUND_HALF_UP)), "settings")


def total(costs: Sequence[Cost]) -> Cost:
    """Of all legs together: none where one has no price."""
    if len(costs) == 1:
        return costs[0]
    amounts = [cost.amount for cost in costs if cost.amount is not None]
    if len(amounts) < len(costs):
        return NO_PRICE
    by = dict.fromkeys(cost.price for cost in costs if cost.price)
    return Cost(sum(amounts), " + ".join(by) or None)


async def _cost(leg: Leg, prices: Prices, at: float, keys: Container[str]) -> Cost:
    """Who used nothing needs no price."""
    if leg.idle:
        return NOTHING
    if leg.provider in keys:
        return CLIENT
    tokens = Tokens(
        leg.prompt_tokens,
        leg.completion_tokens,
        leg.cached_tokens or 0,
        leg.cache_write_tokens or 0,
        leg.reasoning_tokens or 0,
    )
    return await prices.of(leg.provider, _names(leg.model, leg.asked), tokens, at)


async def _uncounted(record: Record, prices: Prices) -> Cost:
    names = _names(record.model, record.model_asked)
    return await prices.of(record.provider or "", names, None, record.opened_at)


def _names(*models: str | None) -> list[str]:
    return [model for model in models if model]
