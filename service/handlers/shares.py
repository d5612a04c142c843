"""Shared chats, read by whoever has the id. Source: the wire contract, section 9."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from service.bodies import Content
from service.context import Caller, Context
from service.replies import Pieces
from service.routes import anyone, decoded, route, user
from service.setting_types import DAY
from service.stores.shares import Share, share_id
from service.turns.interchange import gpt4free, pages
from service.turns.interchange.schemas import SHARED

V2 = "/backend-api/v2"
TAG = re.compile(r'(?:W/)?"?(-?\d{1,20})"?')
PAGES_BYTES = 16 * 2**20
"""Of the pages that were made last: these are kept as they are."""
Seconds = Annotated[float, Meta(ge=1, le=10 * 365 * DAY)]
Number = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class Posted(Struct):
    """What has to be known of a conversation object; everything else is its clients' affair."""

    updated: Number | None = None


class Accepted(Struct):
    """The id under which it can be read."""

    share_id: str


class Sharing(Struct):
    """For how many seconds; null or left out: for as long as the operator lets it."""

    expires_in: Seconds | None = None


class Shared(Struct):
    """Where a chat can be read, by anyone, until `expires` (UTC milliseconds since 1970; null: for good).

    `url` begins with a slash: it is a page of this service.
    """

    share_id: str
    url: str
    expires: int | None


OBJECT = msgspec.json.Decoder(dict[str, Any])
POSTED = msgspec.json.Decoder(Posted)


class SharedChats:
    """chat, chats/<id>/share."""

    def __init__(self, context: Context) -> None:
        self._shares, self._chats = context.shares, context.chats
        self._settings = context.settings.chats
        self._pages: dict[tuple[str, int], bytes] = {}
        self._making = asyncio.Lock()
        """One at a time: whoever reads must not keep those from a thread who want to ask."""
        self.routes = {
            f"{V2}/chat/{{share}}": route(GET=self.read_share, POST=self.post_share),
            f"{V2}/chat/{{share}}/page": route(GET=self.share_page),
            f"{V2}/chats/{{id}}/share": route(PUT=self.share_chat, DELETE=self.unshare_chat),
        }

    @anyone
    async def read_share(self, share: str, headers: Mapping[str, str]) -> Pieces:
        """Sends a shared chat as its client has posted it, or a chat of the server as it stands now.

        With If-None-Match, a bare integer or an ETag, it is a 304 for as long as `updated` is the same.
        """
        found = await self._shares.find(share_id(share))
        _check(found, headers)
        if found.chat is None:
            return _sent(await self._shares.posted(found.id), found)
        chat = await self._chats.find(found.user, found.chat)
        return _sent(msgspec.json.encode(gpt4free.conversation(chat, found.id, found.updated)), found)

    @anyone
    async def share_page(self, share: str, headers: Mapping[str, str]) -> Pieces:
        """Sends the same as HTML that is safe to show, message by message: for the page of a shared chat."""
        found = await self._shares.find(share_id(share))
        _check(found, headers)
        return _sent(await self._page(found), found)

    @user
    async def post_share(self, share: str, content: Annotated[Content, SHARED], caller: Caller) -> Accepted:
        """Shares a conversation object under an id of the client's choice, or what has become of it.

        The same `updated` once more changes nothing. It is readable by whoever knows the id: choose one that
        nobody guesses. Another's id is a 403, not a 404: whoever has it can read that it is there.
        """
        id = share_id(share)
        body = bytes(await content.whole(self._settings.share_limit, "chats.share_limit"))
        posted = await asyncio.to_thread(_posted, body)
        lifetime = self._settings.share_expiry * DAY or None
        await self._shares.post(caller.user, id, posted.updated, body, lifetime)
        return Accepted(id)

    @user
    async def share_chat(self, id: str, body: Sharing, caller: Caller) -> Shared:
        """Shares a chat that the server keeps, as it stands whenever it is read. The id stays the same."""
        longest = self._settings.share_expiry * DAY or None
        lifetimes = [seconds for seconds in (body.expires_in, longest) if seconds is not None]
        share = await self._shares.share(caller.user, id, min(lifetimes, default=None))
        expires = None if share.expires_at is None else int(share.expires_at * 1000)
        return Shared(share.id, f"/share/{share.id}", expires)

    @user
    async def unshare_chat(self, id: str, caller: Caller) -> None:
        """Ends the share of a chat: from now on nobody reads it by that id."""
        await self._shares.unshare(caller.user, id)

    async def _page(self, share: Share) -> bytes:
        async with self._making:
            if (made := self._pages.pop((share.id, share.updated), None)) is None:
                if share.chat is None:
                    posted = await self._shares.posted(share.id)
                    made = await asyncio.to_thread(pages.of_object, posted, share.updated)
                else:
                    chat = await self._chats.find(share.user, share.chat)
                    made = await asyncio.to_thread(pages.of_chat, chat, share.updated)
            self._pages[share.id, share.updated] = made
            while len(self._pages) > 1 and sum(map(len, self._pages.values())) > PAGES_BYTES:
                del self._pages[next(iter(self._pages))]
        return made


def _posted(body: bytes) -> Posted:
    """Raises `BadRequest` for what is no JSON object: whoever reads it must be able to."""
    decoded(body, OBJECT)
    posted: Posted = decoded(body, POSTED)
    return posted


def _check(share: Share, headers: Mapping[str, str]) -> None:
    """Raises 304 where whoever asks has it as it is."""
    tags = headers.get("If-None-Match", "").split(",")
    found = (TAG.fullmatch(tag.strip()) for tag in tags)
    if any(tag and int(tag[1]) == share.updated for tag in found):
        raise web.HTTPNotModified(headers=_headers(share))


def _sent(body: bytes, share: Share) -> Pieces:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body

    return Pieces(pieces(), "application/json", _headers(share))


def _headers(share: Share) -> dict[str, str]:
    """Nobody keeps it longer than its owner wants."""
    return {"ETag": f'"{share.updated}"', "X-Robots-Tag": "noindex, nofollow", "Cache-Control": "no-store"}
