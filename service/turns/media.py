"""Media that providers generate: copied among the user's files, so that they can be seen tomorrow as well."""

import logging
import time
from base64 import b64decode
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from html import escape
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from service.errors import NotFound, ProviderError, ServiceError
from service.providers.fetching import Fetcher
from service.stores.buckets import File
from service.stores.generated import Generated
from service.stores.names import plain
from service.turns.filing import Filing
from service.turns.uploads import Upload

log = logging.getLogger(__name__)

PIECE = 256 * 1024
"""Characters of base64 that are decoded at once."""
LONGEST_SOURCE = 2_000
LONGEST_QUOTED = 1_000_000
LONGEST_DECLARATION = 200
DRAWING = "image/svg+xml"
MEDIA = frozenset({"image", "audio", "video"})
PURPOSE = "generated"


class Wanted(Struct, frozen=True):
    """What somebody is to have a copy of, and what was asked for; `own` is the provider's address."""

    source: str
    user: str
    prompt: str
    tags: tuple[str, ...]
    own: str | None


class Found(Struct, frozen=True):
    """A medium on its way, as an upload takes it; `source` is its address where that is public."""

    filename: str | None
    chunks: AsyncGenerator[bytes, None]
    modified: float | None = None
    source: str | None = None


class Media:
    """Copies what a provider has generated, and finds it again."""

    def __init__(self, filing: Filing, generated: Generated, fetcher: Fetcher) -> None:
        self.filing, self.generated, self._fetcher = filing, generated, fetcher

    async def close(self) -> None:
        await self._fetcher.close()

    async def copy(self, wanted: Wanted) -> File | None:
        """The copy, once it would outlive a power cut; None where there is none, and the log says why."""
        try:
            async with self._found(wanted) as found, self.filing.upload(wanted.user, None) as upload:
                return await self._kept(wanted, found, upload)
        except (ServiceError, OSError) as error:
            log.info("a generated medium is not copied: %s", error)
            return None

    async def find(self, user: str | None, name: str) -> File:
        """One of a user's, or of anybody's. Raises `NotFound`."""
        file = await self.generated.named(user, name)
        self.filing.use(file.user, file.bucket)
        return file

    async def is_lost(self, file: File) -> bool:
        """Whether its bytes are gone, although nobody has removed it."""
        try:
            async with aclosing(self.filing.blobs.read(file.blob, 0, 1)) as chunks:
                await anext(chunks, b"")
        except NotFound:
            return True
        return False

    @asynccontextmanager
    async def _found(self, wanted: Wanted) -> AsyncGenerator[Found, None]:
        if _is_written(wanted.source):
            yield _written(wanted.source)
            return
        async with self._fetcher.fetch(wanted.source, wanted.own) as fetched:
            public = fetched.public and len(wanted.source) <= LONGEST_SOURCE
            yield Found(
                _named(fetched.media_type),
                fetched.chunks,
                fetched.modified,
                wanted.source if public else None,
            )

    async def _kept(self, wanted: Wanted, found: Found, upload: Upload) -> File:
        file = await upload.add(found)
        if file is None or (file.kind not in MEDIA and file.media_type != DRAWING):
            raise ProviderError("It is neither a picture, nor a sound, nor a film.")
        if file.is_document:  # nobody has to read what it says
            file.kind, file.state = "image", "ready"
        file.name = _name(wanted, found, file)
        file.words = f"{file.media_type} {file.name}".casefold()
        file.source, file.purpose = found.source, PURPOSE
        (kept,) = await self.filing.keep(upload)
        return kept


def address(file: File, place: str = "media") -> str:
    """Where it is handed out, with the public address at which it can be found should it be lost."""
    source = f"?url={quote(file.source, safe='')}" if file.source else ""
    return f"/{place}/{quote(file.name, safe='+,')}{source}"


def shown(file: File, alt: str) -> str:
    """As web clients show it. Source: the wire contract, section 4.6."""
    here = escape(address(file))
    if file.kind in {"audio", "video"}:
        return f'<{file.kind} controls src="{here}"></{file.kind}>'
    picture = f'<img src="{escape(address(file, "thumbnail"))}" alt="{escape(alt)}" width="" height="">'
    size = f'data-width="{file.width or ""}" data-height="{file.height or ""}"'
    source = escape(file.source or "")
    return f'<a href="{here}" data-src="{here}" {size} data-source="{source}">{picture}</a>'


def _name(wanted: Wanted, found: Found, file: File) -> str:
    """`<unix time>_<tags>+<prompt>_<16 hex>.<ext>`. Source: the wire contract, section 6."""
    size = (f"{file.width}x{file.height}",) if file.width else ()
    tags = plain("+".join(filter(None, map(plain, (*wanted.tags, *size)))))
    words = "+".join(filter(None, (tags, plain(wanted.prompt))))
    digest = file.sha256 if _is_written(wanted.source) else sha256(wanted.source.encode()).hexdigest()
    extension = file.name.rpartition(".")[2]
    return f"{int(found.modified or time.time())}_{words}_{digest[:16]}.{extension}"


def _is_written(source: str) -> bool:
    """Whether it is a data URI: the medium itself, and no address. Source: RFC 2397."""
    return source[:5].lower() == "data:"


def _written(source: str) -> Found:
    """Raises `ProviderError`."""
    start = source.find(",", 0, LONGEST_DECLARATION) + 1
    if not start:
        raise ProviderError("Its address has no end.")
    media_type, *parameters = source[5 : start - 1].lower().split(";")
    encoded = "base64" in parameters
    return Found(_named(media_type), _decoded(source, start) if encoded else _unquoted(source, start))


async def _decoded(source: str, start: int) -> AsyncGenerator[bytes, None]:
    """In pieces: others have their turn between them."""
    for place in range(start, len(source), PIECE):
        piece = source[place : place + PIECE]
        try:
            yield b64decode(piece + "=" * (-len(piece) % 4), validate=True)
        except ValueError as error:
            raise ProviderError("It is no base64.") from error


async def _unquoted(source: str, start: int) -> AsyncGenerator[bytes, None]:
    if len(source) > LONGEST_QUOTED:
        raise ProviderError("It is too long to be written without base64.")
    yield unquote_to_bytes(source[start:])


def _named(media_type: str) -> str | None:
    """Drawings are text: their bytes alone do not tell what they are."""
    return "drawing.svg" if media_type == DRAWING else None
