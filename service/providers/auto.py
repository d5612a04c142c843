"""`AnyProvider`: who may answer where no provider is named, and what the names of models mean there."""

import math
import random
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Never

from service.errors import ModelNotAllowed, ModelNotFound, ServiceError, Unavailable
from service.messages import Allowed, Ask
from service.providers.circuit import Circuit
from service.providers.provider import Provider
from service.providers.registry import Registry
from service.providers.routing import Route, Target
from service.settings import Alias, Routing
from service.settings import Target as Named
from service.telemetry import Metrics

NAME = "AnyProvider"
EVERYTHING = Allowed()
UNDECIDED = frozenset({None, "", "auto"})
"""Names of models that leave the choice to the service."""


class Auto(Provider):
    """Makes routes; by itself it is what a missing, null or empty provider means."""

    name, label = NAME, "Auto"

    def __init__(
        self,
        registry: Registry,
        aliases: Sequence[Alias],
        default_model: str,
        routing: Routing,
        metrics: Metrics,
    ) -> None:
        self._registry, self._routing, self._metrics = registry, routing, metrics
        self.aliases = {alias.name: alias for alias in aliases}
        self.default_model = None if default_model in UNDECIDED else default_model
        self._circuits: dict[str, Circuit] = {}
        for provider in registry:
            self.circuit(provider)

    def circuit(self, provider: Provider) -> Circuit:
        if provider.name not in self._circuits:
            self._circuits[provider.name] = Circuit(provider.name, self._routing, self._metrics)
        return self._circuits[provider.name]

    def named(self, name: str | None) -> Provider:
        """Who is asked for under this name or label; raises `ProviderNotFound`."""
        return self if name in {None, "", self.name, self.label} else self._registry[name or ""]

    async def route(self, provider: Provider, ask: Ask) -> Route:
        """Who may answer, in order: the named provider, or as many as there are.

        Raises `ModelNotFound`, `ModelNotAllowed`, or `Unavailable` where nobody is there.
        """
        alias = None
        if provider is not self:
            targets = [self._chosen(provider, ask.model, ask)]
        else:
            await self._registry.probed.wait()
            model = self.default_model if ask.model in UNDECIDED else ask.model
            alias = self.aliases.get(model or "")
            targets = self._meant(alias, ask) if alias else self._found(model, ask)
        targets = _permitted(targets, ask, alias)
        continuation = alias is not None and alias.continuation
        return Route(provider.name, targets, patience=self._routing.patience, continuation=continuation)

    def choice_of_model(self, ignored: frozenset[str], allowed: Allowed) -> str | None:
        """The model that answers when none is named, or an alias; None where nobody is live."""
        if self.default_model in self.aliases:
            return self.default_model
        try:
            ask = Ask(messages=[], ignored=ignored, allowed=allowed)
            return _permitted(self._found(self.default_model, ask), ask)[0].model
        except ServiceError:
            return None

    def offered(self, ignored: frozenset[str] = frozenset(), allowed: Allowed = EVERYTHING) -> dict[str, int]:
        """The aliases behind which somebody is live, and how many providers that are."""
        ask = Ask(messages=[], ignored=ignored)
        live = {provider.name for provider in self._registry if self._may_answer(provider, ask)}
        behind = {
            alias.name: live
            & {
                target.provider
                for target in alias.targets
                if _permits(allowed, target.provider, target.model, alias)
            }
            for alias in self.aliases.values()
        }
        return {name: len(providers) for name, providers in behind.items() if providers}

    def _chosen(self, provider: Provider, model: str | None, ask: Ask) -> Target:
        """A provider that is named, with a model that it has as far as its list is known."""
        listing = self._registry.listing(provider.name)
        if model in UNDECIDED and not listing.has(model or ""):
            return self._target(provider, None, ask)
        if model is not None and listing.has(model) is False:
            raise ModelNotFound(model, provider.name)
        return self._target(provider, model, ask)

    def _found(self, model: str | None, ask: Ask) -> list[Target]:
        """Those who list the model, then those who list nothing; without a model everybody with his own."""
        asked = self._registry if ask.keys else self._registry.live
        live = [provider for provider in asked if self._may_answer(provider, ask)]
        if model is None:
            targets = [self._target(provider, None, ask) for provider in live]
            return [target for target in targets if target.model] or targets or self._nobody()
        has = {provider.name: self._registry.listing(provider.name).has(model) for provider in live}
        found = [provider for sure in (True, None) for provider in live if has[provider.name] is sure]
        name, _, rest = model.partition("/")
        if rest and name in self._registry and True not in has.values():
            return [self._chosen(self._registry[name], rest, ask)]
        if live and not found:
            raise ModelNotFound(model, self.label)
        return [self._target(provider, model, ask) for provider in found] or self._nobody()

    def _meant(self, alias: Alias, ask: Ask) -> list[Target]:
        """An alias' targets; those that are not live only where none of them is."""
        there = [
            (self._registry[target.provider], target.model)
            for target in drawn(alias.targets)
            if target.provider in self._registry and target.provider not in ask.ignored
        ]
        live = [(provider, model) for provider, model in there if self._may_answer(provider, ask)]
        return [self._target(provider, model, ask) for provider, model in live or there] or self._nobody()

    def _may_answer(self, provider: Provider, ask: Ask) -> bool:
        """Who lacks nothing but a key may answer with the client's."""
        with_key = provider.name in ask.keys and provider.obstacle() is not None
        live = self._registry.listing(provider.name).live or with_key
        return live and provider.name not in ask.ignored and not provider.on_request

    def _target(self, provider: Provider, model: str | None, ask: Ask) -> Target:
        """Without a model the provider's own choice, or the first that whoever asks may have."""
        models = [known.id for known in self._registry.listing(provider.name).models or ()]
        default = provider.default_model or (models[0] if models else None)
        if not ask.allowed.has_model(default):
            default = next(filter(ask.allowed.has_model, models), default)
        return Target(provider, model or default, self.circuit(provider))

    def _nobody(self) -> Never:
        raise Unavailable(
            "No provider is live. Enable the embedded model, set a provider's key, or start a local one;"
            " GET /backend-api/v2/providers says what each of them needs."
        )


def _permitted(targets: list[Target], ask: Ask, alias: Alias | None = None) -> list[Target]:
    """Those that whoever asks may have, of whom there is one; raises `ModelNotAllowed`."""
    found = [target for target in targets if _permits(ask.allowed, target.provider.name, target.model, alias)]
    if not found:
        raise ModelNotAllowed(targets[0].model, targets[0].provider.label)
    return found


def _permits(allowed: Allowed, provider: str, model: str | None, alias: Alias | None) -> bool:
    """Whoever may have an alias may have what it stands for, from providers that are for him."""
    by_name = allowed.has_model(model) or (alias is not None and allowed.has_model(alias.name))
    return by_name and allowed.has_provider(provider)


def drawn(targets: Sequence[Named]) -> Iterator[Named]:
    """The targets in order, but that those with weights share the places of their neighbours by lot.

    Each place goes to one of those that are left with a chance that is its part of their weights
    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
    """
    for _, group in groupby(targets, lambda target: target.weight is None):
        yield from sorted(group, key=_lot, reverse=True)


def _lot(target: Named) -> float:
    return 0.0 if target.weight is None else math.pow(random.random(), 1 / target.weight)
