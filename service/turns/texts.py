"""What documents say, as it is kept and as it is told: a page at a time, however long it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing

import msgspec
from msgspec import Struct

from service.documents.extraction import Document, Page
from service.stores.blobs import Blobs
from service.stores.buckets import File

ARCHIVE = "application/zip"

_encode = msgspec.json.Encoder().encode


class Heading(Struct, frozen=True):
    """What a document tells about itself."""

    media_type: str
    metadata: dict[str, str]


_heading = msgspec.json.Decoder(Heading).decode
_page = msgspec.json.Decoder(Page).decode


async def packed(document: Document) -> AsyncGenerator[bytes, None]:
    """A document for a blob: a line of JSON with its heading, then one for each page or piece of a page."""
    yield _encode(Heading(document.media_type, document.metadata)) + b"\n"
    for page in document.pages:
        yield _encode(page) + b"\n"
        await asyncio.sleep(0)


class Texts:
    """Reads texts that were kept. All raise `NotFound` and `Unavailable`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def document(self, file: File) -> Document:
        """The whole text of a document that is ready, in memory."""
        async with aclosing(self._lines(file)) as lines:
            heading = _heading(await anext(lines))
            pages = [_page(line) async for line in lines]
        return Document(tuple(pages), heading.metadata, heading.media_type)

    async def pages(self, file: File) -> AsyncGenerator[Page, None]:
        """The pages of a document that is ready, one after another."""
        async with aclosing(self._lines(file)) as lines:
            await anext(lines)
            async for line in lines:
                yield _page(line)

    async def bucket(self, files: Sequence[File]) -> AsyncGenerator[str, None]:
        """The text of documents in their frames, in pieces; of one that could not be read, why.

        Each file of an archive has a frame of its own. Source: the wire contract, section 5.2.
        """
        for file in files:
            async with aclosing(self.told(file)) as pieces:
                async for piece in pieces:
                    yield piece

    async def told(self, file: File, document: Document | None = None) -> AsyncGenerator[str, None]:
        """The same of one document; what it says is kept, or is what is given."""
        if file.state == "failed":
            yield f"{opening(file.name)}(This file could not be read: {file.reason})\n{CLOSING}"
        elif file.is_document and file.state == "ready":
            pages = _of(document) if document else self.pages(file)
            async with aclosing(pages), aclosing(_framed(file, pages)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _lines(self, file: File) -> AsyncGenerator[bytes, None]:
        """Without what ends them."""
        rest = b""
        async with aclosing(self._blobs.read(file.text_blob)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line


async def _of(document: Document) -> AsyncGenerator[Page, None]:
    for page in document.pages:
        yield page


CLOSING = "<-- End -->\n\n"


def opening(name: str) -> str:
    """What stands before the text of a file, or of a passage of it."""
    return f"<!-- File: {name} -->\n"


async def _framed(file: File, pages: AsyncIterable[Page]) -> AsyncGenerator[str, None]:
    """Between two pages is an empty line; the pieces of one page are put together again."""
    name, place, end = file.name, None, ""
    begun = False
    async for page in pages:
        now = (page.number, page.title)
        member = (page.title or file.name).partition(": ")[0] if file.media_type == ARCHIVE else file.name
        if not begun or member != name:
            yield (end + CLOSING if begun else "") + opening(member)
        elif now != place:
            yield "\n\n"
        yield page.text
        begun, name, place = True, member, now
        end = "" if page.text.endswith("\n") else "\n"
    yield (end if begun else opening(name)) + CLOSING
