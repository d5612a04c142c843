"""Titles: what a new conversation is called, by the model that has answered first."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable

from service import events
from service.errors import ServiceError
from service.events import Answerer, Batch, Chosen, Content, Finished
from service.messages import Ask, Generation, Message, texts
from service.providers.provider import Append, Provider
from service.providers.registry import Registry
from service.settings import Chats
from service.stores.ledger import Record
from service.turns.log import Log
from service.turns.turn import Terms, Turn

KIND = "title"
"""Of the records of what titles use."""
READ = 1_000
"""Characters of the question, and of the answer, that a title is made of."""
LONGEST = 60
TOKENS = 30

_DECORATION = re.compile(
    r"^(?:[\W_]+|(?:title|название|заголовок)\s*:)+|[\s\"'*_`#.:;,«»“”„]+$", re.IGNORECASE
)

Start = Callable[[Ask, str | None, Record, Terms], Awaitable[Turn]]


class Titles:
    """Asks for titles, each in a turn of its own kind. `start` starts one, `free` lets it take its place."""

    def __init__(
        self, settings: Chats, registry: Registry, start: Start, free: Callable[[Record], None]
    ) -> None:
        self._settings, self._registry = settings, registry
        self._start, self._free = start, free

    def after(self, provider: Provider, ask: Ask, record: Record) -> Provider:
        """The provider, as it is to answer this ask: with a title at the end where one is wanted."""
        wanted = ask.wants_title and self._settings.titles != "off"
        return Titling(provider, self, record) if wanted else provider

    async def title(self, ask: Ask, answerer: Answerer, answer: str, record: Record) -> str | None:
        """What the conversation is called, in any case in time; None where that should not cost anything."""
        if not self._may_ask(answerer):
            return None
        question = " ".join(texts(ask.messages[-1]))
        try:
            async with asyncio.timeout(self._settings.title_timeout):
                return await self._asked(ask, answerer, question, answer, record) or shortened(question)
        except asyncio.CancelledError:
            # Whoever stops the turn now, or leaves it, has had the whole answer: it ends as it would have.
            if task := asyncio.current_task():
                task.uncancel()
            return shortened(question)
        except (TimeoutError, ServiceError):
            return shortened(question)

    def _may_ask(self, answerer: Answerer) -> bool:
        if self._settings.titles == "always":
            return True
        return answerer.name in self._registry and self._registry[answerer.name].local

    async def _asked(self, ask: Ask, answerer: Answerer, question: str, answer: str, record: Record) -> str:
        self._free(record)
        asked = Ask(
            messages=[Message("user", _instruction(question, answer))],
            model=answerer.model,
            generation=Generation(max_tokens=TOKENS),
            allowed=ask.allowed,
            keys=ask.keys,
        )
        own = Record(
            id=secrets.token_urlsafe(16),
            kind=KIND,
            user=record.user,
            key=record.key,
            request_id=record.request_id,
            wire=record.wire,
        )
        turn = await self._start(asked, answerer.name, own, Terms())
        try:
            await turn.log.over()
        finally:
            turn.stop()
        return tidy(_said(turn.log)) if turn.ending == "done" else ""


class Titling(Provider):
    """The provider; after its first answer, if that is whole, comes the conversation's title."""

    def __init__(self, provider: Provider, titles: Titles, record: Record) -> None:
        self.name, self.label = provider.name, provider.label
        self._provider, self._titles, self._record = provider, titles, record

    async def pump(self, ask: Ask, append: Append) -> None:
        answerer: Answerer | None = None
        finished = False
        answer = ""

        def listening(batch: Batch) -> None:
            nonlocal answerer, finished, answer
            for event in batch:
                match event:
                    case Chosen():
                        answerer = event.provider
                    case Content() if len(answer) < READ:
                        answer += event.content
                    case Finished():
                        finished = True
                    case _:
                        pass
            append(batch)

        await self._provider.pump(ask, listening)
        if answerer and finished and answer.strip():
            title = await self._titles.title(ask, answerer, answer, self._record)
            append([events.Titled(title)] if title else [])


def tidy(said: str) -> str:
    """A model's title without what models put around it; empty where nothing is left."""
    lines = (_DECORATION.sub("", line.strip()) for line in said.splitlines())
    return shortened(next((line for line in lines if line), ""))


def shortened(text: str) -> str:
    """The first words of a text, as many as a title may have; empty where it has none."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    head, _, rest = line[: LONGEST - 1].rpartition(" ")
    return f"{head or rest}…"


def _instruction(question: str, answer: str) -> str:
    return (
        "Write a title of at most six words for this conversation, in the language of the question. "
        f"Answer with the title alone.\n\nQuestion: {question[:READ]}\n\nAnswer: {answer[:READ]}\n\nTitle:"
    )


def _said(log: Log) -> str:
    return "".join(event.content for event in log.events if isinstance(event, Content))
