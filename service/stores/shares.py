"""Shared chats: what a client has posted, or a chat of the server; read by whoever has the id."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import BindParameter, Text, bindparam, delete, func, select, update

from service.errors import BadRequest, Forbidden, NotFound, TooLarge
from service.setting_types import DAY
from service.stores.database import Database
from service.stores.names import plain
from service.stores.schema_chats import chats
from service.stores.schema_shares import shares

KEPT_IDS = 30 * DAY
"""How long the id of a share that has ended stays its user's: its readers know it, and some look again."""


def share_id(text: str) -> str:
    """An id as it is kept. Raises `BadRequest` where nothing is left of it."""
    if id := plain(text):
        return id
    raise BadRequest("This is no id of a shared chat: it has neither a letter nor a digit.", "id")


class Share(Struct, kw_only=True):
    """One shared chat; times in UTC seconds since 1970.

    `chat` is the id of a chat of its user's, which the server keeps; None where a client has posted it.
    `updated` is what that has said, and of a chat the milliseconds since 1970 when something was changed.
    """

    id: str
    user: str
    chat: str | None = None
    updated: int = 0
    created_at: float
    expires_at: float | None = None


COLUMNS = ("id", "user", "updated", "created_at", "expires_at")
CHANGED = ("chat", "updated", "object", "bytes", "expires_at")


class Shares:
    """Takes shares, hands them out and ends them; `quota` is in bytes, for what one user has posted.

    Whoever has an id may read; only its user may write. All raise `Unavailable`.
    """

    def __init__(self, database: Database, quota: int) -> None:
        self._database, self._quota = database, quota
        self._lock = asyncio.Lock()
        """Two might take the same id, or the rest of a quota."""
        insert = database.insert(shares)
        self._keep = insert.on_conflict_do_update(
            index_elements=["id"],
            set_={name: insert.excluded[name] for name in CHANGED},
        )
        which = _named("which")
        self._end = (
            update(shares)
            .where(shares.c.id == which)
            .values(object=None, chat=None, bytes=0, expires_at=bindparam("now"))
        )
        self._name = update(chats).where(chats.c.number == bindparam("number")).values(share=bindparam("its"))
        self._unname = update(chats).where(chats.c.share == which, chats.c.user == _named("whose"))
        self._unname = self._unname.values(share=None)
        self._expire = update(shares).where(shares.c.expires_at < bindparam("now"))
        self._expire = self._expire.values(object=None, chat=None, bytes=0)
        ended = select(shares.c.id).where(shares.c.expires_at < bindparam("now"))
        self._unname_ended = update(chats).where(chats.c.share.in_(ended)).values(share=None)
        self._forget = delete(shares).where(shares.c.expires_at < bindparam("old"))
        self._drop = delete(shares).where(shares.c.user == _named("whose"))

    async def find(self, id: str) -> Share:
        """Whoever asks. Raises `NotFound`."""
        if (share := await self._found(id)) is None or _has_ended(share):
            raise NotFound("Not found: no chat is shared under this id, or it is not shared any more.", "id")
        return share

    async def posted(self, id: str) -> bytes:
        """The object that was posted. Raises `NotFound`."""
        for row in await self._database.read(select(shares.c.object).where(shares.c.id == id)):
            if row["object"] is not None:
                return bytes(row["object"])
        raise NotFound("Not found: this chat is not shared any more.", "id")

    async def post(
        self, user: str, id: str, updated: int | None, posted: bytes, lifetime: float | None
    ) -> None:
        """Keeps an object until `lifetime` seconds from now; with the same `updated` nothing is changed.

        One without gets the time in milliseconds. A share of a chat that the server keeps stays that. Raises
        `Forbidden` where the id is another's, `TooLarge`.
        """
        async with self._lock:
            there = await self._found(id)
            if there and there.user != user:
                raise Forbidden("This id is somebody else's share. Share under a new id of your own.")
            if there and not _has_ended(there) and (there.chat or updated == there.updated):
                return
            if updated is None:
                updated = max(int(time.time() * 1000), there.updated + 1 if there else 0)
                posted = _with(updated, posted)
            await self._check(user, id, len(posted))
            row = _row(Share(id=id, user=user, updated=updated, created_at=time.time()), lifetime)
            await self._database.write(self._keep, row | {"object": posted, "bytes": len(posted)})

    async def share(self, user: str, chat: str, lifetime: float | None) -> Share:
        """Shares a chat of the server for so many seconds from now; the id stays. Raises `NotFound`."""
        async with self._lock:
            number, id = await self._chat(user, chat)
            there = await self._found(id) if id else None
            if there is None or _has_ended(there):
                there = Share(
                    id=secrets.token_hex(16), user=user, updated=0, chat=chat, created_at=time.time()
                )
            row = _row(there, lifetime) | {"chat": number}
            named = {"number": number, "its": there.id}
            await self._database.write_together((self._keep, row), (self._name, named))
        there.expires_at = row["expires_at"]
        return there

    async def unshare(self, user: str, chat: str) -> None:
        """Ends the share of a chat. Raises `NotFound` where there is none."""
        _, id = await self._chat(user, chat)
        if id is None or not await self.remove(user, id):
            raise NotFound("This chat is not shared.", "id")

    async def remove(self, user: str, id: str) -> bool:
        """Ends a share of a user's, and says whether there was one."""
        async with self._lock:
            there = await self._found(id)
            if there is None or there.user != user or _has_ended(there):
                return False
            row = {"which": id, "whose": user, "now": time.time()}
            await self._database.write_together((self._end, row), (self._unname, row))
        return True

    async def sweep(self) -> None:
        """Removes what has ended, and in the end its id as well."""
        now = time.time()
        row = {"now": now}
        self._database.write_together((self._expire, row), (self._unname_ended, row))
        await self._database.write(self._forget, {"old": now - KEPT_IDS})

    async def all(self, user: str) -> AsyncGenerator[tuple[Share, bytes | None], None]:
        """Every share of a user, with what was posted."""
        own = select(shares.c.id).where(shares.c.user == user)
        async with aclosing(self._database.pages(own, shares.c.id)) as pages:
            async for page in pages:
                for row in page:
                    if (share := await self._found(row["id"])) and not _has_ended(share):
                        yield share, None if share.chat else await self.posted(share.id)

    async def forget(self, user: str) -> None:
        """Removes everything of a user's, his ids as well."""
        await self._database.write(self._drop, {"whose": user})

    async def _found(self, id: str) -> Share | None:
        """Also one that has ended."""
        its_chat = (chats.c.number == shares.c.chat) & (chats.c.share == shares.c.id)
        columns = (*(shares.c[name] for name in COLUMNS), shares.c.chat.label("number"))
        of_chat = (chats.c.id.label("chat"), chats.c.updated_at)
        found = select(*columns, *of_chat).outerjoin(chats, its_chat)
        for row in await self._database.read(found.where(shares.c.id == id)):
            share = Share(**{name: row[name] for name in (*COLUMNS, "chat")})
            if share.chat is not None:
                share.updated = max(share.updated, int(row["updated_at"] * 1000))
            elif row["number"] is not None:  # the chat is gone
                share.expires_at = 0.0
            return share
        return None

    async def _chat(self, user: str, chat: str) -> tuple[int, str | None]:
        """The number of a chat, and its share. Raises `NotFound`."""
        if chat.isprintable():
            own = select(chats.c.number, chats.c.share).where(chats.c.user == user, chats.c.id == chat)
            for row in await self._database.read(own):
                return row["number"], row["share"]
        raise NotFound("There is no such chat. GET /backend-api/v2/chats lists yours.", "id")

    async def _check(self, user: str, id: str, size: int) -> None:
        others = select(func.coalesce(func.sum(shares.c.bytes), 0).label("bytes"))
        others = others.where(shares.c.user == user, shares.c.id != id)
        (row,) = await self._database.read(others)
        if int(row["bytes"]) + size > self._quota:
            raise TooLarge(
                f"What you share would be more than {self._quota} bytes (chats.share_quota)."
                " Stop sharing another chat first."
            )


def _with(updated: int, posted: bytes) -> bytes:
    """The object, with this in it."""
    members = msgspec.json.decode(posted, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**members, "updated": updated})


def _named(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


def _has_ended(share: Share) -> bool:
    return share.expires_at is not None and share.expires_at <= time.time()


def _row(share: Share, lifetime: float | None) -> dict[str, Any]:
    expires_at = None if lifetime is None else time.time() + lifetime
    row = {name: getattr(share, name) for name in COLUMNS}
    return row | {"chat": None, "object": None, "bytes": 0, "expires_at": expires_at}
