"""`Custom`: an OpenAI-compatible upstream that the client names, where the operator allows it."""

import asyncio

import aiohttp
from aiohttp import SocketFactoryType
from aiohttp.abc import AbstractResolver

from service.errors import Forbidden, ProviderTimeout, ServiceError
from service.events import Answerer, Chosen
from service.messages import Ask
from service.providers.addresses import Refused, address_of, is_named, public_socket
from service.providers.answers import Client
from service.providers.compatible import Compatible
from service.providers.provider import Append, Model, Provider
from service.providers.session import Session
from service.providers.upstream import Deadlines
from service.settings import ProviderRow, Secrets
from service.tasks import Tasks

NAME = "Custom"


class Custom(Provider):
    """Asks where the client says, with the client's key or none: no key of ours is known here.

    It connects to public addresses only, but for the `hosts` that the operator has named, and never through a
    proxy, which would look names up by itself.
    """

    name, label = NAME, "Custom Provider"
    on_request = True

    def __init__(
        self,
        hosts: tuple[str, ...],
        deadlines: Deadlines,
        connections: int,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._hosts, self._deadlines = hosts, deadlines
        self._public = _Elsewhere(deadlines, connections, public_socket, resolver)
        self._named = _Elsewhere(deadlines, connections, None, resolver)

    async def open(self, tasks: Tasks) -> None:
        await self._public.open(tasks)
        await self._named.open(tasks)

    async def close(self) -> None:
        await self._public.close()
        await self._named.close()

    async def check(self, ask: Ask) -> None:
        address_of(ask.base_url)

    async def pump(self, ask: Ask, append: Append) -> None:
        await self._way(ask.base_url).pump(ask, append)

    async def models_at(self, base_url: str, keys: Secrets) -> list[Model]:
        """The models of the upstream there; raises `ServiceError`."""
        try:
            async with asyncio.timeout(self._deadlines.connect):
                return await self._way(base_url).models_at(base_url, keys)
        except TimeoutError as error:
            raise ProviderTimeout(f"{self.label} did not list its models in time. Try again.") from error

    def _way(self, base_url: str | None) -> "_Elsewhere":
        return self._named if is_named(address_of(base_url), self._hosts) else self._public


class _Elsewhere(Compatible):
    """Whatever is at the address that the question names, through sockets of one kind."""

    def __init__(
        self,
        deadlines: Deadlines,
        connections: int,
        sockets: SocketFactoryType | None,
        resolver: AbstractResolver | None,
    ) -> None:
        row = ProviderRow(NAME, "", Custom.label, proxy=False)
        super().__init__(row, deadlines=deadlines, connections=connections)
        self._sockets, self._resolver = sockets, resolver

    def _opened(self) -> Client:
        connector = aiohttp.TCPConnector(
            limit=self._connections, socket_factory=self._sockets, resolver=self._resolver
        )
        return Session(connector, self._deadlines.connect)

    def chosen(self, model: str | None) -> Chosen:
        return Chosen(Answerer(self.name, None, self.label, model))

    def _base(self, ask: Ask) -> str:
        return _base(ask.base_url)

    async def models_at(self, base_url: str, keys: Secrets) -> list[Model]:
        return [model.model() for model in await self._listed_at(_base(base_url), keys) or ()]

    def _in_words(self, error: aiohttp.ClientError | OSError, base: str) -> ServiceError:
        # aiohttp itself refuses 127.1 and other numbers that are no address as it should be written.
        refused = isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, Refused)
        if refused or isinstance(error, aiohttp.InvalidURL):
            return Forbidden(
                f"{base} has no public address, so it is not asked. The operator may name its host"
                " in clients.upstream_hosts.",
                "base_url",
            )
        return super()._in_words(error, base)


def _base(base_url: str | None) -> str:
    return str(address_of(base_url)).rstrip("/")
