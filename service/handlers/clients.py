"""What clients bring of their own, keys and upstreams, as far as the operator allows it ([clients])."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from service.context import Context
from service.errors import BadRequest, Forbidden, ProviderNotFound
from service.providers.custom import NAME, Custom
from service.providers.provider import Provider
from service.settings import Secrets
from service.stores.keys import FORM

Key: TypeAlias = str | dict[str, str | None] | None
"""A key for the provider that the request names, or keys by the names of their providers."""

PRINTABLE = re.compile(r"[\x21-\x7e]{1,4096}")


class Brought(Struct, frozen=True):
    """Who is asked, with which of the client's keys, and where the client's own upstream lies."""

    provider: str | None
    keys: Secrets
    base_url: str | None


class Clients:
    """Reads what requests bring. Web clients send their fields always: what is not allowed has no effect.

    A key of this service's own is nobody else's: it reaches no provider, by whatever mistake it is sent.
    """

    def __init__(self, context: Context) -> None:
        self._registry = context.registry
        self._keys_allowed = context.settings.clients.keys

    def brought(
        self, provider: str | None, headers: Mapping[str, str], key: Key = None, base_url: str | None = None
    ) -> Brought:
        """In place of a provider the address of an upstream may stand. Raises `BadRequest`.

        Raises `Forbidden` where an upstream is named and may not be: no other one must answer instead.
        """
        if provider and provider.startswith(("http://", "https://")):
            provider, base_url = NAME, provider
        chosen = self._provider(provider)
        if chosen is None and provider in {NAME, Custom.label}:
            raise Forbidden(
                "Clients may not name an upstream here. Choose one of GET /backend-api/v2/providers,"
                " or ask the operator to set clients.upstreams."
            )
        keys = key if isinstance(key, dict) else {provider or "": key or sent(headers, "x-api-key")}
        own = isinstance(chosen, Custom)
        return Brought(provider, self._keys(keys), (base_url or sent(headers, "x-api-base")) if own else None)

    def _keys(self, brought: Mapping[str, str | None]) -> Secrets:
        """Those that count, by their providers' names; one for the client's own upstream always does."""
        keys = {}
        for name, key in brought.items():
            provider = self._provider(name)
            allowed = provider and (self._keys_allowed or isinstance(provider, Custom))
            if provider and allowed and key and key.strip() and not FORM.fullmatch(key.strip()):
                keys[provider.name] = _checked(key.strip())
        return Secrets(keys)

    def _provider(self, name: str | None) -> Provider | None:
        """None where the service chooses, or will not find it."""
        try:
            return self._registry[name] if name else None
        except ProviderNotFound:
            return None


def sent(headers: Mapping[str, str], name: str) -> str | None:
    """A header; web clients of before 2025-09 spell it with underscores."""
    return headers.get(name) or headers.get(name.replace("-", "_"))


def _checked(key: str) -> str:
    if PRINTABLE.fullmatch(key):
        return key
    raise BadRequest("A provider's key has printable ASCII characters only. Copy it again.", "api_key")
