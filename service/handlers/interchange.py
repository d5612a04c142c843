"""Chats that are taken along: ours for elsewhere, and those of elsewhere for here."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from service.bodies import Content
from service.context import Caller, Context
from service.errors import BadRequest, TooLarge
from service.replies import Pieces
from service.routes import route, user
from service.setting_types import DAY
from service.stores.chats import Chat
from service.stores.names import plain
from service.turns.interchange import markdown, own
from service.turns.interchange.reading import Reading, Skipped
from service.turns.interchange.schemas import IMPORTED

V2 = "/backend-api/v2"
CHUNK = 256 * 1024
MOST_SKIPPED = 1_000
"""So many are named."""
JSON, MARKDOWN = "application/json", "text/markdown; charset=utf-8"


class Form(Struct, frozen=True):
    """What a chat is written as: json has all its branches, markdown what was shown, for people."""

    format: Literal["json", "markdown"] = "json"


class Imported(Struct):
    """How many chats were taken, and why others were not: the first thousand of those."""

    imported: int
    skipped: list[Skipped]


class Interchange:
    """chats/<id>/export, chats/export, chats/import."""

    def __init__(self, context: Context) -> None:
        self._chats, self._limits, self._tasks = context.chats, context.settings.chats, context.tasks
        self._seconds = context.settings.files.upload_timeout
        self.routes = {
            f"{V2}/chats/{{id}}/export": route(GET=self.export_chat),
            f"{V2}/chats/export": route(GET=self.export_chats),
            f"{V2}/chats/import": route(POST=self.import_chats),
        }

    @user
    async def export_chat(self, id: str, query: Form, caller: Caller) -> Pieces:
        """Sends a chat as a file, which `import` takes if it is JSON. Its files stay where they are."""
        chat = await self._chats.find(caller.user, id)
        name = plain(chat.title) or "chat"
        if query.format == "markdown":
            text = await asyncio.to_thread(markdown.written, chat)
            return _file(_once(text.encode(errors="replace")), MARKDOWN, f"{name}.md")
        return _file(_once(await asyncio.to_thread(_encoded, chat)), JSON, f"{name}.json")

    @user
    async def export_chats(self, caller: Caller) -> Pieces:
        """Sends all of the caller's chats as an array, one after another."""
        return _file(self._all(caller.user), JSON, "chats.json")

    @user
    async def import_chats(self, content: Annotated[Content, IMPORTED], caller: Caller) -> Imported:
        """Adds chats to the caller's: what `export` has written, gpt4free's conversations, ChatGPT's export.

        One of them, an array, or an object that has some in it. Each is taken whole or not at all; where
        there is a chat of the same id it gets a new one.
        """
        reading, imported = Reading(self._limits.longest_import), Imported(0, [])
        try:
            async with aclosing(self._chunks(content)) as chunks:
                async for chunk in chunks:
                    await self._add(caller.user, await asyncio.to_thread(reading.feed, chunk), imported)
            await self._add(caller.user, await asyncio.to_thread(reading.end), imported)
        except BadRequest as error:
            if not imported.imported:
                raise
            imported.skipped.append(Skipped("", error.message))
        return imported

    async def _add(self, user: str, found: Iterable[Chat | Skipped], imported: Imported) -> None:
        for each in found:
            skipped = await self._taken(user, each) if isinstance(each, Chat) else each
            if skipped is None:
                imported.imported += 1
            elif len(imported.skipped) < MOST_SKIPPED:
                imported.skipped.append(skipped)

    async def _taken(self, user: str, chat: Chat) -> Skipped | None:
        """Why it was not. This goes on to its end when whoever waits for it leaves."""
        keep = self._limits.keep
        if keep and not chat.starred and chat.updated_at < time.time() - keep * DAY:
            return Skipped(chat.title, f"Nobody has used it for {keep} days: none such is kept (chats.keep).")
        return await asyncio.shield(self._tasks.start(self._added(user, chat), "import of a chat"))

    async def _added(self, user: str, chat: Chat) -> Skipped | None:
        try:
            await self._chats.add(user, chat)
        except TooLarge as error:
            return Skipped(chat.title, error.message)
        return None

    async def _chunks(self, content: Content) -> AsyncGenerator[bytes, None]:
        """The body in pieces that are worth a thread's time."""
        limit, gathered = self._limits.import_limit, bytearray()
        async with aclosing(content.pieces(limit, "chats.import_limit", self._seconds)) as pieces:
            async for piece in pieces:
                gathered += piece
                if len(gathered) >= CHUNK:
                    yield bytes(gathered)
                    gathered.clear()
        yield bytes(gathered)

    async def _all(self, user: str) -> AsyncGenerator[bytes, None]:
        before = b"["
        async with aclosing(self._chats.all(user)) as chats:
            async for chat in chats:
                yield before + await asyncio.to_thread(_encoded, chat)
                before = b",\n"
        yield b"[]\n" if before == b"[" else b"]\n"


def _encoded(chat: Chat) -> bytes:
    return msgspec.json.encode(own.written(chat))


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _file(pieces: AsyncGenerator[bytes, None], content_type: str, name: str) -> Pieces:
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    return Pieces(pieces, content_type, {"Content-Disposition": disposition, "Cache-Control": "no-store"})
