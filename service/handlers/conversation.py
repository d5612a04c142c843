"""The conversation: one question, answered as a stream of events."""

from collections.abc import Mapping

from msgspec import field

from service.context import Context
from service.handlers.clients import Brought, Clients, Key
from service.handlers.headers import legacy, terms, wants_lines
from service.messages import NOBODY, UNSAID, Ask, Generation, Message, tidied
from service.routes import route, user
from service.stores.ledger import Record
from service.streaming import Stream
from service.turns.turn import OnDisconnect
from service.wire.backend import EventStream, JsonLines


class Conversation(Generation, frozen=True, kw_only=True):
    """A question: `messages`, or a `prompt` by itself.

    A `provider` or `model` of null or "" leaves the choice to the service; providers that are `ignored` are
    not chosen. With `continuation` another provider may go on where one has broken off. `web_search` is true,
    or what to search for. Where the operator allows it, `api_key` is the client's own key for the provider
    (or an object of keys by provider), and the provider "Custom" is the upstream at `base_url`, also called
    `api_base`. When the last reader leaves, `on_disconnect` says whether the turn is cancelled, waits for one
    to come back, or is finished in the background. Fields that are not listed here are accepted and have no
    effect.
    """

    messages: list[Message] = field(default_factory=list)
    prompt: str | None = None
    provider: str | None = None
    model: str | None = None
    ignored: list[str] | None = None
    on_disconnect: OnDisconnect | None = None
    api_key: Key = None
    base_url: str | None = None
    api_base: str | None = None
    web_search: bool | str | None = None
    aspect_ratio: str | None = None
    continuation: bool | None = None

    def ask(self, brought: Brought) -> Ask:
        """The question as a turn takes it; raises `BadRequest` where there is none."""
        alone = [Message("user", self.prompt)] if self.prompt and not self.messages else []
        generation = {name: getattr(self, name) for name in Generation.__struct_fields__}
        generation["n"] = None  # this wire has no room for more than one answer
        said = any(value is not None for value in generation.values())
        return Ask(
            messages=tidied(self.messages or alone),
            model=self.model or None,
            generation=Generation(**generation) if said else UNSAID,
            ignored=frozenset(self.ignored) if self.ignored else NOBODY,
            keys=brought.keys,
            base_url=brought.base_url,
            web_search=self.web_search or False,
            continuation=bool(self.continuation),
            aspect_ratio=self.aspect_ratio or None,
        )


class Conversations:
    """conversation."""

    def __init__(self, context: Context) -> None:
        self._turns, self._clients = context.turns, Clients(context)
        self._legacy = context.settings.server.legacy
        self._grace = context.settings.stream.grace
        self.routes = {"/backend-api/v2/conversation": route(POST=self.converse)}

    @user
    async def converse(self, body: Conversation, headers: Mapping[str, str], record: Record) -> Stream:
        """Answers a conversation as server-sent events.

        Their types are `provider`, `reasoning`, `content`, `tool_calls`, `finish` and `usage`, which comes
        last; what fails once the stream has begun is an `error` or `auth` event. The first event, `turn`,
        has the id by which the turn can be read again. A request with an Idempotency-Key that was answered
        before gets the same turn once more.
        """
        record.wire = "backend"
        kept = terms(headers, self._grace, body, body.on_disconnect)
        own_base = body.base_url or body.api_base
        brought = self._clients.brought(body.provider, headers, body.api_key, own_base)
        turn = await self._turns.start(body.ask(brought), brought.provider, record, kept)
        lines = wants_lines(headers) or legacy(headers, self._legacy)
        return Stream(turn, JsonLines() if lines else EventStream(turn.epoch))
