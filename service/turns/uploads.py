"""The files of one request on their way into a bucket: all of them are kept, or none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from msgspec import Struct

from service.documents.extraction import Document, Picture
from service.documents.kinds import HEAD, Kind, kind_of
from service.errors import DocumentRefused, TooLarge
from service.settings import Files
from service.stores.blobs import Blobs
from service.stores.buckets import File, new_id
from service.stores.names import file_name
from service.turns.space import Space


class Incoming(Protocol):
    """A file as it arrives."""

    @property
    def filename(self) -> str | None:
        """What the client calls it: anything."""

    @property
    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Its bytes, which can be read once. They may raise any `ServiceError`."""


class Reader(Protocol):
    """Who reads documents, and measures pictures and sounds, as service.documents does in its own processes.

    Raises `DocumentRefused`, which says what is wrong with the file or which limit it meets.
    """

    async def text(self, path: Path, name: str, kind: Kind) -> Document:
        """What a document says."""

    async def picture(self, path: Path, thumbnail: Path, name: str = "") -> Picture:
        """What a picture is; a small JPEG of it is written to `thumbnail`."""

    async def seconds(self, path: Path, name: str) -> float | None:
        """How long a sound or a film takes; None where nobody can tell."""

    async def close(self) -> None:
        """Ends what it is doing."""


class Shelf(Struct, frozen=True):
    """Where files go, and how much of them."""

    blobs: Blobs
    reader: Reader
    space: Space
    limits: Files
    arriving: set[str]
    """The ids of files that are no rows yet: their blobs are nobody's, and must stay."""
    again: set[str]
    """The ids of files that may just be arriving once more: each only once at a time."""


class Upload:
    """Takes files into one bucket of one user, one after another; `there` is what is in it.

    Without a bucket there can be one file, in a bucket that has the file's id.
    """

    def __init__(self, shelf: Shelf, user: str, bucket: str | None, there: Sequence[File]) -> None:
        self.user, self.bucket = user, bucket
        self.files: list[File] = []
        self.settling = asyncio.Lock()
        """It is being kept, or undone: never both."""
        self._shelf, self._taken = shelf, 0
        self._there = {file.name: file for file in there}
        self._bytes = sum(file.bytes for file in there)
        self._again: list[File] = []
        """Those that may have been sent once more: as long as nobody knows better, that needs no room."""

    async def add(self, incoming: Incoming, purpose: str | None = None) -> File | None:
        """Stores a file; None for one that nobody here could read or show, of which nothing is kept.

        Raises `TooLarge` with the limit that it meets, and what is wrong with a picture.
        """
        async with aclosing(incoming.chunks) as chunks:
            head = await _head(chunks)
            kind = kind_of(head, incoming.filename or "")
            if kind is None:
                return None
            file = self._named(incoming.filename, kind, purpose)
            twin = self._expect(file.name)
            self._shelf.arriving.add(file.id)
            self.files.append(file)
            self._check()
            async with aclosing(self._counted(head, chunks)) as counted:
                written = await self._shelf.blobs.write(file.blob, counted, self._shelf.limits.file_limit)
        file.bytes, file.sha256 = written.bytes, written.sha256
        if twin and twin.sha256 != file.sha256:
            self._again.remove(twin)
            self._shelf.again.remove(twin.id)
            self._check()
        if file.kind == "image":
            await self._look_at(file)
        elif file.kind in {"audio", "video"}:
            await self._listen_to(file)
        return file

    def kept(self, placed: Sequence[File]) -> list[File]:
        """Ends the upload, of which these are kept; returns the others, which were there already."""
        spared = [file for file in self.files if file not in placed]
        self._shelf.space.give_back(self.user, sum(file.bytes for file in spared))
        self._end()
        return spared

    async def undo(self) -> None:
        """Leaves nothing of it, unless it was kept."""
        async with self.settling:
            self._shelf.space.give_back(self.user, self._taken)
            try:
                await self._shelf.blobs.delete([key for file in self.files for key in file.blobs])
            finally:
                self._end()

    def _end(self) -> None:
        self._shelf.arriving.difference_update(file.id for file in self.files)
        self._shelf.again.difference_update(file.id for file in self._again)
        self.files, self._taken = [], 0

    def _named(self, name: str | None, kind: Kind, purpose: str | None) -> File:
        id = new_id()
        return File(
            id=id,
            user=self.user,
            bucket=self.bucket or id,
            name=file_name(name, f".{kind.extension}"),
            kind=kind.family,
            media_type=kind.media_type,
            bytes=0,
            sha256="",
            state="waiting" if kind.family == "document" else "ready",
            purpose=purpose,
        )

    async def _counted(self, head: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """What arrives, as long as there is room for it."""
        self._take(len(head))
        yield head
        async for chunk in rest:
            self._take(len(chunk))
            yield chunk

    def _expect(self, name: str) -> File | None:
        """The file of that name which is there, if this may be the same: a client tries its upload again."""
        twin = self._there.get(name)
        if twin is None or twin.id in self._shelf.again:
            return None
        self._shelf.again.add(twin.id)
        self._again.append(twin)
        return twin

    def _check(self) -> None:
        """Raises `TooLarge` where there are too many files now, or too many bytes of them."""
        limit = self._shelf.limits.bucket_files
        if len(self._there) - len(self._again) + len(self.files) > limit:
            raise TooLarge(
                f"The bucket would have more files than the limit of {limit} (files.bucket_files)."
                " Use another one."
            )
        self._take(0)

    def _take(self, size: int) -> None:
        limit, spare = self._shelf.limits.bucket_limit, sum(file.bytes for file in self._again)
        if self._bytes - spare + self._taken + size > limit:
            raise TooLarge(
                f"The bucket would be larger than the limit of {limit} bytes (files.bucket_limit)."
                " Use another one."
            )
        self._shelf.space.take(self.user, size, spare)
        self._taken += size

    async def _look_at(self, file: File) -> None:
        """Measures a picture, and keeps a small one of it."""
        with TemporaryDirectory(prefix="causerie-", ignore_cleanup_errors=True) as folder:
            small = Path(folder) / "thumbnail"
            async with self._shelf.blobs.local(file.blob) as path:
                picture = await self._shelf.reader.picture(path, small, file.name)
            file.width, file.height = picture.width, picture.height
            data = await asyncio.to_thread(small.read_bytes)
            await self._shelf.blobs.write(file.thumbnail_blob, _once(data))

    async def _listen_to(self, file: File) -> None:
        """Measures a sound or a film; whatever it is, it is kept."""
        with suppress(DocumentRefused):
            async with self._shelf.blobs.local(file.blob) as path:
                file.duration = await self._shelf.reader.seconds(path, file.name)


async def _head(chunks: AsyncIterator[bytes]) -> bytes:
    """As much of the beginning as tells what it is."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    return head


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
