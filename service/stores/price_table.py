"""The prices of most providers, dated, by genai-prices. To import this takes half a second and 20 MiB."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider

from service.stores.prices import Tokens

MODELS = 1_024
LONGEST = 200
"""Names that are remembered, and their characters; clients may make them up."""


class Table:
    """The table as it was shipped: nothing is fetched."""

    def __init__(self) -> None:
        self.id = f"genai-prices {genai_prices.__version__}"
        self._snapshot = get_snapshot()
        self._found = lru_cache(MODELS)(self._find)

    def paid(self, url: str, name: str, models: Iterable[str], tokens: Tokens, at: float) -> Decimal | None:
        """What whoever has this address, or else this name, took at a time, in US dollars.

        The first of the models' names that is known counts.
        """
        known = (model for model in models if len(model) <= LONGEST)
        found = next((found for model in known if (found := self._found(url, name, model))), None)
        return _paid(*found, tokens, at) if found else None

    def _find(self, url: str, name: str, model: str) -> tuple[Provider, ModelInfo] | None:
        provider = _provider(self._snapshot, url, name)
        found = provider.find_model(model, all_providers=self._snapshot.providers) if provider else None
        return (provider, found) if provider and found else None


def _provider(snapshot: DataSnapshot, url: str, name: str) -> Provider | None:
    """A name must be exact: others than OpenAI have "openai" in theirs."""
    try:
        return snapshot.find_provider(None, None, url)
    except LookupError:
        named = (known for known in snapshot.providers if name.lower() in {known.id, known.name.lower()})
        return next(named, None)


def _paid(provider: Provider, model: ModelInfo, tokens: Tokens, at: float) -> Decimal | None:
    """None where something that was used has no price, or none that can be made out."""
    when = datetime.fromtimestamp(at, UTC)
    if not _is_priced(model, model.get_prices(when), tokens):
        return None
    try:
        priced = model.calc_price(_usage(tokens), provider, genai_request_timestamp=when)
    except ValueError:  # a model that counts apart what we count together
        return None
    return priced.total_price


def _is_priced(model: ModelInfo, price: ModelPrice, tokens: Tokens) -> bool:
    """Where the table has no price it would count as 0, and only of these names is that true."""
    if model.id.endswith(":free"):
        return True
    return not (tokens.prompt and price.input_mtok is None) and not (
        tokens.completion and price.output_mtok is None
    )


def _usage(tokens: Tokens) -> genai_prices.Usage:
    return genai_prices.Usage(
        input_tokens=tokens.prompt,
        output_tokens=tokens.completion,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        output_reasoning_tokens=tokens.reasoning,
    )
