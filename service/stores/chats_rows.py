"""The rows of a chat: the chat, its messages, and their words in the index; written, and read again."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Double, RowMapping, Text, bindparam, case, delete, select, update
from sqlalchemy.sql.dml import UpdateBase

from service.errors import Unavailable
from service.stores.chats_content import WORDS, digest, kept, plain, storable
from service.stores.chats_parts import Chat, Message
from service.stores.database import Database
from service.stores.passages import POSTGRESQL, SQLITE
from service.stores.prepared import ORDER
from service.stores.schema_chats import PLACES, chat_words, chats, messages
from service.stores.schema_shares import touched
from service.stores.words import words
from service.stores.writer import Part

BATCH = 64
"""Messages of one commit where many are written or removed: whoever writes meanwhile waits for one."""
NOBODY = "\n"
"""Whose chats are that have come or gone in part; nobody can be called so."""
WRITE_SECONDS = 10.0
"""How long a change waits until it is durable."""
LEARNT = (
    "content",
    "digest",
    "size",
    "state",
    "model",
    "provider",
    "finish",
    "error",
    "reasoning",
    "usage",
    "sources",
)
"""What becomes known of an answer while it is given."""


class Rows:
    """Statements that bear to be repeated, and to be written together with others.

    Whatever is written in one commit, a chat comes before its messages, an answer's beginning before its end,
    and words after what they are of: those of a chat that was removed meanwhile are not written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.insert(chats)
        used = {name: insert.excluded[name] for name in ("updated_at", "leaf")}
        self._chat = _ordered(1, insert.on_conflict_do_update(index_elements=["number"], set_=used))
        said = database.insert(messages).on_conflict_do_nothing(index_elements=["number"])
        self._message = _ordered(2, said)
        learnt = {name: bindparam(f"new_{name}", type_=messages.c[name].type) for name in LEARNT}
        running = (messages.c.number == _number("answer"), messages.c.state == "running")
        self._answer = _ordered(3, update(messages).where(*running).values(learnt))
        later = case(
            (chats.c.updated_at < bindparam("at", type_=Double()), bindparam("at", type_=Double())),
            else_=chats.c.updated_at,
        )
        this = chats.c.number == _number("chat")
        self._touch = _ordered(3, update(chats).where(this).values(updated_at=later))
        former = chats.c.title == bindparam("former", type_=Text())
        self._name = _ordered(
            3, update(chats).where(this, former).values(title=bindparam("new", type_=Text()))
        )
        self._words = _ordered(4, self._index(select(messages.c.number), messages.c.number))
        title = chats.c.number * 2**PLACES
        self._title = _ordered(4, self._index(select(title), chats.c.number, chats.c.title))
        some = (_number("first"), _number("last"))
        self._drop_words = delete(chat_words).where(chat_words.c.rowid.between(*some))
        self._drop_messages = delete(messages).where(messages.c.number.between(*some))
        self._drop_chat = delete(chats).where(this)
        whose = {"user": bindparam("whose", type_=Text()), "id": bindparam("called", type_=Text())}
        self._give = _ordered(3, update(chats).where(this).values(whose | {"share": None}))

    def begun(self, user: str, number: int, chat: Chat) -> list[Part]:
        """A chat that begins; of one that is there only what a new message changes."""
        row = {
            "number": number,
            "user": user,
            "id": chat.id,
            "title": chat.title,
            "created_at": chat.created_at,
            "updated_at": chat.updated_at,
            "starred": chat.starred,
            "archived": chat.archived,
            "settings": _json(chat.settings),
            "leaf": chat.leaf,
            "share": chat.share,
        }
        return [(self._chat, row)]

    def entitled(self, user: str, number: int, title: str) -> Part:
        """The words of a title, by which its chat is found as long as it has this title."""
        row = {"at": number, "is": title, "words": self._indexed(user, title)}
        return self._title, row

    def said(self, user: str, message: Message, digest: str) -> list[Part]:
        """A new message, with its words."""
        return [(self._message, _row(message, digest)), *self._worded(user, message)]

    def ended(self, user: str, message: Message, digest: str, at: float) -> list[Part]:
        """What a running answer has come to, at a time; nothing where its chat was removed meanwhile."""
        row = _row(message, digest)
        learnt = {f"new_{name}": row[name] for name in LEARNT}
        touched = {"chat": row["chat"], "at": at}
        return [
            (self._answer, {"answer": message.number, **learnt}),
            (self._touch, touched),
            *self._worded(user, message),
        ]

    def renamed(self, user: str, number: int, former: str, title: str) -> list[Part]:
        """Another title, unless somebody has changed the former one."""
        return [
            (self._name, {"chat": number, "former": former, "new": title}),
            self.entitled(user, number, title),
        ]

    async def add(self, user: str, number: int, chat: Chat, written: Sequence[Message], longest: int) -> None:
        """A whole chat, so much of each message; it is its user's with the last of them, in one commit."""
        parts = self.begun(NOBODY, number, msgspec.structs.replace(chat, id=str(number)))
        for start in range(0, len(written), BATCH):
            some = written[start : start + BATCH]
            parts += await asyncio.to_thread(self._all_said, user, some, longest)
            if start + BATCH < len(written):
                await self._write(*parts)
                parts = []
        await self._write(*parts, self._given(number, user, chat.id), self.entitled(user, number, chat.title))

    async def change(self, user: str, number: int, values: Mapping[str, Any]) -> None:
        """Sets columns of a chat."""
        if not values:
            return
        binds = {name: bindparam(f"new_{name}", type_=chats.c[name].type) for name in values}
        changed = update(chats).where(chats.c.number == _number("chat")).values(binds)
        row = {"chat": number, **{f"new_{name}": value for name, value in values.items()}}
        title = [self.entitled(user, number, values["title"])] if "title" in values else []
        seen = [touched(user, number)] if values.keys() & {"title", "leaf"} else []
        await self._write((changed, row), *title, *seen)

    async def hide(self, number: int) -> None:
        """A chat becomes nobody's."""
        await self._write(self._given(number, NOBODY, str(number)))

    async def remove(self, number: int, last: int) -> None:
        """A chat whose last message is `last`; it is nobody's from the first commit on."""
        parts = [self._given(number, NOBODY, str(number))]
        for first in range(place_of(number, 0), last + 1, BATCH):
            is_over = first + BATCH > last
            some = {"first": first, "last": numbers_of(number)[1] if is_over else first + BATCH - 1}
            parts += [(self._drop_words, some), (self._drop_messages, some)]
            if is_over:
                parts.append((self._drop_chat, {"chat": number}))
            await self._write(*parts)
            parts = []

    async def _write(self, *parts: Part) -> None:
        """Returns when it is durable. Raises `Unavailable`; it may be written later nonetheless."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await asyncio.shield(self._database.write_together(*parts))
        except TimeoutError as error:
            raise Unavailable("The chat cannot be written now. Try again later.") from error

    def _given(self, number: int, user: str, id: str) -> Part:
        return self._give, {"chat": number, "whose": user, "called": id}

    def _all_said(self, user: str, some: Sequence[Message], longest: int) -> list[Part]:
        """Its words take half a millisecond of each: too long for an event loop."""
        known = [digest(message.role, message.content) for message in some]
        cut = [_cut(message, longest) for message in some]
        return [part for each in zip(cut, known, strict=True) for part in self.said(user, *each)]

    def _worded(self, user: str, message: Message) -> list[Part]:
        """A running answer has no words yet."""
        if message.state == "running" or message.role not in {"user", "assistant"}:
            return []
        return [(self._words, {"at": message.number, "words": self._indexed(user, plain(message.content))})]

    def _indexed(self, user: str, text: str) -> str:
        return " ".join(dict.fromkeys([owner(user), *words(text[:WORDS])]))

    def _index(self, number: Any, key: Any, title: Any = None) -> Any:
        """Fills the index from a row that is there, anew if need be."""
        postgresql = self._database.dialect == "postgresql"
        bound = POSTGRESQL.bound if postgresql else SQLITE.bound
        this = number.add_columns(bound).where(key == _number("at"))
        if title is not None:
            this = this.where(title == bindparam("is", type_=Text()))
        insert = self._database.insert(chat_words).from_select(["rowid", "words"], this)
        if not postgresql:
            return insert.prefix_with("OR REPLACE")
        return insert.on_conflict_do_update(index_elements=["rowid"], set_={"words": insert.excluded.words})


def place_of(chat: int, place: int) -> int:
    """The number of a message, from that of its chat and its place there."""
    return (chat << PLACES) + place


def numbers_of(chat: int) -> tuple[int, int]:
    """The first and the last number that a message of this chat can have."""
    return place_of(chat, 1), place_of(chat + 1, 0) - 1


def owner(user: str) -> str:
    """A word that is in everything a user has, and that nobody can look up: it is too long for one."""
    return f"0{sha256(user.encode(errors='replace')).hexdigest()}"


def chat_of(row: RowMapping, found: Sequence[RowMapping]) -> Chat:
    """A chat as it was written, with its messages."""
    told = {name: row[name] for name in Chat.__struct_fields__ if name not in {"settings", "messages"}}
    messages = [_message(each) for each in found]
    return Chat(**told, settings=msgspec.json.decode(row["settings"]), messages=messages)


def _message(row: RowMapping) -> Message:
    told = {name: row[name] for name in Message.__struct_fields__}
    decoded = {name: _decoded(told[name]) for name in ("content", "usage", "sources")}
    return Message(**told | decoded | {"reasoning": told["reasoning"] or ""})


def _decoded(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _ordered(order: int, statement: UpdateBase) -> UpdateBase:
    return statement.execution_options(**{ORDER: order})


def _cut(message: Message, longest: int) -> Message:
    content, reasoning = kept(message.content, longest), kept(message.reasoning, longest)
    return msgspec.structs.replace(message, content=content, reasoning=reasoning)


def _row(message: Message, digest: str) -> dict[str, Any]:
    content = _json(message.content)
    reasoning = storable(message.reasoning) or None
    return {
        "number": message.number,
        "chat": message.number >> PLACES,
        "parent": message.parent,
        "role": message.role,
        "content": content,
        "digest": digest,
        "size": len(content) + len(reasoning or ""),
        "created_at": message.created_at,
        "state": message.state,
        "turn": message.turn,
        "model": _name(message.model),
        "provider": _name(message.provider),
        "finish": _name(message.finish),
        "error": _name(message.error),
        "reasoning": reasoning,
        "usage": None if message.usage is None else _json(message.usage),
        "sources": None if message.sources is None else _json(message.sources),
    }


def _name(text: str | None) -> str | None:
    return None if text is None else storable(text[:1000])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _number(name: str) -> Any:
    return bindparam(name, type_=BigInteger())
