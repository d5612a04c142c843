"""Chats: what was said, by user and by the client's own id of the conversation. A chat is a tree of messages.

An answer's variants are siblings below one question, an edited question is a sibling of the old one.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy import ColumnElement, and_, func, select

from service.errors import NotFound, TooLarge, Unavailable
from service.settings import Chats as Limits
from service.stores.chats_list import ChatList, Listed, Wanted
from service.stores.chats_parts import Chat, Message, Node, Running, Tree, is_id, missing, titled
from service.stores.chats_rows import NOBODY, WRITE_SECONDS, Rows, chat_of, numbers_of, place_of
from service.stores.database import PAGE, Database
from service.stores.schema_chats import PLACES, chats, is_running, messages

__all__ = ["Chat", "Chats", "Message", "titled"]

LONGEST_MESSAGE = 2**20
READ_SECONDS = 2.0
"""How long a reader waits for what is being written; then he gets what was there before."""
HIDDEN_AT_ONCE, REMOVED_AT_ONCE = 64, 8
"""Chats that share their commits."""


class Chats:
    """Keeps chats. Nothing is found by an id alone, what is another's is not there. All raise `Unavailable`.

    One of these writes at a time: it alone knows which numbers are taken.
    """

    def __init__(self, database: Database, limits: Limits | None = None) -> None:
        self._limits = limits
        self.rows, self._list = Rows(database), ChatList(database)
        self._database = database
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._writing: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._counting = asyncio.Lock()
        self._last: int | None = None
        self._arriving: set[int] = set()

    async def add(self, user: str, chat: Chat) -> str:
        """Keeps a whole chat, and returns its id: a new one, where the user has one of the same id.

        Numbers, parents and the leaf of `chat` are places in its list of messages, from 1 on; a parent comes
        before its children. Returns when it is durable. Raises `TooLarge` where there is no room.
        """
        await self.check(user, begun=False, messages=len(chat.messages), size=0)
        id = chat.id if is_id(chat.id) else str(uuid.uuid4())
        async with self.held(user, id):
            if await self._number_of(user, id) is not None:
                id = str(uuid.uuid4())  # nobody knows it, so nobody else has it
            number = await self._new_number()
            written = [_numbered(message, place, number) for place, message in enumerate(chat.messages, 1)]
            leaf = None if chat.leaf is None else place_of(number, chat.leaf)
            whole = msgspec.structs.replace(chat, id=id, title=titled(chat.title), leaf=leaf)
            self._arriving.add(number)
            try:
                await self.rows.add(user, number, whole, written, self.longest)
            finally:
                self._arriving.remove(number)
        return id

    async def find(self, user: str, id: str) -> Chat:
        """The chat with all its messages, in the order of their numbers. Raises `NotFound`."""
        await self._written(user, id)
        for row in await self._database.read(select(chats).where(*_one(user, id))):
            inside = (messages.c.number.between(*numbers_of(row["number"])), *_one(user, id))
            said = select(messages).join(chats, chats.c.number == messages.c.chat).where(*inside)
            if found := await self._database.read(said.order_by(messages.c.number)):
                return await asyncio.to_thread(chat_of, row, found)  # which may take a tenth of a second
        raise missing(id)

    async def tree(self, user: str, id: str) -> Tree:
        """The chat without what was said; one that nobody has begun is empty, and has a number already."""
        inside = and_(
            messages.c.number > chats.c.number * 2**PLACES,
            messages.c.number < (chats.c.number + 1) * 2**PLACES,
        )
        columns = [messages.c[name] for name in Node.__struct_fields__]
        found = await self._database.read(
            select(chats.c.number.label("chat"), chats.c.title, chats.c.leaf, messages.c.size, *columns)
            .join(messages, inside, isouter=True)
            .where(*_one(user, id))
            .order_by(messages.c.number)
        )
        if not found:
            number = await self._new_number()
            return Tree(number, "", (), 0, place_of(number, 1), begun=False)
        rows = [row for row in found if row["number"] is not None]
        nodes = [Node(*(row[name] for name in Node.__struct_fields__)) for row in rows]
        first, size = found[0], sum(row["size"] for row in rows)
        following = nodes[-1].number + 1 if nodes else place_of(first["chat"], 1)
        return Tree(first["chat"], first["title"], nodes, size, following, first["leaf"])

    async def page(
        self, user: str, wanted: Wanted, before: str | None = None, count: int = 50
    ) -> tuple[list[Listed], str | None]:
        """Chats of a user, the last used first, and the mark of more; those before a mark, if there is one.

        Raises `ValueError` for what is no mark.
        """
        await self._written(user)
        return await self._list.page(user, wanted, before, count)

    async def listed(self, user: str, id: str) -> Listed:
        """One chat, as it stands in the list. Raises `NotFound`."""
        await self._written(user, id)
        if (found := await self._list.one(user, id if is_id(id) else "")) is None:
            raise missing(id)
        return found

    async def change(
        self,
        user: str,
        id: str,
        *,
        title: str | None = None,
        starred: bool | None = None,
        archived: bool | None = None,
        settings: Mapping[str, Any] | None = None,
        leaf: int | None = None,
    ) -> None:
        """Changes what is given; durable when it returns. Raises `NotFound`, also for a leaf elsewhere."""
        async with self.held(user, id):
            if (number := await self._number_of(user, id)) is None:
                raise missing(id)
            if leaf is not None and not await self._has(number, leaf):
                raise NotFound(f"There is no message {leaf} in this chat.", "leaf")
            values = {
                "title": None if title is None else titled(title),
                "starred": starred,
                "archived": archived,
                "settings": None if settings is None else msgspec.json.encode(settings).decode(),
                "leaf": leaf,
            }
            await self.rows.change(
                user, number, {name: given for name, given in values.items() if given is not None}
            )

    async def remove(self, user: str, id: str, before: float | None = None) -> None:
        """Removes a chat, or only one last used before a time; an answer that still runs is kept nowhere.

        Raises `NotFound`.
        """
        async with self.held(user, id):
            unused = () if before is None else (chats.c.updated_at < before,)
            if (number := await self._number_of(user, id, *unused)) is None:
                raise missing(id)
            await self._drop(number)

    async def remove_all(self, user: str) -> int:
        """Removes every chat of a user, and says how many they were: first nobody sees them any more."""
        gone: list[int] = []
        while ids := await self._ids(user, HIDDEN_AT_ONCE):
            numbers = await asyncio.gather(*(self._hidden(user, id) for id in ids))
            gone += [number for number in numbers if number is not None]
        for start in range(0, len(gone), REMOVED_AT_ONCE):
            await asyncio.gather(*map(self._drop, gone[start : start + REMOVED_AT_ONCE]))
        return len(gone)

    async def sweep(self) -> None:
        """Removes what is left of chats that have come or gone in part."""
        for id in await self._ids(NOBODY, PAGE):
            if (number := int(id)) not in self._arriving:
                await self._drop(number)

    async def check(self, user: str, *, begun: bool, messages: int, size: int) -> None:
        """Whether a chat may become so large, and one that has not begun may begin. Raises `TooLarge`."""
        if not (limits := self._limits):
            return
        if not begun and await self.count(user) >= limits.user_chats:
            raise TooLarge(
                f"You have {limits.user_chats} chats, and no more are kept (chats.user_chats)."
                " Delete some, or ask without a conversation_id.",
                "conversation_id",
            )
        if messages > limits.chat_messages:
            raise _full(f"{limits.chat_messages} messages", "chats.chat_messages")
        if size > limits.chat_size:
            raise _full(f"{limits.chat_size} characters", "chats.chat_size")

    @property
    def longest(self) -> int:
        """How many characters are kept of a message."""
        return self._limits.message_size if self._limits else LONGEST_MESSAGE

    async def count(self, user: str) -> int:
        """How many chats a user has."""
        (row,) = await self._database.read(select(func.count().label("chats")).where(chats.c.user == user))
        return int(row["chats"])

    async def all(self, user: str) -> AsyncGenerator[Chat, None]:
        """Every chat of a user, one after the other, the oldest first."""
        ids = select(chats.c.number, chats.c.id).where(chats.c.user == user)
        async with aclosing(self._database.pages(ids, chats.c.number)) as pages:
            async for page in pages:
                for row in page:
                    try:
                        chat = await self.find(user, row["id"])
                    except NotFound:  # it was removed meanwhile
                        continue
                    yield chat

    async def running(self) -> list[Running]:
        """The answers that have not ended: what a dead process left. Ask before the first turn."""
        answers = messages.c.number.label("answer"), messages.c.chat, messages.c.parent, messages.c.turn
        found = select(chats.c.user, chats.c.id, *answers).join(messages, messages.c.chat == chats.c.number)
        return [Running(**row) for row in await self._database.read(found.where(is_running))]

    async def old(self, before: float) -> list[tuple[str, str]]:
        """Users and ids of chats that were last used before a time, a page of them; none that are starred."""
        forgotten = (chats.c.updated_at < before, chats.c.starred.is_(False), chats.c.user != NOBODY)
        found = await self._database.read(select(chats.c.user, chats.c.id).where(*forgotten).limit(PAGE))
        return [(row["user"], row["id"]) for row in found]

    @asynccontextmanager
    async def held(self, user: str, id: str) -> AsyncGenerator[None, None]:
        """Nobody else changes this chat meanwhile, and what was to be written of it is."""
        key = (user, id)
        async with self._locks.setdefault(key, asyncio.Lock()):
            if self._database.failing or not await self._written(user, id, WRITE_SECONDS):
                raise Unavailable("The chat cannot be written now. Try again later.")
            yield

    def note(self, user: str, id: str, writing: asyncio.Future[Any]) -> None:
        """Whoever comes next to this chat waits for what is being written."""
        key = (user, id)
        self._writing[key] = writing

        def written(_: object) -> None:
            if self._writing.get(key) is writing:
                del self._writing[key]

        writing.add_done_callback(written)

    async def _written(self, user: str, id: str | None = None, patience: float = READ_SECONDS) -> bool:
        """Whether what is being written of a user's chats, or of one of them, can be read."""
        own = [written for key, written in self._writing.items() if key[0] == user and id in {None, key[1]}]
        if own and not self._database.failing:
            await asyncio.wait(own, timeout=patience)
        return all(written.done() for written in own)

    async def _new_number(self) -> int:
        async with self._counting:
            if self._last is None:
                last = select(func.max(chats.c.number).label("last"))
                (row,) = await self._database.read(last)
                self._last = row["last"] or 0
            self._last += 1
            return self._last

    async def _number_of(self, user: str, id: str, *which: ColumnElement[bool]) -> int | None:
        rows = await self._database.read(select(chats.c.number).where(*_one(user, id), *which))
        return rows[0]["number"] if rows else None

    async def _has(self, chat: int, number: int) -> bool:
        one = (messages.c.number == number, messages.c.chat == chat)
        return -(2**63) <= number < 2**63 and bool(
            await self._database.read(select(messages.c.number).where(*one))
        )

    async def _drop(self, number: int) -> None:
        last = select(func.max(messages.c.number).label("last"))
        (row,) = await self._database.read(last.where(messages.c.number.between(*numbers_of(number))))
        await self.rows.remove(number, row["last"] or place_of(number, 0))

    async def _hidden(self, user: str, id: str) -> int | None:
        """The number of a chat that is nobody's now; None where somebody else was faster."""
        async with self.held(user, id):
            if (number := await self._number_of(user, id)) is not None:
                await self.rows.hide(number)
            return number

    async def _ids(self, user: str, count: int) -> list[str]:
        found = await self._database.read(select(chats.c.id).where(chats.c.user == user).limit(count))
        return [row["id"] for row in found]


def _full(what: str, setting: str) -> TooLarge:
    return TooLarge(f"A chat has {what} at most ({setting}). Begin another one.", "conversation_id")


def _one(user: str, id: str) -> tuple[Any, ...]:
    """One that no database could hold is no chat's."""
    return (chats.c.user == user, chats.c.id == (id if is_id(id) else ""))


def _numbered(message: Message, place: int, chat: int) -> Message:
    parent = None if message.parent is None else place_of(chat, message.parent)
    return msgspec.structs.replace(message, number=place_of(chat, place), parent=parent)
