"""OpenAI's chat completions, and the older completions, over the same turns as everything else.

Source: OpenAI's API reference, "Create chat completion" and "Create completion".
"""

from collections.abc import Mapping
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from service.context import Context
from service.errors import BadRequest
from service.handlers.headers import terms
from service.messages import Ask, Generation, Message, checked
from service.routes import route, user
from service.stores.ledger import Record
from service.streaming import Stream, Whole
from service.turns.admission import Found
from service.wire.openai import ChatChunks, TextChunks, completion, text_completion


class StreamOptions(Struct, frozen=True):
    """`include_usage`: the stream ends with what it used."""

    include_usage: bool = False


class Request(Generation, frozen=True, kw_only=True):
    """What both kinds of request have; the fields that OpenAI does not know are ours."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    provider: str | None = None
    continuation: bool = False
    web_search: bool | str = False

    def asking(self, messages: list[Message]) -> Ask:
        """The question as a turn takes it. Raises `BadRequest`."""
        return Ask(
            messages=checked(messages),
            model=self.model or None,
            generation=self.generation(),
            continuation=self.continuation,
            web_search=self.web_search or self.web_search_options is not None,
        )

    def generation(self) -> Generation:
        named = {name: getattr(self, name) for name in Generation.__struct_fields__}
        return Generation(**named | {"tools": self.tools or None})  # some providers refuse an empty list

    @property
    def counts(self) -> bool:
        """Whether the stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatCompletion(Request, frozen=True, kw_only=True):
    """A conversation to be answered, as OpenAI has it, and fields of ours.

    `provider` says who answers; left out, the service chooses. `continuation` lets another provider go on
    where one has broken off. Fields that are not listed are accepted and have no effect.
    """

    messages: list[Message]


class TextCompletion(Request, frozen=True, kw_only=True):
    """`prompt` is one text; the model reads it as what a user says, for chat models are all there are."""

    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    echo: bool = False
    best_of: int | None = None

    def generation(self) -> Generation:
        """As chat has it, where `top_logprobs` says how many there should be."""
        return replace(super().generation(), logprobs=bool(self.logprobs), top_logprobs=self.logprobs)

    def question(self) -> list[Message]:
        """The prompt as a conversation. Raises `BadRequest` for what cannot be one."""
        if self.suffix or self.echo or (self.best_of or 1) > 1:
            raise BadRequest("suffix, echo and best_of are not available; leave them out.", "suffix")
        match self.prompt:
            case str(text) | [str(text)]:
                return [Message("user", text)]
            case _:
                raise BadRequest("Send one prompt, as text; lists and tokens are not read.", "prompt")


class Completions:
    """chat/completions, completions."""

    def __init__(self, context: Context) -> None:
        self._turns, self._limits = context.turns, context.settings.stream
        self.routes = {
            "/v1/chat/completions": route(POST=self.chat),
            "/v1/completions": route(POST=self.text),
        }

    @user
    async def chat(self, body: ChatCompletion, headers: Mapping[str, str], record: Record) -> Stream | Whole:
        """Answers a conversation as OpenAI does, streamed or not.

        What fails before the first word has an HTTP status in both cases; later a stream carries an `error`.
        The header X-Turn-Id names the turn, which can be read again at /backend-api/v2/turns.
        """
        turn = await self._start(body.asking(body.messages), body, headers, record)
        created = int(turn.opened_at)
        if body.stream:
            wire = ChatChunks(turn.id, created, body.model, body.counts)
            return Stream(turn, wire, patience=self._limits.first_event_timeout)
        return Whole(turn, partial(completion, turn_id=turn.id, created=created, model=body.model))

    @user
    async def text(self, body: TextCompletion, headers: Mapping[str, str], record: Record) -> Stream | Whole:
        """Goes on with a prompt, for clients of OpenAI's older interface."""
        turn = await self._start(body.asking(body.question()), body, headers, record)
        created = int(turn.opened_at)
        if body.stream:
            wire = TextChunks(turn.id, created, body.model, body.counts)
            return Stream(turn, wire, patience=self._limits.first_event_timeout)
        return Whole(turn, partial(text_completion, turn_id=turn.id, created=created, model=body.model))

    async def _start(self, ask: Ask, body: Request, headers: Mapping[str, str], record: Record) -> Found:
        record.wire = "openai"
        kept = terms(headers, self._limits.grace, body)
        return await self._turns.start(ask, body.provider, record, kept)
