"""Blobs in an object storage: Amazon's S3 and what speaks like it, Google Cloud Storage, Azure."""

import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from service.errors import StorageFull, Unavailable
from service.settings import SettingsError
from service.stores.blobs import CHUNK, PAGE, Measured, Written, checked, missing, save

if TYPE_CHECKING:
    from obstore import GetOptions

SENT_AT_ONCE = 4
"""Pieces of 5 MiB of one file that are on their way, and in memory."""


class ObjectStorage:
    """`Blobs` at an address such as `s3://name/prefix`.

    Who we are, and where the storage is, is read from the environment as its own programs do
    (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY…).
    A process that is killed in the midst of a large file leaves what the storage's own rules for incomplete
    uploads should remove.
    """

    def __init__(self, url: str) -> None:
        """Raises `SettingsError`."""
        try:
            self._store = from_url(url)
        except (BaseError, ValueError) as error:
            raise SettingsError(f"files.url cannot be used: {_cause(error)} Correct it.") from error

    async def open(self) -> None:
        """Nothing has to be made; whether it can be reached shows with the first blob."""

    async def write(self, key: str, chunks: AsyncIterable[bytes], limit: int | None = None) -> Written:
        """Nothing is sent before all of it is here: what is cut leaves nothing there."""
        measured = Measured(limit)
        try:
            async with _spooled(checked(key)) as place:
                async with aclosing(measured.through(chunks)) as passing:
                    await save(passing, place)
                await obstore.put_async(self._store, key, place, max_concurrency=SENT_AT_ONCE)
        except (BaseError, OSError) as error:
            raise StorageFull(f"Files cannot be kept now: {_cause(error)} Try again later.") from error
        return measured.written

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        if end is not None and start >= end:
            return
        asked: GetOptions = {"range": {"offset": start}} if end is None else {"range": (start, end)}
        try:  # of nothing at all no range can be had
            found = await obstore.get_async(self._store, checked(key), options=asked if start or end else {})
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except FileNotFoundError:
            raise missing() from None
        except (BaseError, OSError) as error:
            raise Unavailable(f"Files cannot be read now: {_cause(error)} Try again later.") from error

    @asynccontextmanager
    async def local(self, key: str) -> AsyncGenerator[Path, None]:
        async with _spooled(checked(key)) as place:
            async with aclosing(self.read(key)) as chunks:
                await save(chunks, place)
            yield place

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:  # one by one: several storages refuse a list in which one is missing
            try:
                await obstore.delete_async(self._store, checked(key))
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise Unavailable(f"Files cannot be removed now: {_cause(error)}") from error

    async def keys(self) -> AsyncGenerator[list[str], None]:
        try:
            async for page in obstore.list(self._store, chunk_size=PAGE):
                yield [Path(found["path"]).name for found in page]
        except (BaseError, OSError) as error:
            raise Unavailable(f"Files cannot be listed now: {_cause(error)}") from error


@asynccontextmanager
async def _spooled(key: str) -> AsyncGenerator[Path, None]:
    """Where a temporary copy can be made."""
    with TemporaryDirectory(prefix="causerie-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / key


def _cause(error: Exception) -> str:
    """What the storage said, in a line and without addresses: they may hold a signature."""
    said = str(error).partition("\n")[0]
    return re.sub(r"\w+://\S+", "…", said).rstrip(".") + "."
