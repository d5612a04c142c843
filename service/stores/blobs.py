"""Bytes that stay: each blob is written once, whole or not at all, under a key that nobody can choose."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from aiofiles.threadpool import wrap
from msgspec import Struct

from service.errors import NotFound, StorageFull, TooLarge
from service.settings import SettingsError

CHUNK = 256 * 1024
PAGE = 1_000
KEY = re.compile(r"[0-9a-f]{32}(\.[a-z]+)?")
ARRIVING = "arriving"
FOLDERS = [f"{number:02x}" for number in range(256)]
"""A blob's is the first two digits of its key: no directory becomes too large."""


class Written(Struct, frozen=True):
    """What has become of a stream."""

    bytes: int
    sha256: str


class Blobs(Protocol):
    """A directory, or a bucket of an object storage; nothing else knows which.

    A key is 32 hexadecimal digits, and may have a suffix such as `.text`.
    """

    async def open(self) -> None:
        """Makes what must be there before the first blob. Raises `StorageFull`."""

    async def write(self, key: str, chunks: AsyncIterable[bytes], limit: int | None = None) -> Written:
        """Returns when the blob would outlive a power cut; whatever is raised on the way leaves nothing.

        Raises `TooLarge` beyond `limit` bytes, `StorageFull` when it cannot be written, and what `chunks`
        raises.
        """

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `end`, which is not among them. Raises `NotFound` where no blob is."""

    def local(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A file with the blob's bytes, to be read while the context lasts. Raises `NotFound`."""

    async def delete(self, keys: Iterable[str]) -> None:
        """Removes blobs; one that is not there is removed already."""

    def keys(self) -> AsyncGenerator[list[str], None]:
        """Every blob's key, in pages."""


class Measured:
    """Counts and hashes a stream on its way."""

    def __init__(self, limit: int | None) -> None:
        self._limit, self._bytes, self._hash = limit, 0, hashlib.sha256()

    async def through(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Raises `TooLarge`."""
        async for chunk in chunks:
            self._bytes += len(chunk)
            if self._limit is not None and self._bytes > self._limit:
                raise TooLarge(
                    f"A file is larger than the limit of {self._limit} bytes (files.file_limit)."
                    " Send a smaller one, or ask the operator."
                )
            self._hash.update(chunk)
            yield chunk

    @property
    def written(self) -> Written:
        return Written(self._bytes, self._hash.hexdigest())


class Directory:
    """`Blobs` in a directory of this machine: a temporary file first, then its name."""

    def __init__(self, root: Path) -> None:
        self._root, self._arriving = root, root / ARRIVING

    async def open(self) -> None:
        try:
            await asyncio.to_thread(self._make)
        except OSError as error:
            raise _unwritable(error) from error

    def _make(self) -> None:
        """What has not arrived when a process ended never will."""
        self._arriving.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in self._arriving.iterdir():
            file.unlink()
        for folder in FOLDERS:
            (self._root / folder).mkdir(mode=0o700, exist_ok=True)
        _synchronize(self._root)

    async def write(self, key: str, chunks: AsyncIterable[bytes], limit: int | None = None) -> Written:
        place, arriving = self._place(key), self._arriving / key
        measured = Measured(limit)
        try:
            async with aclosing(measured.through(chunks)) as passing:
                await save(passing, arriving)
            await _undisturbed(_named, arriving, place)
        except BaseException as error:
            place.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _unwritable(error) from error
            raise
        finally:
            arriving.unlink(missing_ok=True)
        return measured.written

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        try:
            opened = self._place(key).open("rb")
        except FileNotFoundError:
            raise missing() from None
        with opened:
            file = wrap(opened)
            await file.seek(start)
            while chunk := await file.read(CHUNK if end is None else max(min(CHUNK, end - start), 0)):
                start += len(chunk)
                yield chunk

    @asynccontextmanager
    async def local(self, key: str) -> AsyncGenerator[Path, None]:
        place = self._place(key)
        if not await asyncio.to_thread(place.is_file):
            raise missing()
        yield place

    async def delete(self, keys: Iterable[str]) -> None:
        await asyncio.to_thread(self._unlink, [self._place(key) for key in keys])

    def _unlink(self, places: Iterable[Path]) -> None:
        for place in places:
            place.unlink(missing_ok=True)

    async def keys(self) -> AsyncGenerator[list[str], None]:
        found = (file.name for file in self._root.glob("??/*"))
        while page := await asyncio.to_thread(lambda: list(islice(found, PAGE))):
            yield page

    def _place(self, key: str) -> Path:
        return self._root / checked(key)[:2] / key


def checked(key: str) -> str:
    """Raises `ValueError` for what is no key: no path is ever made of anything else."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a blob")
    return key


def missing() -> NotFound:
    return NotFound("The bytes of this file are not there any more. Upload it again.")


async def whole(blobs: Blobs, key: str) -> bytes:
    """All bytes of a blob, for those that are known to be small. Raises `NotFound`."""
    async with aclosing(blobs.read(key)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def save(chunks: AsyncIterable[bytes], path: Path) -> None:
    """Writes a new file, for this user's eyes only, and returns when the disk has its bytes.

    It is opened and closed without a thread: there is none for who is cancelled.
    """
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, new, 0o600), "wb") as opened:
        file = wrap(opened)
        async for chunk in chunks:
            await file.write(chunk)
        await file.flush()
        await asyncio.to_thread(os.fsync, opened.fileno())


async def _undisturbed(act: Callable[..., None], *places: Path) -> None:
    """Acts in a thread. Whoever is cancelled meanwhile goes when it is done: then he knows what there is."""
    acting = asyncio.get_running_loop().run_in_executor(None, act, *places)
    try:
        await asyncio.shield(acting)
    except asyncio.CancelledError:
        await asyncio.wait([acting])
        raise


def _named(arriving: Path, place: Path) -> None:
    """The name is durable, too."""
    arriving.rename(place)
    _synchronize(place.parent)


def _synchronize(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> StorageFull:
    return StorageFull(
        f"Files cannot be kept now: {error.strerror or type(error).__name__}. Try again later, or tell the"
        " operator."
    )


def blobs_at(url: str, directory: Path) -> Blobs:
    """In the object storage of an address, or, where there is none, in the directory.

    The client of object storages is loaded for those only. Raises `SettingsError` where it is not installed.
    """
    if not url:
        return Directory(directory)
    try:
        from service.stores.blobs_object import ObjectStorage
    except ImportError as error:
        raise SettingsError(
            "files.url names an object storage, and its client is not installed. Run: pip install obstore"
        ) from error
    return ObjectStorage(url)
