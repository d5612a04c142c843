"""The models as OpenAI's and Anthropic's clients list them: from memory, however slow a provider is.

Source: both vendors' API references, "List models" and "Retrieve model" or "Get a model"; an object has the
fields of both.
"""

from msgspec import Struct

from service.context import Caller, Context
from service.errors import ModelNotFound
from service.messages import Allowed
from service.providers.provider import Model
from service.routes import anyone, route


class Listed(Struct):
    """A model: who has it, the first of them as its owner; `context_length` in tokens, if it is known."""

    id: str
    display_name: str
    owned_by: str
    providers: list[str]
    context_length: int | None = None
    vision: bool = False
    image: bool = False
    object: str = "model"
    type: str = "model"
    created: int = 0
    created_at: str = "1970-01-01T00:00:00Z"


class Listing(Struct):
    """All of them at once, whatever a client asks for."""

    data: list[Listed]
    first_id: str | None
    last_id: str | None
    object: str = "list"
    has_more: bool = False


class Models:
    """models."""

    def __init__(self, context: Context) -> None:
        self._registry, self._auto = context.registry, context.auto
        self.routes = {
            "/v1/models": route(GET=self.all),
            "/v1/models/{id:.+}": route(GET=self.one),
        }

    @anyone
    async def all(self, caller: Caller) -> Listing:
        """The models of all live providers, and the operator's aliases, that the caller's key is for."""
        models = list(self._listed(caller.grant.allowed).values())
        ids = [model.id for model in models]
        return Listing(models, ids[0] if ids else None, ids[-1] if ids else None)

    @anyone
    async def one(self, id: str, caller: Caller) -> Listed:
        """One of them."""
        found = self._listed(caller.grant.allowed).get(id)
        if found is None:
            raise ModelNotFound(id, "this service")
        return found

    def _listed(self, allowed: Allowed) -> dict[str, Listed]:
        mine = self._auto.name
        found = {name: Listed(name, name, mine, [mine]) for name in self._auto.offered(allowed=allowed)}
        for provider in self._registry:
            listing = self._registry.listing(provider.name)
            for model in listing.models or () if listing.live else ():
                if not allowed.has(provider.name, model.id):
                    continue
                listed = found.setdefault(model.id, _listed(model, provider.name))
                listed.providers.append(provider.name)
        return found


def _listed(model: Model, owner: str) -> Listed:
    return Listed(model.id, model.id, owner, [], model.context_length, model.vision, model.image)
