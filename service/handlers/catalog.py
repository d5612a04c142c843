"""What there is: the version, the providers, their models. All from memory, however slow a provider is."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from service.context import VERSION, Caller, Context
from service.errors import NotFound, ProviderNotFound
from service.handlers.cards import Card, Health, Offer, Provided, Status, Version
from service.handlers.clients import Clients
from service.handlers.headers import legacy, prefers_text
from service.messages import Allowed
from service.providers.custom import Custom
from service.providers.provider import Model, Provider
from service.providers.registry import Listing
from service.replies import Text
from service.routes import anyone, route

V2 = "/backend-api/v2"


class Ignoring(Struct):
    """`ignored`: names of providers to leave out, separated by blanks."""

    ignored: str = ""


class Format(Struct):
    """`format=array` gives the list that clients of before 2025-08-20 read."""

    format: str = ""


class Catalog:
    """version, providers, models, status, health."""

    def __init__(self, context: Context) -> None:
        self._registry, self._auto, self._clients = context.registry, context.auto, Clients(context)
        self._started_at = context.started_at
        self._legacy = context.settings.server.legacy
        self.routes = {
            f"{V2}/version": route(GET=self.version),
            f"{V2}/providers": route(GET=self.providers),
            f"{V2}/models": route(GET=self.models),
            f"{V2}/models/{{provider}}": route(GET=self.models_of),
            f"{V2}/status": route(GET=self.status),
            f"{V2}/health/{{provider}}": route(GET=self.health),
            f"{V2}/public-key": route(GET=self.public_key, POST=self.public_key),
            "/pa/providers": route(GET=self.provided),
        }

    @anyone
    async def version(self, headers: Mapping[str, str]) -> Version | Text:
        """The version, as JSON or, where the request prefers it, as text."""
        return Text("API Version: 2.0") if prefers_text(headers) else Version()

    @anyone
    async def providers(self, caller: Caller) -> list[Offer]:
        """The providers, the service's own choice first; what cannot answer now says why.

        These and their models are those that the caller's key is for.
        """
        return self._offers(caller.grant.allowed)

    @anyone
    async def models(
        self, query: Format, headers: Mapping[str, str], caller: Caller
    ) -> dict[str, list[str]] | list[Any]:
        """The ids of all known models by provider."""
        everything = self._known(caller.grant.allowed)
        known = {provider.name: [model.id for model in models] for provider, models in everything}
        if query.format != "array" and not legacy(headers, self._legacy):
            return known
        ids = dict.fromkeys(id for models in known.values() for id in models)
        return [
            {
                "name": id,
                **dict.fromkeys(("image", "vision", "audio", "video"), False),
                "providers": [name for name, models in known.items() if id in models],
            }
            for id in ids
        ]

    @anyone
    async def models_of(
        self, provider: str, query: Ignoring, headers: Mapping[str, str], caller: Caller
    ) -> list[Any]:
        """The models of a provider, in groups where the service chooses; of an unknown one none.

        In place of a provider a model's id may stand. `Custom` is asked at the address in x-api-base.
        """
        ignored = set((query.ignored or headers.get("x-ignored") or headers.get("x_ignored") or "").split())
        if provider in {self._auto.name, self._auto.label}:
            return self._groups(ignored, caller.grant.allowed)
        try:
            chosen = self._registry[provider]
        except ProviderNotFound:
            return self._named(provider, caller.grant.allowed)
        models = self._registry.listing(chosen.name).models or []
        if isinstance(chosen, Custom) and not caller.anonymous:  # nobody unknown sends us anywhere
            models = await self._models_at(chosen, headers)
        models = _permitted(models, chosen, caller.grant.allowed)
        return [Card.of(model, self._default(chosen, models)) for model in models]

    @anyone
    async def status(self) -> Status:
        """The service at a glance."""
        live = [provider for provider in self._registry if self._registry.listing(provider.name).live]
        return Status(
            version=VERSION,
            latest_version=VERSION,
            uptime_seconds=time.time() - self._started_at,
            total_providers=len(list(self._registry)),
            working_providers=len(live),
            total_models=sum(len(models) for _, models in self._known(Allowed())),
            timestamp=time.time(),
        )

    @anyone
    async def health(self, provider: str) -> Health:
        """Whether a provider answered when it was last asked; nobody is asked now."""
        for offer in self._offers(Allowed()):
            if provider in {offer.name, offer.label}:
                return Health(bool(offer.live), offer.reason or "ok", offer.url)
        raise ProviderNotFound(provider)

    @anyone
    async def public_key(self) -> dict[str, str]:
        """Always 404: web clients go on without the secret that it would serve to make."""
        raise NotFound("There is no demo mode here, so no secret is needed: send the request without one.")

    @anyone
    async def provided(self, caller: Caller) -> list[Provided]:
        """The live providers with their models."""
        return [
            Provided(provider.name, provider.label, provider.url, [model.id for model in models])
            for provider, models in self._known(caller.grant.allowed)
            if self._registry.listing(provider.name).live
        ]

    async def _models_at(self, custom: Custom, headers: Mapping[str, str]) -> list[Model]:
        """Those of the client's own upstream, as far as it names one."""
        brought = self._clients.brought(custom.name, headers)
        return await custom.models_at(brought.base_url, brought.keys) if brought.base_url else []

    def _offers(self, allowed: Allowed) -> list[Offer]:
        listings = [
            (provider, self._registry.listing(provider.name))
            for provider in self._registry
            if allowed.has_provider(provider.name)
        ]
        live = sum(listing.live for provider, listing in listings if not provider.on_request)
        return [
            Offer.of(self._auto, live, None if live else "No provider is live."),
            *(self._offer(provider, listing) for provider, listing in listings),
        ]

    def _offer(self, provider: Provider, listing: Listing) -> Offer:
        if provider.on_request:  # how one client's upstream fares is nothing to another's
            return Offer.of(provider, int(listing.live), listing.reason)
        circuit = self._auto.circuit(provider)
        return Offer.of(provider, int(listing.live), listing.reason or circuit.reason, circuit.state)

    def _known(self, allowed: Allowed) -> Iterator[tuple[Provider, list[Model]]]:
        for provider in self._registry:
            models = self._registry.listing(provider.name).models
            if models is not None and allowed.has_provider(provider.name):
                yield provider, _permitted(models, provider, allowed)

    def _groups(self, ignored: set[str], allowed: Allowed) -> list[dict[str, Any]]:
        default = self._auto.choice_of_model(frozenset(ignored), allowed)
        aliases = self._auto.offered(frozenset(ignored), allowed)
        cards = [Card.of(Model(name), default, count) for name, count in aliases.items()]
        live = [
            {
                "group": provider.label,
                "models": [Card.of(model, default, self._count(model.id, allowed)) for model in models],
            }
            for provider, models in self._known(allowed)
            if provider.name not in ignored and self._registry.listing(provider.name).live
        ]
        return [{"group": "Aliases", "models": cards}, *live] if cards else live

    def _named(self, id: str, allowed: Allowed) -> list[Card]:
        if count := self._auto.offered(allowed=allowed).get(id):
            return [Card.of(Model(id), id, count)]
        found = [model for _, models in self._known(allowed) for model in models if model.id == id]
        return [Card.of(found[0], id, len(found))] if found else []

    def _count(self, id: str, allowed: Allowed) -> int:
        return sum(any(model.id == id for model in models) for _, models in self._known(allowed))

    @staticmethod
    def _default(provider: Provider, models: list[Model]) -> str | None:
        return provider.default_model or (models[0].id if models else None)


def _permitted(models: list[Model], provider: Provider, allowed: Allowed) -> list[Model]:
    """Those that somebody's key is for."""
    return [model for model in models if allowed.has(provider.name, model.id)]
