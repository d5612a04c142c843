"""create: the text of one answer, for programs that can do no more than open an address."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec
from aiohttp import web
from msgspec import Struct

from service.context import Context
from service.documents.fences import fenced
from service.errors import BadRequest, Unsupported
from service.events import Content, Event
from service.handlers.clients import Clients
from service.messages import Ask, Message, tidied
from service.replies import Text
from service.routes import route, user
from service.stores.ledger import Record
from service.streaming import Stream, heard
from service.turns.turn import Terms
from service.wire.plain import PlainText, said

NO = frozenset({"", "0", "false", "no", "off"})
YES = frozenset({"1", "true", "yes", "on"})


class Wish(Struct, frozen=True):
    """What the address says.

    `provider` is one name, or several separated by blanks, of which the service chooses. `json` or
    `filter_markdown` leaves only the first fenced block of the answer, or of a language the first one in it.
    `cache` is a text of the client's: while answers are kept, the same wish with the same text gets the same
    answer. `web_search` is true, or what to search for.
    """

    prompt: str = ""
    model: str = ""
    provider: str = ""
    stream: str = ""
    json: str = ""
    filter_markdown: str = ""
    cache: str = ""
    web_search: str = ""
    audio: str = ""
    audio_provider: str = ""

    @property
    def language(self) -> str:
        """Of the block that is wished for: "true" is any, and "" the whole text."""
        language = (self.json or self.filter_markdown).lower()
        return "" if language in NO else "true" if language in YES else language

    def key(self, base_url: str | None) -> str | None:
        """What the same wish has in common, however the answer is sent."""
        if not self.cache:
            return None
        wish = [self.prompt, self.model, self.provider, base_url, self.web_search, self.cache]
        return "create:" + sha256(msgspec.json.encode(wish)).hexdigest()

    def check(self) -> None:
        """Raises `BadRequest` and `Unsupported`."""
        if not self.prompt.strip():
            raise BadRequest("There is nothing to answer: say something in the parameter prompt.", "prompt")
        if self.audio_provider or self.audio.lower() not in NO:
            raise Unsupported(
                "What is created here is text. Leave out audio and audio_provider;"
                " GET /backend-api/v2/synthesize/default?text=… speaks a text.",
                "audio",
            )


class Creation:
    """create."""

    def __init__(self, context: Context) -> None:
        self._turns, self._registry = context.turns, context.registry
        self._patience = context.settings.stream.first_event_timeout
        self._clients = Clients(context)
        self.routes = {"/backend-api/v2/create": route(GET=self.create)}

    @user
    async def create(
        self, query: Wish, headers: Mapping[str, str], record: Record, method: str
    ) -> Stream | Text:
        """Answers a prompt with plain text.

        With `stream` it comes as it is said, and what fails on the way cuts the connection. A reason to
        finish other than "stop" is appended, as in `[length]`. Where the answer is one picture, the client is
        sent to it.
        """
        query.check()
        if method == "HEAD":  # a look at the head alone must not cost an answer
            return Text()
        record.wire = "create"
        ask, provider = self._asked(query, headers)
        key = query.key(ask.base_url)
        terms = Terms(idempotency_key=key, digest=key, again=True)
        turn = await self._turns.start(ask, provider, record, terms)
        if query.stream.lower() not in NO and not query.language:
            return Stream(turn, PlainText(), patience=self._patience)
        return await _whole(await heard(turn), query.language)

    def _asked(self, wish: Wish, headers: Mapping[str, str]) -> tuple[Ask, str | None]:
        """The question, and who is asked."""
        provider, ignored = self._among(wish.provider)
        brought = self._clients.brought(provider, headers)
        search = wish.web_search.lower()
        ask = Ask(
            messages=tidied([Message("user", wish.prompt)]),
            model=wish.model or None,
            ignored=ignored,
            keys=brought.keys,
            base_url=brought.base_url,
            web_search=search in YES or (search not in NO and wish.web_search),
        )
        return ask, brought.provider

    def _among(self, text: str) -> tuple[str | None, frozenset[str]]:
        """A provider's name; or none, and who must not be chosen because he is not among those named."""
        names = text.split()
        labels = {provider.label for provider in self._registry}
        if len(names) < 2 or text in labels:
            return text, frozenset()
        chosen = {self._registry[name].name for name in names}
        return None, frozenset(provider.name for provider in self._registry) - chosen


async def _whole(events: Sequence[Event], language: str) -> Text:
    """The answer as a text, or where it is to be found."""
    match [event for event in events if isinstance(event, Content) and (event.content or event.urls)]:
        case [Content(urls=[address])]:
            return _picture(address)
        case _:
            return await _filtered("".join(map(said, events)), language)


def _picture(address: str) -> Text:
    """Sends the client to it: where that is says the provider, not the answer's text, and no link to here."""
    if address.startswith(("http://", "https://")):
        raise web.HTTPFound(address)
    return Text(address)


async def _filtered(text: str, language: str) -> Text:
    if not language:
        return Text(text)
    block = await asyncio.to_thread(fenced, text, None if language == "true" else language)
    if block is None and language == "true":
        return Text(text)
    return Text(block or "")
