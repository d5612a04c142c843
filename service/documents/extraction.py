"""Documents to text, and pictures to thumbnails: in child processes, for what users send is hostile."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from msgspec import Struct

from service.documents.kinds import PICTURES, SOUNDS, Kind
from service.documents.protocol import Finished, Heard, Page, Refused, Shown, Task
from service.documents.readers import Death, Read, Reader, reader
from service.errors import DocumentRefused, Unavailable
from service.settings import Documents
from service.tasks import Tasks

__all__ = ["Document", "Extractor", "Page", "Picture"]


class Document(Struct, frozen=True):
    """What a file says. `metadata` has what it tells of itself: title, author, and the like, where they are.

    Of an archive, `metadata["unread"]` names the members that could not be read, and why. `media_type` is
    that of the content, where it turned out to be another one than the kind's.
    """

    pages: tuple[Page, ...]
    metadata: dict[str, str]
    media_type: str


class Picture(Struct, frozen=True):
    """`width` and `height` are the original's in pixels, as it is shown: turned as its EXIF says."""

    width: int
    height: int
    media_type: str


PICTURE, SOUND = PICTURES["png"], SOUNDS["wav"]
"""What they are is seen when they are opened."""


class Extractor:
    """Reads files in child processes, which start when they are needed, and end when they no longer are.

    Whatever a file does to its reader costs nobody else more than a process. What waits for one of
    `documents.processes` is served in its order.
    """

    def __init__(self, limits: Documents, tasks: Tasks) -> None:
        self._limits, self._tasks = limits, tasks
        self._places = asyncio.Semaphore(limits.processes)
        self._idle: dict[Reader, asyncio.TimerHandle] = {}
        self._readers: set[Reader] = set()
        self._folder: Path | None = None

    async def text(self, path: Path, name: str, kind: Kind) -> Document:
        """What the file at `path`, which its sender called `name`, says; raises `DocumentRefused`."""
        read = await self._read(Task(str(path), name, kind))
        assert isinstance(read.end, Finished)
        return Document(read.pages, read.end.metadata, read.end.media_type)

    async def picture(self, path: Path, thumbnail: Path, name: str = "") -> Picture:
        """The picture's size; writes a thumbnail (JPEG, at most 400 x 400). Raises `DocumentRefused`."""
        end = (await self._read(Task(str(path), name or path.name, PICTURE))).end
        assert isinstance(end, Shown)
        await asyncio.to_thread(thumbnail.write_bytes, end.thumbnail)
        return Picture(end.width, end.height, end.media_type)

    async def seconds(self, path: Path, name: str) -> float | None:
        """How long a sound or a film takes; None where that cannot be told. Raises `DocumentRefused`."""
        end = (await self._read(Task(str(path), name, SOUND))).end
        assert isinstance(end, Heard)
        return end.seconds

    async def close(self) -> None:
        """Ends all processes; what they were reading fails."""
        for handle in self._idle.values():
            handle.cancel()
        self._idle.clear()
        await asyncio.gather(*(self._end(reader) for reader in set(self._readers)))
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of those that run, also of those that wait for a file."""
        return tuple(reader.pid for reader in self._readers)

    async def _read(self, task: Task) -> Read:
        async with self._places:
            reader = await self._take()
            try:
                async with asyncio.timeout(self._limits.timeout):
                    read = await reader.read(task)
            except TimeoutError:
                limit = f"{self._limits.timeout:g} seconds (documents.timeout)"
                raise _refusal(task, f"takes longer to read than {limit}") from None
            except Death as death:
                raise _refusal(task, str(death)) from None
            finally:
                self._give_back(reader)
        if isinstance(read.end, Refused):
            raise _refusal(task, read.end.reason)
        return read

    async def _take(self) -> Reader:
        """One that waits, or a new one."""
        while self._idle:
            waiting, handle = self._idle.popitem()
            handle.cancel()
            if waiting.usable:
                return waiting
            self._retire(waiting)
        try:
            self._folder = self._folder or Path(tempfile.mkdtemp(prefix="causerie-"))
            started = await reader(self._limits, self._folder)
        except OSError as error:
            cause = error.strerror or str(error)
            raise Unavailable(f"Files cannot be read now, no process can be started: {cause}.") from error
        self._readers.add(started)
        return started

    def _give_back(self, reader: Reader) -> None:
        if not reader.usable or reader not in self._readers:
            return self._retire(reader)
        loop = asyncio.get_running_loop()
        self._idle[reader] = loop.call_later(self._limits.idle, self._retire, reader)
        return None

    def _retire(self, reader: Reader) -> None:
        self._idle.pop(reader, None)
        self._tasks.start(self._end(reader), "end of a process that read files")

    async def _end(self, reader: Reader) -> None:
        try:
            await reader.close()
        finally:
            self._readers.discard(reader)


def _refusal(task: Task, reason: str) -> DocumentRefused:
    name = "".join(letter if letter.isprintable() else "?" for letter in task.name)
    return DocumentRefused(f"The file {name[-120:]} {reason}.", "files")
