"""What is left with a provider; and logins, of which there are none here."""

from collections.abc import Mapping
from typing import Literal, Never

from msgspec import Struct

from service.context import Caller, Context
from service.errors import BadRequest, NotFound, Unsupported
from service.handlers.clients import Clients
from service.providers.quotas import Quota
from service.routes import anyone, kept, route, user
from service.stores.ledger import Record

V2 = "/backend-api/v2"
SECONDS = 10
"""Web clients ask again after every answer."""


class Login(Struct):
    """A step of a login by OAuth's device flow: it is started, then polled for with the code that it gave."""

    action: Literal["start", "poll"] = "start"
    device_code: str | None = None


class Quotas:
    """quota, oauth."""

    def __init__(self, context: Context) -> None:
        self._auto, self._limiter, self._clients = context.auto, context.limiter, Clients(context)
        self.routes = {
            f"{V2}/quota/{{provider}}": route(GET=self.quota),
            f"{V2}/oauth/{{provider}}": route(GET=self.login_state, POST=self.login),
        }

    @kept(SECONDS)
    @anyone
    async def quota(self, provider: str, headers: Mapping[str, str], caller: Caller, record: Record) -> Quota:
        """What is left for the client's key with a provider; what ours has left only the operator is told.

        With AnyProvider it is what is left of the caller's own limits and budgets here.

        501 where the provider does not tell. No failure is a 401, for clients take that for their key's end:
        who needs a key here and has none is told nothing.
        """
        if caller.anonymous:
            return Quota()
        chosen = self._auto.named(provider)
        if chosen is self._auto and self._limiter.limits(record):
            return await self._limiter.quota(record, operator=caller.admin)
        keys = self._clients.brought(chosen.name, headers).keys
        if not caller.admin and chosen.name not in keys:
            return Quota()
        if (quota := await chosen.quota(keys)) is None:
            raise Unsupported(f"{chosen.label} does not tell what is left.", "provider")
        return quota

    @user
    async def login_state(self, provider: str, query: Login) -> dict[str, str]:
        """Always 404: no provider here has a login; give it a key instead."""
        self._refuse(provider, query)

    @user
    async def login(self, provider: str, body: Login) -> dict[str, str]:
        """Always 404: no provider here has a login; give it a key instead."""
        self._refuse(provider, body)

    def _refuse(self, provider: str, login: Login) -> Never:
        if login.action == "poll" and not login.device_code:
            raise BadRequest("device_code is required for poll action.", "device_code")
        label = self._auto.named(provider).label
        raise NotFound(f"Provider {label} does not support OAuth login. Use a key instead.", "provider")
