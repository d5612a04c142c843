"""What tokens cost: the operator's prices, nothing on this machine, those of the table; or nobody knows."""

import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime

import pytest

from service.settings import Price, ProviderRow
from service.stores.prices import DEAREST, FREE, NO_PRICE, Cost, Prices, Tokens

CENT = 10_000_000
"""In billionths of a US dollar."""
MILLION = 1_000_000
LATELY = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
OPENAI = ProviderRow("OpenAI", "https://api.openai.com/v1", key="KEY")
ANTHROPIC = ProviderRow("Anthropic", "https://api.anthropic.com/v1", key="KEY")
GATEWAY = ProviderRow("Gateway", "https://models.example/v1", key="KEY")
OLLAMA = ProviderRow("Ollama", "http://127.0.0.1:11434", local=True)


def prices(*rows: ProviderRow) -> Prices:
    return Prices(rows, rows)


def own(row: ProviderRow, **by: Price) -> Prices:
    """The operator has written prices into this row; `any` is "*"."""
    written = {"*" if name == "any" else name: price for name, price in by.items()}
    return prices(ProviderRow(row.name, row.url, key=row.key, local=row.local, prices=written))


async def cost(prices: Prices, provider: str, *models: str, **tokens: int) -> Cost:
    counted = Tokens(**({"prompt": 0, "completion": 0} | tokens))
    return await prices.of(provider, models, counted, LATELY)


async def test_the_operators_price_is_exact() -> None:
    small = own(GATEWAY, small=Price(0.15, 0.6, cached=0.075, cache_write=0.2))
    found = await cost(
        small, "Gateway", "small", prompt=1_000_003, completion=7, cached=500_001, cache_write=2
    )
    assert found == Cost(500_000 * 150 + 500_001 * 75 + 2 * 200 + 7 * 600, "settings")


async def test_what_has_no_price_of_its_own_costs_what_the_prompt_does() -> None:
    small = own(GATEWAY, small=Price(2, 8))
    found = await cost(small, "Gateway", "small", prompt=10, cached=4, cache_write=3, completion=1)
    assert found == Cost(10 * 2_000 + 8_000, "settings")


@pytest.mark.parametrize(("tokens", "amount"), [(1, 0), (5, 1), (14, 1), (15, 2)])
async def test_it_is_rounded_once_and_a_half_goes_up(tokens: int, amount: int) -> None:
    assert await cost(own(GATEWAY, any=Price(0.0001, 0)), "Gateway", "m", prompt=tokens) == Cost(
        amount, "settings"
    )


async def test_any_model_means_those_that_have_no_price() -> None:
    both = own(GATEWAY, small=Price(1, 1), any=Price(5, 5))
    assert (await cost(both, "Gateway", "small", prompt=MILLION)).amount == 100 * CENT
    assert (await cost(both, "Gateway", "other", prompt=MILLION)).amount == 500 * CENT
    assert (await cost(both, "Gateway", "other", "small", prompt=MILLION)).amount == 100 * CENT


async def test_a_renamed_model_is_priced_by_either_name() -> None:
    for name in ("small", "acme/small-7b"):
        row = ProviderRow(
            "Gateway",
            "https://models.example/v1",
            key="KEY",
            renamed={"small": "acme/small-7b"},
            prices={name: Price(1, 1)},
        )
        assert (await cost(prices(row), "Gateway", "small", prompt=1)).amount == 1_000
    renamed = ProviderRow("OpenAI", OPENAI.url, key="KEY", renamed={"gpt-4o": "gpt-4o-mini"})
    assert (await cost(prices(renamed), "OpenAI", "gpt-4o", prompt=MILLION)).amount == 15 * CENT


async def test_this_machine_costs_nothing_unless_the_operator_says_so() -> None:
    assert await cost(prices(OLLAMA), "Ollama", "gpt-4o", prompt=MILLION) == FREE
    assert (await cost(own(OLLAMA, any=Price(1, 1)), "Ollama", "gpt-4o", prompt=1)).price == "settings"


@pytest.mark.parametrize(
    ("row", "model", "tokens", "cents"),
    [
        (OPENAI, "gpt-4o-mini", {"prompt": MILLION}, 15),
        (OPENAI, "gpt-4o-mini", {"prompt": MILLION, "cached": MILLION}, 7.5),
        (OPENAI, "gpt-4o-mini-2024-07-18", {"completion": MILLION}, 60),
        (OPENAI, "gpt-4o-mini", {"completion": MILLION, "reasoning": MILLION // 2}, 60),
        (OPENAI, "text-embedding-3-small", {"prompt": MILLION}, 2),
        (ANTHROPIC, "claude-sonnet-4-5", {"prompt": 100_000, "cached": 40_000, "cache_write": 30_000}, 21.45),
    ],
    ids=str,
)
async def test_the_table_knows_what_providers_take(
    row: ProviderRow, model: str, tokens: dict[str, int], cents: float
) -> None:
    found = await cost(prices(row), row.name, model, **tokens)
    assert found.amount == cents * CENT
    assert found.price
    assert found.price.startswith("genai-prices ")


async def test_a_provider_elsewhere_is_known_by_its_exact_name() -> None:
    behind = ProviderRow("OpenAI", "https://gateway.example/v1", key="KEY")
    clone = ProviderRow("NotOpenAI", "https://gateway.example/v1", key="KEY")
    assert (await cost(prices(behind), "OpenAI", "gpt-4o-mini", prompt=MILLION)).amount == 15 * CENT
    assert await cost(prices(clone), "NotOpenAI", "gpt-4o-mini", prompt=MILLION) == NO_PRICE


async def test_the_model_that_was_asked_is_the_second_try() -> None:
    found = await cost(prices(OPENAI), "OpenAI", "a-name-of-tomorrow", "gpt-4o-mini", prompt=MILLION)
    assert found.amount == 15 * CENT


async def test_names_that_clients_make_up_take_no_memory() -> None:
    known = prices(OPENAI)
    await cost(known, "OpenAI", "gpt-4o-mini", prompt=1)
    tracemalloc.start()
    try:
        for number in range(100):
            assert await cost(known, "OpenAI", f"{number}" + "x" * 100_000, prompt=1) == NO_PRICE
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("Gateway", "gpt-4o", {"prompt": 1}),
        ("OpenAI", "nobody-knows-this", {"prompt": 1}),
        ("OpenAI", "text-embedding-3-small", {"prompt": 1, "completion": 1}),
        ("Nobody", "gpt-4o", {"prompt": 1}),
        ("OpenAI", "", {"prompt": 1}),
        ("OpenAI", "gpt-4o", {"prompt": 10**15}),
    ],
    ids=str,
)
async def test_what_nobody_knows_is_unpriced_and_never_nothing(
    provider: str, model: str, tokens: dict[str, int]
) -> None:
    assert await cost(prices(OPENAI, GATEWAY), provider, model, **tokens) == NO_PRICE


async def test_what_nobody_has_counted_is_unpriced() -> None:
    for written in (prices(OPENAI), own(OPENAI, any=Price(1, 1))):
        assert await written.of("OpenAI", ["gpt-image-1"], None, LATELY) == NO_PRICE
    assert await prices(OLLAMA).of("Ollama", ["painter"], None, LATELY) == FREE


async def test_parts_that_are_larger_than_the_whole_are_fitted() -> None:
    found = await cost(prices(OPENAI), "OpenAI", "gpt-4o-mini", prompt=10, cached=40, cache_write=5)
    assert found.amount == 10 * 75
    found = await cost(own(GATEWAY, any=Price(1, 1)), "Gateway", "m", prompt=10, cached=40, cache_write=5)
    assert found.amount == 10 * 1_000


async def test_a_price_holds_from_its_day_on() -> None:
    """Long prompts have cost twice as much until this day."""
    openings = [datetime(2026, 3, day, tzinfo=UTC).timestamp() for day in (12, 14)]
    before, after = [
        await prices(ANTHROPIC).of("Anthropic", ["claude-sonnet-4-6"], Tokens(300_000, 0), at)
        for at in openings
    ]
    assert before.amount
    assert after.amount
    assert before.amount == 2 * after.amount


async def test_a_sum_that_no_database_can_hold_is_none() -> None:
    dear = own(GATEWAY, any=Price(MILLION, MILLION))
    assert (await cost(dear, "Gateway", "m", prompt=MILLION)).amount == DEAREST
    assert await cost(dear, "Gateway", "m", prompt=MILLION + 1) == NO_PRICE


async def test_without_the_table_what_others_answer_has_no_price(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "service.stores.price_table", None)
    both = prices(OPENAI, OLLAMA)
    assert await cost(both, "OpenAI", "gpt-4o-mini", prompt=1) == NO_PRICE
    assert await cost(both, "Ollama", "small", prompt=1) == FREE
    assert "what OpenAI takes could not be looked up" in caplog.text


LAZY = """
import asyncio, sys
from service.settings import ProviderRow
from service.stores.prices import Prices, Tokens

rows = [ProviderRow("Here", "http://127.0.0.1/v1", local=True), ProviderRow("There", "https://a.example/v1")]

async def main():
    for row in rows:
        cost = await Prices(rows, rows).of(row.name, ["m"], Tokens(1, 1), 0.0)
        print(cost.price, "genai_prices" in sys.modules)

asyncio.run(main())
"""


def test_the_table_is_loaded_for_who_is_elsewhere_alone() -> None:
    said = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["local", "False", "unpriced", "True"]
