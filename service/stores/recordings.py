"""What was spoken, kept to be heard again, in files that take only so much room: the least recently heard go.

Their names are hashes under our secret: they say nothing of the text, nor of whose it is.
"""

import asyncio
import os
import secrets
import weakref
from collections import OrderedDict
from pathlib import Path

from service.errors import StorageFull
from service.stores.secret import Secret

PIECE = 64 * 1024
"""Bytes that are read at once."""
DRAFT = ".draft"
LEAST = 256 * 1024 * 1024
"""Bytes for what is being made, however little is kept."""
OWNER = 16
"""Characters of a name that are the same for all that is one owner's."""


class Draft:
    """A recording that is being made: it grows at its end, and may be read meanwhile from anywhere.

    It can be read for as long as somebody holds it, whether it was kept or dropped.
    """

    def __init__(self, path: Path, drafts: "Drafts") -> None:
        self.path, self.size, self._drafts = path, 0, drafts
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._file)  # not before the last thread that reads it has ended

    async def write(self, data: bytes) -> None:
        """Appends. Raises `StorageFull`."""
        self._drafts.grow(self, len(data))
        await asyncio.to_thread(self._write, data, self.size)
        self.size += len(data)

    async def correct(self, position: int, data: bytes) -> None:
        """Puts other bytes in the place of those at a position. Raises `StorageFull`."""
        await asyncio.to_thread(self._write, data, position)

    async def read(self, position: int) -> bytes:
        """Some of what there is from there on."""
        return await asyncio.to_thread(os.pread, self._file, min(PIECE, self.size - position), position)

    def _write(self, data: bytes, position: int) -> None:
        left = memoryview(data)
        try:
            while left:
                count = os.pwrite(self._file, left, position)
                left, position = left[count:], position + count
        except OSError as error:
            raise _full(error) from error


class Drafts:
    """What is being made takes only so much room, too."""

    def __init__(self, limit: int) -> None:
        self._limit, self._sizes = max(limit, LEAST), dict[Draft, int]()

    def grow(self, draft: Draft, count: int) -> None:
        """Raises `StorageFull`."""
        if sum(self._sizes.values()) + count > self._limit:
            raise StorageFull(
                f"More is being spoken now than the {self._limit} bytes that there is room for"
                " (speech.cache_size). Try again in a moment."
            )
        self._sizes[draft] = self._sizes.get(draft, 0) + count

    def end(self, draft: Draft) -> None:
        """It is whole, or nothing."""
        self._sizes.pop(draft, None)


class Recordings:
    """`limit` is in bytes; with 0 nothing is kept. Nothing is read or made before somebody wants to hear."""

    def __init__(self, directory: Path, limit: int, secret: Secret) -> None:
        self._directory, self._limit, self._secret = directory, limit, secret
        self._sizes: OrderedDict[str, int] = OrderedDict()
        """By the names of the files; the one that was used last is the last."""
        self._total, self._drafts = 0, Drafts(limit)
        self._opening = asyncio.Lock()
        self._is_open = False

    async def open(self) -> None:
        """Looks at what there is, once, and removes what a dead process left half made.

        Raises `StorageFull`.
        """
        async with self._opening:
            if not self._is_open:
                await asyncio.to_thread(self._secret.load)
                self._sizes = await asyncio.to_thread(_swept, self._directory)
                self._total, self._is_open = sum(self._sizes.values()), True
                await self._make_room()

    def name(self, owner: str, *parts: str) -> str:
        """The name of what is an owner's and is said by these parts; none is guessed without our secret."""
        return _beginning(self._secret, owner) + self._secret.mac("recording", owner, *parts)

    def has(self, file: str) -> bool:
        """Whether a file is kept, as far as we know."""
        return file in self._sizes

    async def find(self, file: str) -> Path | None:
        """Where a file lies, None where it is not kept; from now on it is the last one to go."""
        if file not in self._sizes:
            return None
        path = self._directory / file
        try:
            await asyncio.to_thread(os.utime, path)
        except FileNotFoundError:  # somebody has tidied up
            self._forget(file)
            return None
        if file in self._sizes:
            self._sizes.move_to_end(file)
        return path

    async def begin(self) -> Draft:
        """A recording that is to be made; `keep` or `drop` must follow. Raises `StorageFull`."""
        try:
            path = self._directory / f"{secrets.token_hex(16)}{DRAFT}"
            return await asyncio.to_thread(Draft, path, self._drafts)
        except OSError as error:
            raise _full(error) from error

    async def keep(self, draft: Draft, file: str) -> None:
        """The draft is whole: from now on it is found."""
        if draft.size > self._limit:
            await self.drop(draft)
            return
        self._drafts.end(draft)
        await asyncio.to_thread(draft.path.replace, self._directory / file)
        self._forget(file)
        self._sizes[file] = draft.size
        self._total += draft.size
        await self._make_room()

    async def drop(self, draft: Draft) -> None:
        """The draft is nothing that anybody should find."""
        self._drafts.end(draft)
        await asyncio.to_thread(draft.path.unlink, missing_ok=True)

    async def forget(self, owner: str) -> None:
        """Removes all that is an owner's."""
        if not self._is_open and not await asyncio.to_thread(self._directory.exists):
            return
        await self.open()
        beginning = _beginning(self._secret, owner)
        for file in [file for file in self._sizes if file.startswith(beginning)]:
            await self._remove(file)

    async def _make_room(self) -> None:
        while self._total > self._limit:
            await self._remove(next(iter(self._sizes)))

    async def _remove(self, file: str) -> None:
        self._forget(file)
        await asyncio.to_thread((self._directory / file).unlink, missing_ok=True)

    def _forget(self, file: str) -> None:
        self._total -= self._sizes.pop(file, 0)


def remove(directory: Path, secret: Secret, owner: str) -> None:
    """Removes all that is an owner's, whether or not a service is running."""
    if directory.exists():
        for path in directory.glob(f"{_beginning(secret, owner)}*"):
            path.unlink(missing_ok=True)


def _beginning(secret: Secret, owner: str) -> str:
    return secret.mac("owner of recordings", owner)[:OWNER]


def _swept(directory: Path) -> OrderedDict[str, int]:
    """The files that are kept, and their sizes, the one that was used last at the end."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for entry in os.scandir(directory):
            if entry.name.endswith(DRAFT):
                Path(entry.path).unlink(missing_ok=True)
            else:
                found.append((entry.stat().st_mtime, entry.name, entry.stat().st_size))
    except OSError as error:
        raise _full(error) from error
    return OrderedDict((name, size) for _, name, size in sorted(found))


def _full(error: OSError) -> StorageFull:
    return StorageFull(f"What is spoken cannot be written down now: {error.strerror}. Try again later.")
