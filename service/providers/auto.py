"""`AnyProvider`: the first provider that is there and has the model."""

from collections.abc import Iterator

import msgspec

from service.errors import ModelNotFound, ServiceError, Unavailable
from service.messages import Ask
from service.providers.provider import Append, Provider
from service.providers.registry import Registry

NAME = "AnyProvider"


class Auto(Provider):
    """Chooses among `registry`, in its order; what a missing, null or empty provider means."""

    name, label = NAME, "Auto"

    def __init__(self, registry: Registry, default_model: str | None) -> None:
        self._registry = registry
        self.default_model = default_model

    async def check(self, ask: Ask) -> None:
        await self._registry.probed.wait()
        provider, ask = self._choice(ask)
        await provider.check(ask)

    async def pump(self, ask: Ask, append: Append) -> None:
        provider, ask = self._choice(ask)
        await provider.pump(ask, append)

    def _choice(self, ask: Ask) -> tuple[Provider, Ask]:
        """Who answers, with which model. Raises `ModelNotFound`, or `Unavailable` when nobody is there."""
        live = list(self._live(ask))
        if not live:
            raise Unavailable(
                "No provider is live. Enable the embedded model, set a provider's key, or start a local one;"
                " GET /backend-api/v2/providers says what each of them needs."
            )
        model = ask.model or self.default_model
        if model is None:
            return live[0], msgspec.structs.replace(ask, model=self._default(live[0]))
        for sure in (True, None):  # first those that list the model, then those that list nothing
            for provider in live:
                if self._registry.listing(provider.name).has(model) is sure:
                    return provider, msgspec.structs.replace(ask, model=model)
        raise ModelNotFound(model, self.label)

    def choice_of_model(self, ignored: frozenset[str]) -> str | None:
        """The model that answers when none is named; None where nobody is live."""
        try:
            return self._choice(Ask(messages=[], ignored=ignored))[1].model
        except ServiceError:
            return None

    def _live(self, ask: Ask) -> Iterator[Provider]:
        for provider in self._registry:
            if provider.name not in ask.ignored and self._registry.listing(provider.name).live:
                yield provider

    def _default(self, provider: Provider) -> str | None:
        models = self._registry.listing(provider.name).models
        return provider.default_model or (models[0].id if models else None)
