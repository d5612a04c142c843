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
        legs = [await _priced(leg, prices, record.opened_at, keys) for leg in parts(record)]
        if record.legs:
            record.legs = msgspec.json.encode(legs).decode()
        cost = total(legs)
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


def total(legs: Sequence[Leg]) -> Cost:
    """Of all legs together: none where one has no price. Who used nothing needs none."""
    used = [leg for leg in legs if not leg.idle]
    if any(leg.cost is None for leg in used):
        return NO_PRICE
    by = dict.fromkeys(leg.price for leg in used if leg.price)
    return Cost(sum(leg.cost or 0 for leg in used), " + ".join(by) or None)


async def _priced(leg: Leg, prices: Prices, at: float, keys: Container[str]) -> Leg:
    if leg.idle:
        return replace(leg, cost=0, price=None)
    if leg.provider in keys:
        return replace(leg, cost=CLIENT.amount, price=CLIENT.price)
    tokens = Tokens(
        leg.prompt_tokens,
        leg.completion_tokens,
        leg.cached_tokens or 0,
        leg.cache_write_tokens or 0,
        leg.reasoning_tokens or 0,
    )
    cost = await prices.of(leg.provider, _names(leg.model, leg.asked), tokens, at)
    return replace(leg, cost=cost.amount, price=cost.price)


async def _uncounted(record: Record, prices: Prices) -> Cost:
    names = _names(record.model, record.model_asked)
    return await prices.of(record.provider or "", names, None, record.opened_at)


def _names(*models: str | None) -> list[str]:
    return [model for model in models if model]
