"""Turns in their chats: their places there, and what they write as they begin and end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from service.events import Content, Event, Failed, Sources, Titled, Unauthorized
from service.messages import Ask, texts
from service.messages import Message as Asked
from service.stores.chats import Chats
from service.stores.chats_content import digest, kept, plain, storable
from service.stores.chats_parts import Chat, Message, Running, State, Tree, named, titled
from service.stores.ledger import Ending, Record
from service.stores.writer import Part
from service.turns.chats_place import Said, place_of
from service.wire.answers import Answers

T = TypeVar("T")
LONGEST = {"provider": 200, "model": 200, "system": 100_000}
"""Characters of what a chat begins with; what is longer is left out."""
TITLE = 80
"""Characters of a title that nobody has chosen."""
STATES: dict[Ending, State] = {
    "done": "finished",
    "stopped": "stopped",
    "abandoned": "stopped",
    "interrupted": "interrupted",
}
"""How an answer stands after each ending; after all others it has failed."""
MANY, LONG = 100, 50_000
"""Messages, and characters in all of them, that are too many to be looked at while others wait."""


class Place(Struct, frozen=True, kw_only=True):
    """A turn's place in a chat: its answer has the number `answer`, below the message `parent`.

    `opening` is what is to be written as it begins; `title` the one that the chat got from this turn, if any.
    """

    chats: Chats
    user: str
    id: str
    chat: int
    answer: int
    parent: int | None
    longest: int
    opening: Sequence[Part] = ()
    title: str | None = None

    def closing(self, record: Record, events: Sequence[Event]) -> list[Part]:
        """What is to be written when the turn has ended, with everything that it said."""
        rows = self.chats.rows
        message, known = _answer(self, record, events)
        parts = rows.ended(self.user, message, known, record.ended_at or message.created_at)
        title = next((event.title for event in reversed(events) if type(event) is Titled), None)
        if title and self.title is not None:
            parts += rows.renamed(self.user, self.chat, self.title, titled(title))
        return parts

    def note(self, writing: asyncio.Future[None]) -> None:
        """Whoever comes next to this chat waits for what is being written."""
        self.chats.note(self.user, self.id, writing)


class Scribe:
    """Finds the places of turns in their chats."""

    def __init__(self, chats: Chats) -> None:
        self.chats = chats

    @asynccontextmanager
    async def placed(
        self, ask: Ask, provider: str | None, record: Record, id: str
    ) -> AsyncGenerator[Place, None]:
        """The place of a turn that begins inside of this, with its `opening`: no other is placed meanwhile.

        Raises `BadRequest`, and `TooLarge` for a chat in which there is no room.
        """
        user = storable(record.user or "")
        async with self.chats.held(user, named(id)):
            tree = await self.chats.tree(user, id)
            parent, new = await _apart(ask, self._found, tree, ask)
            total = len(tree.nodes) + len(new) + 1
            await self.chats.check(user, begun=tree.begun, messages=total, size=tree.size)
            settings = _settings(ask, provider)
            yield await _apart(ask, self._begun, user, id, tree, parent, new, settings, record)

    async def left(self) -> dict[str, Place]:
        """The places of the answers that a dead process was giving, by the ids of their turns."""
        left = await self.chats.running()
        return {running.turn: self._left(running) for running in left}

    def _found(self, tree: Tree, ask: Ask) -> tuple[int | None, list[Said]]:
        """The message below which the question belongs, and what of it is new."""
        said = [_said(message, self.chats.longest) for message in _spoken(ask.messages)]
        parent, count = place_of(tree, said)
        return parent, said[count:]

    def _left(self, running: Running) -> Place:
        known = {name: getattr(running, name) for name in ("user", "id", "chat", "answer", "parent")}
        return Place(chats=self.chats, longest=self.chats.longest, **known)

    def _begun(
        self,
        user: str,
        id: str,
        tree: Tree,
        parent: int | None,
        new: Sequence[Said],
        settings: dict[str, Any],
        record: Record,
    ) -> Place:
        rows, at, number = self.chats.rows, record.opened_at, tree.next
        written: list[Part] = []
        for each in new:
            message = Message(
                number=number, parent=parent, role=each.role, content=each.content, created_at=at
            )
            written += rows.said(user, message, each.digest)
            parent, number = number, number + 1
        title = tree.title if tree.begun else _title(new)
        answer = Message(
            number=number,
            parent=parent,
            role="assistant",
            content="",
            turn=record.id,
            model=record.model_asked,
            provider=record.provider_asked,
            state="running",
            created_at=at,
        )
        written += rows.said(user, answer, "")
        chat = Chat(id=id, title=title, created_at=at, updated_at=at, settings=settings, leaf=number)
        first = rows.begun(user, tree.number, chat)
        if not tree.begun:
            first.append(rows.entitled(user, tree.number, title))
        return Place(
            chats=self.chats,
            user=user,
            id=id,
            chat=tree.number,
            answer=number,
            parent=parent,
            longest=self.chats.longest,
            opening=[*first, *written],
            title=None if tree.begun else title,
        )


async def _apart(ask: Ask, work: Callable[..., T], *arguments: Any) -> T:
    """Does what takes some microseconds for a usual question, and a second for the longest: in a thread."""
    if len(ask.messages) < MANY and sum(_length(message) for message in ask.messages) < LONG:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)


def _length(message: Asked) -> int:
    return sum(map(len, texts(message)))


def _spoken(messages: Sequence[Asked]) -> Iterator[Asked]:
    """Instructions are none of what was said: they may change without a new branch."""
    return (message for message in messages if message.role not in {"system", "developer"})


def _said(message: Asked, longest: int) -> Said:
    content = _whole(message)
    role = "tool" if message.role in {"tool", "function"} else message.role
    return Said(role, kept(content, longest), digest(role, content))


def _whole(message: Asked) -> Any:
    """The content, with what tools are called or have answered as parts of it."""
    more: list[dict[str, Any]] = []
    if message.tool_calls:
        more.append({"type": "tool_calls", "tool_calls": message.tool_calls})
    if message.tool_call_id:
        more.append({"type": "tool_call_id", "tool_call_id": message.tool_call_id})
    return _with(message.content or "", more)


def _with(content: str | list[dict[str, Any]], more: list[dict[str, Any]]) -> Any:
    if not more:
        return content
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    return [*content, *more]


def _title(new: Sequence[Said]) -> str:
    """The first line of the first question; without a text, the names of what it shows."""
    asked = [each.content for each in new if each.role == "user"]
    lines = [line for content in asked for line in plain(content).splitlines() if line.strip()]
    parts = [part for content in asked if isinstance(content, list) for part in content]
    names = [part["name"] for part in parts if isinstance(part.get("name"), str)]
    line = titled(lines[0] if lines else ", ".join(names))
    return line if len(line) <= TITLE else line[: TITLE - 1].rstrip() + "…"


def _settings(ask: Ask, provider: str | None) -> dict[str, Any]:
    """What a chat begins with: who was asked, and the instructions."""
    instructions = [message for message in ask.messages if message.role in {"system", "developer"}]
    system = "\n\n".join(text for message in instructions for text in texts(message))
    told = {"provider": provider, "model": ask.model, "system": system}
    return {name: value for name, value in told.items() if value and len(value) <= LONGEST[name]}


def _answer(place: Place, record: Record, events: Sequence[Event]) -> tuple[Message, str]:
    """The answer as the chat keeps it, and by what it is known again."""
    _, spoken = next(iter(Answers(events, None)))
    text = storable("".join(event.content for event in events if type(event) is Content and not event.choice))
    calls = [{"type": "tool_calls", "tool_calls": spoken.calls}] if spoken.calls else []
    content = _with(text, calls)
    message = Message(
        number=place.answer,
        parent=place.parent,
        role="assistant",
        content=kept(content, place.longest),
        reasoning=kept(spoken.thoughts or "", place.longest),
        turn=record.id,
        model=record.model or record.model_asked,
        provider=record.provider or record.provider_asked,
        state=STATES.get(record.ending or "interrupted", "failed"),
        finish=spoken.finish.reason if spoken.finish else None,
        error=next(_errors(events), None),
        usage=_usage(record),
        sources=[msgspec.to_builtins(each) for each in _sources(events)] or None,
    )
    return message, digest("assistant", content)


def _usage(record: Record) -> dict[str, Any]:
    prompt, completion = record.prompt_tokens or 0, record.completion_tokens or 0
    used = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return used if record.usage_source == "provider" else used | {"estimated": True}


def _errors(events: Sequence[Event]) -> Iterator[str]:
    return (event.message for event in reversed(events) if isinstance(event, Failed | Unauthorized))


def _sources(events: Sequence[Event]) -> Iterator[Any]:
    return (source for event in events if type(event) is Sources for source in event.sources)
