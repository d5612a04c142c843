"""Generated media, as the web clients know them. Source: the wire contract, section 6."""

import re
from random import Random
from typing import Annotated
from unicodedata import normalize

from aiohttp import web
from msgspec import Meta, Struct
from msgspec.structs import replace

from service.context import Caller, Context
from service.downloads import Download
from service.errors import BadRequest, NotFound
from service.handlers.create import YES
from service.handlers.files import original, thumbnail
from service.providers.fetching import parsed
from service.routes import route, user
from service.stores.buckets import File
from service.turns.media import Media as Store
from service.turns.media import address

FOREVER = "private, max-age=31536000, immutable"
"""A name never stands for other bytes; whoever is somebody else must ask for himself."""
MOST_WORDS = 16


class Origin(Struct, frozen=True):
    """Where the medium came from: the client is sent there if it is lost, and it did come from there."""

    url: str = ""


class Choice(Struct, frozen=True):
    """Which of those that match: the newest but `skip`, or any of them if `random` is "true".

    Another `random` always stands for the same one. `min` is how many of the words must match; left out: all.
    """

    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    min: Annotated[int, Meta(ge=1, le=MOST_WORDS)] | None = None
    random: str = ""


class Media:
    """media, images, thumbnail, search."""

    def __init__(self, context: Context) -> None:
        self._media: Store = context.media
        self._context = context
        self.routes = {
            "/media/{name}": route(GET=self.medium),
            "/images/{name}": route(GET=self.image),
            "/thumbnail/{name}": route(GET=self.small),
            "/search/{words}": route(GET=self.search),
        }

    @user
    async def medium(self, name: str, query: Origin, caller: Caller) -> Download:
        """Sends what a provider has generated for the caller, as it was copied."""
        return _unchanging(original(self._media.filing, await self._found(name, query, caller)))

    @user
    async def image(self, name: str, query: Origin, caller: Caller) -> Download:
        """The same; an older address."""
        return await self.medium(name, query, caller)

    @user
    async def small(self, name: str, query: Origin, caller: Caller) -> Download:
        """Sends a small JPEG of a picture, and of anything else the whole."""
        file = await self._found(name, query, caller)
        return _unchanging(await thumbnail(self._media.filing, file) or original(self._media.filing, file))

    @user
    async def search(self, words: str, query: Choice, caller: Caller) -> Download:
        """Sends the client to one of the caller's generated media, by words of its name and of its type."""
        wanted = _words(words)
        least = min(query.min or len(wanted), len(wanted))
        place = query.skip
        if query.random:
            count = await self._media.generated.count(caller.user, wanted, least)
            if not count:
                raise NotFound("Not found: nothing of yours that was generated has these words.", "words")
            place = _chance(query.random).randrange(count)
        file = await self._media.generated.found(caller.user, wanted, least, place)
        raise web.HTTPFound(address(replace(file, source=None)))

    async def _found(self, name: str, query: Origin, caller: Caller) -> File:
        """Raises `NotFound`.

        A picture in a page is asked for without a header that says whose it is: where nobody needs a key, and
        whoever asks may call himself anything, it is found by its name alone.
        """
        unnamed = caller.admin and not self._context.needs_key
        file = await self._media.find(None if unnamed else caller.user, name)
        if file.source and query.url == file.source and await self._media.is_lost(file):
            raise web.HTTPFound(parsed(file.source))
        return file


def _words(text: str) -> list[str]:
    """In small letters. Raises `BadRequest` and `NotFound`."""
    words = re.split(r"[+\s]+", normalize("NFC", text).casefold().strip("+ "))
    if len(words) > MOST_WORDS:
        raise BadRequest(f"Search for {MOST_WORDS} words at most.", "words")
    if not text.isprintable() or not words[0]:
        raise NotFound("Not found: nothing has such words.", "words")
    return words


def _chance(seed: str) -> Random:
    return Random() if seed.lower() in YES else Random(seed)


def _unchanging(download: Download) -> Download:
    return replace(download, caching=FOREVER)
