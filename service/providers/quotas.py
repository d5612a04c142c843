"""What is left with a provider that says so: credits, or a balance.

Source: OpenRouter's API reference, "Get current API key" and "Get remaining credits"; DeepSeek's, "Get user
balance".
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from msgspec import Struct

from service.errors import ProviderAuth

Read: TypeAlias = Callable[[str, type[Any]], Awaitable[Any]]
"""What lies at a path after the provider's url, as a type; raises `ServiceError`."""


class Credits(Struct, frozen=True):
    """In US dollars."""

    remaining: float
    total: float


class Used(Struct, frozen=True):
    """0 to 100."""

    used_percent: float


class Quota(Struct, frozen=True, omit_defaults=True):
    """What is left, as web clients read it; empty where nothing limits it, or nobody may know."""

    credits: Credits | None = None
    balance: float | None = None
    currency: str | None = None
    session_usage: Used | None = None
    """Of what a minute allows."""


class _Limits(Struct):
    limit: float | None = None
    limit_remaining: float | None = None


class _Key(Struct):
    data: _Limits


class _Totals(Struct):
    total_credits: float
    total_usage: float


class _Account(Struct):
    data: _Totals


class _Amount(Struct):
    currency: str
    total_balance: Decimal


class _Balance(Struct):
    balance_infos: list[_Amount]


async def openrouter(read: Read) -> Quota:
    """What the key may still spend; for a key without a limit, what its account has."""
    key = (await read("/key", _Key)).data
    if key.limit is not None and key.limit_remaining is not None:
        return Quota(Credits(key.limit_remaining, key.limit))
    try:
        account = (await read("/credits", _Account)).data
    except ProviderAuth:  # only keys that manage others may ask
        return Quota()
    return Quota(Credits(account.total_credits - account.total_usage, account.total_credits))


async def deepseek(read: Read) -> Quota:
    """The balance; of several the one in dollars."""
    amounts = (await read("/user/balance", _Balance)).balance_infos
    for amount in sorted(amounts, key=lambda amount: amount.currency != "USD"):
        return Quota(balance=float(amount.total_balance), currency=amount.currency)
    return Quota()


QUOTAS: Mapping[str, Callable[[Read], Awaitable[Quota]]] = {"openrouter": openrouter, "deepseek": deepseek}
"""By what a row has for `quota`."""
