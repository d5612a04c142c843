"""What tokens cost: what the operator says, else nothing on this machine, else what a table knows."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from service.settings import Price, ProviderRow

if TYPE_CHECKING:
    from service.stores.price_table import Table

log = logging.getLogger(__name__)

UNPRICED = "unpriced"
NANO = 1_000_000_000
"""Sums are kept in billionths of a US dollar."""
PER_MILLION = 1_000_000
DEAREST = 1_000_000 * NANO
"""More than that is no price: somebody has counted wrong."""


class Seller(Protocol):
    """What of a provider matters here."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str | None: ...
    @property
    def local(self) -> bool: ...


class Tokens(Struct, frozen=True):
    """What is paid for; `cached` and `cache_write` are parts of `prompt`, `reasoning` of `completion`."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def fitted(self) -> "Tokens":
        """The same with parts that are no larger than what they belong to."""
        cached = min(self.cached, self.prompt)
        written = min(self.cache_write, self.prompt - cached)
        return Tokens(self.prompt, self.completion, cached, written, min(self.reasoning, self.completion))


class Cost(Struct, frozen=True):
    """In billionths of a US dollar, None where nobody knows; `price` says by what it was priced."""

    amount: int | None
    price: str | None


class Rates(Struct, frozen=True):
    """What one token of each sort takes, in US dollars, exactly."""

    prompt: Decimal
    completion: Decimal
    cached: Decimal
    cache_write: Decimal

    @classmethod
    def of(cls, price: Price) -> "Rates":
        cached = price.prompt if price.cached is None else price.cached
        written = price.prompt if price.cache_write is None else price.cache_write
        each = (price.prompt, price.completion, cached, written)
        return cls(*(Decimal(str(dollars)) / PER_MILLION for dollars in each))

    def paid(self, tokens: Tokens) -> Decimal:
        return (
            self.prompt * (tokens.prompt - tokens.cached - tokens.cache_write)
            + self.cached * tokens.cached
            + self.cache_write * tokens.cache_write
            + self.completion * tokens.completion
        )


class Tariff:
    """What the operator says that a provider takes."""

    __slots__ = ("_rates", "renamed")

    def __init__(self, row: ProviderRow) -> None:
        self.renamed = row.renamed
        self._rates = {name: Rates.of(price) for name, price in row.prices.items()}

    def rates(self, models: Iterable[str]) -> Rates | None:
        """By our name of a model or the provider's."""
        for model in models:
            if own := self._rates.get(model) or self._rates.get(self.renamed.get(model, model)):
                return own
        return self._rates.get("*")


NO_PRICE = Cost(None, UNPRICED)
FREE = Cost(0, "local")


class Prices:
    """The prices of all providers; the table is loaded when the first turn needs it, and fetches nothing."""

    def __init__(self, sellers: Iterable[Seller], rows: Iterable[ProviderRow]) -> None:
        self._sellers = {seller.name: seller for seller in sellers}
        self._tariffs = {row.name: Tariff(row) for row in rows}
        self._table: Table | None = None

    async def of(self, provider: str, models: Sequence[str], tokens: Tokens | None, at: float) -> Cost:
        """What a provider takes at a time for tokens, None where nobody has counted.

        `models` are the names by which it may be known, the best one first. This waits for nothing but the
        table, once.
        """
        seller, tariff = self._sellers.get(provider), self._tariffs.get(provider)
        if seller is None:
            return NO_PRICE
        if tariff and tokens and (rates := tariff.rates(models)):
            return _cost(rates.paid(tokens.fitted()), "settings")
        if seller.local:
            return FREE
        if not seller.url or tokens is None:
            return NO_PRICE
        renamed = tariff.renamed if tariff else {}
        theirs = dict.fromkeys(renamed.get(model, model) for model in models)
        try:
            if self._table is None:
                self._table = await asyncio.to_thread(_load)
            paid = self._table.paid(seller.url, seller.name, theirs, tokens.fitted(), at)
            return _cost(paid, self._table.id)
        except Exception:  # whatever is wrong with the table, turns end
            log.exception("what %s takes could not be looked up", provider)
            return NO_PRICE


def _load() -> "Table":
    """Half a second, and 20 MiB."""
    from service.stores.price_table import Table

    return Table()


def _cost(dollars: Decimal | None, price: str) -> Cost:
    if dollars is None or dollars > DEAREST // NANO:
        return NO_PRICE
    return Cost(int((dollars * NANO).to_integral_value(ROUND_HALF_UP)), price)
