"""The conversation: one question, answered as a stream of events."""

from collections.abc import Mapping

import msgspec
from msgspec import field
from msgspec.structs import replace

from service.context import Context
from service.errors import ServiceError
from service.events import Failed
from service.handlers.clients import Brought, Clients, Key
from service.handlers.conversation_form import Form, shown
from service.handlers.files import FILE
from service.handlers.headers import legacy, terms, wants_lines
from service.messages import NOBODY, UNSAID, Ask, Generation, Message, tidied
from service.multipart import Parts
from service.replies import Events
from service.routes import decoded, form, route, user
from service.stores.ledger import Record
from service.streaming import Stream
from service.turns.admission import Found
from service.turns.turn import OnDisconnect
from service.wire.backend import EventStream, JsonLines


class Conversation(Generation, frozen=True, kw_only=True):
    """A question: `messages`, or a `prompt` by itself.

    A `provider` or `model` of null or "" leaves the choice to the service; providers that are `ignored` are
    not chosen. With `continuation` another provider may go on where one has broken off. `web_search` is true,
    or what to search for. Where the operator allows it, `api_key` is the client's own key for the provider
    (or an object of keys by provider), and the provider "Custom" is the upstream at `base_url`, also called
    `api_base`. When the last reader leaves, `on_disconnect` says whether the turn is cancelled, waits for one
    to come back, or is finished in the background. With `speech`, true or the name of a voice, a `synthesize`
    event says how the answer can be heard. Unless `download_media` is false, pictures in the answer are
    copied, and stand in it with addresses of this service. A question that begins a conversation, which has a
    `conversation_id`, may get a `title` event after the answer; an `action` of "variant" or "continue" begins
    none. The question is kept in the chat of that id, any text of up to 200 characters, with its answer;
    without a `conversation_id` nothing is kept. Fields that are not listed here are accepted, without effect.

    A part of a message may name a bucket in the place of its documents' text (`{"bucket_id": …}`), or a
    picture or a sound in it (`{"bucket_id": …, "name": …}`). `media` are pairs of an address or a data URI,
    and a file's name: they are shown with the last message.
    """

    messages: list[Message] = field(default_factory=list)
    media: list[list[str | None]] | None = None
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
    download_media: bool | None = None
    speech: bool | str | None = None
    conversation_id: str | None = None
    action: str | None = None

    def ask(self, brought: Brought) -> Ask:
        """The question as a turn takes it; raises `BadRequest` where there is none."""
        alone = [Message("user", self.prompt)] if self.prompt and not self.messages else []
        generation = {name: getattr(self, name) for name in Generation.__struct_fields__}
        generation["n"] = None  # this wire has no room for more than one answer
        said = any(value is not None for value in generation.values())
        return Ask(
            messages=tidied(shown(self.messages or alone, self.media or ())),
            model=self.model or None,
            generation=Generation(**generation) if said else UNSAID,
            ignored=frozenset(self.ignored) if self.ignored else NOBODY,
            keys=brought.keys,
            base_url=brought.base_url,
            web_search=self.web_search or False,
            continuation=bool(self.continuation),
            aspect_ratio=self.aspect_ratio or None,
            download_media=self.download_media is not False,
            wants_title=self._begins,
        )

    @property
    def _begins(self) -> bool:
        """Whether it is the first question of a conversation that is kept."""
        asked_anew = self.action in {None, "", "next"}
        return bool(self.conversation_id) and asked_anew and all(m.role != "assistant" for m in self.messages)


_conversation = msgspec.json.Decoder(Conversation)


def told(error: ServiceError) -> Events:
    """A refusal for clients of before, which look at the lines of an answer, and not at its status."""
    return Events(JsonLines().aside(Failed(type(error).__name__, error.message)).decode())


class Conversations:
    """conversation."""

    def __init__(self, context: Context) -> None:
        self._turns, self._clients = context.turns, Clients(context)
        self._speech = context.speech
        self._legacy = context.settings.server.legacy
        self._grace, self._settings = context.settings.stream.grace, context.settings
        self.routes = {"/backend-api/v2/conversation": route(POST=self.converse)}

    @user
    @form(
        json={"$ref": "#/components/schemas/Conversation"},
        files={"type": "array", "items": FILE},
        media_url={"type": "array", "items": {"type": "string"}},
    )
    async def converse(
        self, body: Conversation | Parts, headers: Mapping[str, str], record: Record
    ) -> Stream | Events:
        """Answers a conversation as server-sent events.

        Their types are `provider`, `reasoning`, `content`, `tool_calls`, `finish` and `usage`, which comes
        last; what fails once the stream has begun is an `error` or `auth` event. The first event, `turn`,
        has the id by which the turn can be read again. A request with an Idempotency-Key that was answered
        before gets the same turn once more.

        `sources` has the passages of documents that were read for the answer, where these are too long to be
        read whole. A form has the question in the field `json`, pictures and sounds that are shown with it as
        `files`, and where the operator allows it, addresses of some that the provider may fetch, `media_url`.
        """
        record.wire = "backend"
        old = legacy(headers, self._legacy)
        try:
            turn = await self._asked(body, headers, record)
        except ServiceError as error:
            if old:
                return told(error)
            raise
        return Stream(turn, JsonLines() if old or wants_lines(headers) else EventStream(turn.epoch))

    async def _asked(self, body: Conversation | Parts, headers: Mapping[str, str], record: Record) -> Found:
        if isinstance(body, Parts):
            body = await self._read(body)
        held = terms(headers, self._grace, body, body.on_disconnect)
        held = replace(held, conversation=body.conversation_id or None)
        own_base = body.base_url or body.api_base
        brought = self._clients.brought(body.provider, headers, body.api_key, own_base)
        ask = body.ask(brought)
        if body.speech and (speaker := self._speech.company.first):
            voice = body.speech if isinstance(body.speech, str) else None
            ask = replace(ask, speaker=speaker.name, voice=voice)
        return await self._turns.start(ask, brought.provider, record, held)

    async def _read(self, parts: Parts) -> Conversation:
        """The question in a form, with what is shown. Raises `BadRequest` and `TooLarge`."""
        sent = Form(self._settings)
        asked: Conversation = decoded(await sent.read(parts), _conversation)
        return replace(asked, media=[*(asked.media or ()), *sent.media])
