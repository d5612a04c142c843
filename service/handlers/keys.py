"""Keys, for whoever runs the service: made, listed, ended. The command line does the same."""

from typing import Any, Literal

from msgspec import Struct

from service.context import Context
from service.messages import Allowed
from service.routes import admin, route
from service.stores.keys import Budget, Grant, Key, Limits, Role

V2 = "/backend-api/v2"


class Wanted(Struct):
    """A key to be made: whose it is, and what for; `expires_at` in UTC seconds since 1970.

    `models`, of which aliases are some, and `providers` are the only ones that it is for; null: all. In
    `limits` and `budget` (US dollars) null is no limit.
    """

    user: str
    role: Role = "user"
    name: str = ""
    expires_at: float | None = None
    models: frozenset[str] | None = None
    providers: frozenset[str] | None = None
    limits: Limits = Limits()
    budget: Budget = Budget()


class Told(Struct):
    """A key without its secret; `over` says why it opens nothing any more."""

    id: str
    user: str
    role: Role
    name: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    over: Literal["revoked", "expired"] | None
    models: list[str] | None
    providers: list[str] | None
    limits: Limits
    budget: Budget


class Made(Told, kw_only=True):
    """A key with its text, which is told this once."""

    key: str


class Administration:
    """keys."""

    def __init__(self, context: Context) -> None:
        self._keys, self._registry = context.keys, context.registry
        self.routes = {
            f"{V2}/keys": route(GET=self.keys, POST=self.make),
            f"{V2}/keys/{{id}}": route(DELETE=self.revoke),
            f"{V2}/keys/{{id}}/rotate": route(POST=self.rotate),
        }

    @admin
    async def keys(self) -> list[Told]:
        """All keys, the oldest first; those that are over too."""
        return [Told(**_told(key)) for key in self._keys]

    @admin
    async def make(self, body: Wanted) -> Made:
        """Makes a key. The first one closes the service: from then on nobody is served without."""
        providers = body.providers and frozenset(self._registry[name].name for name in body.providers)
        grant = Grant(Allowed(providers, body.models), body.limits, body.budget)
        key, text = await self._keys.create(body.user, body.role, body.name, body.expires_at, grant)
        return Made(**_told(key), key=text)

    @admin
    async def revoke(self, id: str) -> Told:
        """Ends a key for good; its running turns are stopped, and its browsers logged out."""
        return Told(**_told(await self._keys.revoke(id)))

    @admin
    async def rotate(self, id: str) -> Made:
        """Gives a key a new secret; the old one opens nothing any more, and its browsers are logged out."""
        key, text = await self._keys.rotate(id)
        return Made(**_told(key), key=text)


def _told(key: Key) -> dict[str, Any]:
    """The fields of `Told`."""
    same = {name: getattr(key, name) for name in Told.__struct_fields__ if hasattr(key, name)}
    grant = key.grant
    lists = {"models": _list(grant.allowed.models), "providers": _list(grant.allowed.providers)}
    return same | lists | {"limits": grant.limits, "budget": grant.budget}


def _list(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)
