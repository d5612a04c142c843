"""Who can do something beside chatting: a provider with a method for it, and with the model."""

from collections.abc import Iterator
from typing import Any

from service.errors import ModelNotAllowed, ModelNotFound, Unavailable
from service.messages import Allowed
from service.providers.provider import Provider
from service.providers.registry import Registry


class Skills:
    """What providers can, by the names of their methods."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def able(
        self, skill: str, provider_name: str | None, model: str | None, allowed: Allowed
    ) -> tuple[Provider, Any]:
        """The first that can, with its method, and has the model or lists none.

        Raises `ModelNotFound`, `ModelNotAllowed` or `Unavailable`.
        """
        could = list(self._who_can(provider_name, skill))
        if not could:
            raise Unavailable("No live provider can do this; GET /backend-api/v2/providers lists them.")
        able = [(provider, method) for provider, method in could if allowed.has(provider.name, model)]
        if not able:
            raise ModelNotAllowed(model, could[0][0].label)
        if model is None:
            return able[0]
        for sure in (True, None):
            for provider, method in able:
                if self._registry.listing(provider.name).has(model) is sure:
                    return provider, method
        raise ModelNotFound(model, provider_name or "AnyProvider")

    def _who_can(self, name: str | None, skill: str) -> Iterator[tuple[Provider, Any]]:
        for provider in [self._registry[name]] if name else self._registry:
            if (name or self._registry.listing(provider.name).live) and hasattr(provider, skill):
                yield provider, getattr(provider, skill)
