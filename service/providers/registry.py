"""All providers by name, and a snapshot of what each offers: no request ever waits for a slow one."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property

from msgspec import Struct

from service.errors import ProviderNotFound, ServiceError
from service.providers.provider import Model, Provider
from service.tasks import Tasks
from service.telemetry import Metrics

log = logging.getLogger(__name__)

LOCAL_REFRESH = 0.1
"""A program on this machine is started and stopped by hand, so it is looked for more often."""
REMOTE_PATIENCE = 5.0
"""How much longer a remote list of models may take than a local one: some are large."""


class Listing(Struct, frozen=True, dict=True):
    """What was last heard of a provider; `models` None where it lists none, `reason` None where it lives."""

    models: list[Model] | None
    live: bool
    reason: str | None = None

    def has(self, model: str) -> bool | None:
        """None where nobody can say."""
        return None if self._ids is None else model in self._ids

    @cached_property
    def _ids(self) -> frozenset[str] | None:
        """Every question looks for its model, and some providers have hundreds."""
        return None if self.models is None else frozenset(model.id for model in self.models)


class Registry:
    """Providers in their order; `refresh` and `probe_timeout` are in seconds."""

    def __init__(
        self, providers: Sequence[Provider], metrics: Metrics, *, refresh: float, probe_timeout: float
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._metrics = metrics
        self._refresh, self._probe_timeout = refresh, probe_timeout
        self._listings = {provider.name: _unheard(provider) for provider in providers}
        self.live = self._living()
        """Those that are live, in their order."""
        self.probed = asyncio.Event()
        """Every local provider was asked once."""

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())

    def __contains__(self, name: str) -> bool:
        """By name alone."""
        return name in self._providers

    def __getitem__(self, name: str) -> Provider:
        """By name or label; raises `ProviderNotFound`."""
        if name in self:
            return self._providers[name]
        for provider in self:
            if name == provider.label:
                return provider
        raise ProviderNotFound(name)

    def listing(self, name: str) -> Listing:
        return self._listings[name]

    async def open(self, tasks: Tasks) -> None:
        """Opens the providers and begins to ask for their models, in the background."""
        for provider in self:
            await provider.open(tasks)
        tasks.start(self._keep_fresh(local=True), "models of local providers")
        tasks.start(self._keep_fresh(local=False), "models of remote providers")

    async def close(self) -> None:
        for provider in self:
            await provider.close()

    async def _keep_fresh(self, local: bool) -> None:
        providers = [provider for provider in self if provider.local is local]
        pause = self._refresh * (LOCAL_REFRESH if local else 1)
        while True:
            await asyncio.gather(*(self._ask(provider) for provider in providers))
            if local:
                self.probed.set()
            await asyncio.sleep(pause)

    async def _ask(self, provider: Provider) -> None:
        listing = await self._heard(provider)
        if self.probed.is_set() and self._listings[provider.name].live != listing.live:
            log.info("%s is %s", provider.label, "live" if listing.live else f"not live: {listing.reason}")
        self._listings[provider.name] = listing
        self.live = self._living()
        self._metrics.provider_up.labels(provider.name).set(listing.live)

    def _living(self) -> list[Provider]:
        return [provider for provider in self if self._listings[provider.name].live]

    async def _heard(self, provider: Provider) -> Listing:
        """What it offers now; while it is away, what it offered last."""
        known = self._listings[provider.name].models
        if obstacle := provider.obstacle():
            return Listing(known, False, obstacle)
        try:
            async with asyncio.timeout(self._probe_timeout * (1 if provider.local else REMOTE_PATIENCE)):
                return Listing(await provider.models(), True)
        except ServiceError as error:
            return Listing(known, False, error.message)
        except TimeoutError:
            return Listing(known, False, f"{provider.label} did not list its models in time.")
        except Exception:  # whatever one of them does, the others are asked again
            log.exception("%s could not be asked for its models", provider.label)
            return Listing(known, False, f"{provider.label} could not be asked; the service's log says why.")


def _unheard(provider: Provider) -> Listing:
    """A local provider is live once it answers; a remote one that has its key until it fails to."""
    reason = provider.obstacle() or (f"{provider.label} was not asked yet." if provider.local else None)
    return Listing(None, reason is None, reason)
