"""Pages that a client names in a `downloads.json`: fetched into its bucket, where the operator allows it.

Source: the wire contract, sections 5.1 and 15.
"""

import asyncio
from collections.abc import AsyncGenerator
from mimetypes import MimeTypes

import msgspec
from msgspec import Struct
from yarl import URL

from service.errors import DocumentRefused, ServiceError
from service.providers.fetching import Fetched, Fetcher, parsed
from service.stores.blobs import whole
from service.stores.buckets import File
from service.turns.filing import Filing

AT_ONCE = 4
"""Of all users; a page that is slow to come keeps no document waiting that is here."""
LONGEST = 65_536
"""Bytes of such a file."""
SHOWN = 200
"""Characters of an address in what is said of it."""

_types = MimeTypes()


class Wanted(Struct, frozen=True):
    """An address, or several; what else clients say, such as how deep to follow links, has no effect."""

    url: str | None = None
    urls: tuple[str, ...] = ()


_wanted = msgspec.json.Decoder(list[Wanted]).decode


class Page(Struct, frozen=True):
    """A page on its way, as an upload takes it."""

    filename: str
    chunks: AsyncGenerator[bytes, None]


class Downloads:
    """Fetches so many pages at most for one file, within so many seconds, each as a file beside it."""

    def __init__(self, filing: Filing, fetcher: Fetcher, most: int, patience: float) -> None:
        self._filing, self._fetcher, self._most, self._patience = filing, fetcher, most, patience

    async def fetch(self, file: File) -> None:
        """What the file names. Raises `DocumentRefused`, also where only some could be fetched."""
        try:
            async with asyncio.timeout(self._patience):
                faults = [await self._page(address, file) for address in await self._addresses(file)]
        except TimeoutError as error:
            raise DocumentRefused(
                f"What {file.name} names takes longer to come than {self._patience:g} seconds"
                " (documents.timeout).",
                "files",
            ) from error
        if faults := list(filter(None, faults)):
            raise DocumentRefused(" ".join(faults), "files")

    async def _addresses(self, file: File) -> list[str]:
        """Raises `DocumentRefused`."""
        try:
            wanted = _wanted(await whole(self._filing.blobs, file.blob) if file.bytes <= LONGEST else b"")
        except msgspec.DecodeError as error:
            raise DocumentRefused(
                f'{file.name} is to be a list of addresses, as in [{{"url": "https://…"}}].', "files"
            ) from error
        found = [address for each in wanted for address in (each.url, *each.urls) if address]
        if len(found) > self._most:
            raise DocumentRefused(
                f"{file.name} names more addresses than the limit of {self._most} (files.downloads).", "files"
            )
        return found

    async def _page(self, address: str, beside: File) -> str | None:
        """Why it cannot be fetched, if it cannot."""
        try:
            async with (
                self._fetcher.fetch(address) as fetched,
                self._filing.upload(beside.user, beside.bucket) as upload,
            ):
                page = await upload.add(Page(_name(parsed(address), fetched), fetched.chunks))
                if page is None:
                    return f"{address[:SHOWN]} is nothing that can be read here."
                page.source = address
                if await self._filing.buckets.existing([beside.id]):  # else it was removed meanwhile
                    await self._filing.keep(upload)
        except ServiceError as error:
            return f"{address[:SHOWN]} is not taken. {error.message}"
        return None


def _name(url: URL, fetched: Fetched) -> str:
    """Of the address, with an ending that fits what is there: a host's own would seem one."""
    stem = f"{url.host}{url.path}".strip("/").replace(".", "-")
    return stem + (_types.guess_extension(fetched.media_type) or url.suffix or ".txt")
