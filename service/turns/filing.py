"""Files: taken into buckets, read in the background, handed out, removed with everything that is theirs."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, suppress

from service.errors import NotFound, Unavailable
from service.setting_types import DAY
from service.settings import Files
from service.stores.blobs import Blobs
from service.stores.buckets import Buckets, File
from service.tasks import Tasks
from service.turns.reading import Reading
from service.turns.space import Space
from service.turns.texts import Texts
from service.turns.uploads import Reader, Shelf, Upload

log = logging.getLogger(__name__)

ROUND_SECONDS = 3_600.0

Deleted = Callable[[Sequence[File]], Awaitable[None]]
Released = Callable[[str, str], Awaitable[bool]]
"""What removes something else that a user calls by the id of a bucket, and says whether there was any."""


class Filing:
    """Everything that is done with files. Whose they are is always said: another's are not there.

    `texts` has what documents say. `reading.after` and `deleted` have what else is to be done when a text is
    there, and when files are gone; `released`, when a user says that he needs an id no longer.
    """

    def __init__(self, buckets: Buckets, blobs: Blobs, reader: Reader, limits: Files, tasks: Tasks) -> None:
        self.buckets, self.blobs, self.limits = buckets, blobs, limits
        self.space = Space(limits.user_quota, limits.total_quota)
        self.reading = Reading(buckets, blobs, reader, self.space)
        self.texts = Texts(blobs)
        self.deleted: list[Deleted] = []
        self.released: list[Released] = []
        self.sweeps: list[Callable[[], Awaitable[None]]] = []
        """What else a crash may have left, and who removes it."""
        self.workers: list[Callable[[], Coroutine[None, None, None]]] = []
        """What else is done with texts in the background, for as long as files are taken."""
        self._arriving: set[str] = set()
        self._shelf = Shelf(blobs, reader, self.space, limits, self._arriving, set())
        self._reader, self._tasks = reader, tasks
        self._running: list[asyncio.Task[None]] = []

    async def open(self, readers: int) -> None:
        """Goes on where a former process ended, and reads so many documents at the same time."""
        await self.blobs.open()
        self.space.count(await self.buckets.used())
        await self.reading.resume()
        for number in range(readers):
            self._running.append(self._tasks.start(self.reading.run(), f"reader {number} of documents"))
        self._running += [self._tasks.start(work(), "work on texts") for work in self.workers]
        self._running.append(self._tasks.start(self._tidy_up(), "tidying up of files"))

    async def close(self) -> None:
        """Ends what runs in the background; documents that are being read are read again another time."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self._reader.close()

    @asynccontextmanager
    async def upload(self, user: str, bucket: str | None) -> AsyncGenerator[Upload, None]:
        """An upload, of which nothing is left unless it is kept before the context ends.

        Without a bucket there can be one file, in a bucket that has the file's id.
        """
        upload = Upload(self._shelf, user, bucket, await self._there(user, bucket) if bucket else ())
        try:
            yield upload
        finally:
            await asyncio.shield(self._tasks.start(upload.undo(), "end of an upload"))

    async def keep(self, upload: Upload) -> list[File]:
        """Returns the files when they would outlive a power cut, under the names that they have now.

        A name that is taken gets a number; a file that is there already is returned as it is. This goes on
        when whoever waits for it leaves.
        """
        return await asyncio.shield(self._tasks.start(self._keep(upload), "files are kept"))

    async def progress(self, user: str, bucket: str, patience: float) -> AsyncGenerator[Sequence[File], None]:
        """The files of a bucket whenever one of them has been read, and after so many seconds without news.

        It ends when all have been read. Raises `NotFound`.
        """
        while True:
            news = self.reading.news(user, bucket)
            files = await self.buckets.bucket(user, bucket)
            yield files
            if not any(file.state == "waiting" for file in files):
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), patience)

    def use(self, user: str, bucket: str) -> None:
        """Notes that somebody needs a bucket, so that it does not expire."""
        if self.limits.keep:
            self.buckets.use(user, bucket)

    async def remove(self, user: str, bucket: str) -> Sequence[File]:
        """Removes a bucket with everything that is in it. Raises `NotFound`."""
        await self.buckets.bucket(user, bucket)
        return await asyncio.shield(self._tasks.start(self._remove(user, bucket), "removal of a bucket"))

    async def release(self, user: str, id: str) -> None:
        """Removes whatever a user calls by this id. Raises `NotFound` where that is nothing."""
        others = [await remove(user, id) for remove in self.released]
        try:
            await self.remove(user, id)
        except NotFound:
            if not any(others):
                raise

    async def remove_file(self, user: str, id: str) -> File:
        """Removes one file of whichever bucket. Raises `NotFound`."""
        file = await self.buckets.find(user, id)
        await asyncio.shield(self._tasks.start(self._remove_file(file), "removal of a file"))
        return file

    async def forget(self, user: str) -> int:
        """Removes all of a user's buckets, and says how many files were in them."""
        count = 0
        async with aclosing(self.buckets.all(user)) as pages:
            async for files in pages:
                for bucket in dict.fromkeys(file.bucket for file in files):
                    with suppress(NotFound):
                        count += len(await self.remove(user, bucket))
        return count

    async def expire(self, before: float) -> None:
        """Removes buckets that nobody has used since a time, a thousand at most."""
        for user, bucket in await self.buckets.unused(before):
            with suppress(NotFound):
                await self.remove(user, bucket)

    async def sweep(self) -> None:
        """Removes blobs that are no file's: of uploads and removals that a crash has cut short.

        Where there is no file at all, somebody may have lost the database, or named a wrong one: then all
        blobs stay.
        """
        if not await self.buckets.used():
            return
        async with aclosing(self.blobs.keys()) as pages:
            async for keys in pages:
                arriving = set(self._arriving)  # before the rows are read: whatever has left it is a row
                ids = {key: f"file-{key[:32]}" for key in keys}
                existing = await self.buckets.existing(ids.values())
                orphans = [key for key, id in ids.items() if id not in existing | arriving]
                if orphans:
                    log.info("%d blobs are no file's, and are removed", len(orphans))
                    await self.blobs.delete(orphans)

    async def _there(self, user: str, bucket: str) -> Sequence[File]:
        try:
            return await self.buckets.bucket(user, bucket)
        except NotFound:
            return ()

    async def _keep(self, upload: Upload) -> list[File]:
        async with upload.settling:
            placed = await self.buckets.add(upload.files)
            new = {file.id for file in upload.files} & {file.id for file in placed}
            spared = upload.kept(placed)
        for file in placed:
            if file.state == "failed":  # it may have been the service's fault: it is tried again
                file.state, file.reason = "waiting", None
                await self.buckets.settle(file)
                new.add(file.id)
        for file in {file.id: file for file in placed if file.id in new}.values():
            if file.state == "waiting":
                self.reading.add(file)
        if placed:
            self.reading.tell(upload.user, placed[0].bucket)
        await self._discard(spared)
        return placed

    async def _remove(self, user: str, bucket: str) -> Sequence[File]:
        with suppress(NotFound):  # somebody else was first
            files = await self.buckets.remove(user, bucket)
            await self._removed(user, bucket, files)
            return files
        return ()

    async def _remove_file(self, file: File) -> None:
        with suppress(NotFound):
            await self.buckets.remove_file(file.user, file.id)
            await self._removed(file.user, file.bucket, [file])

    async def _removed(self, user: str, bucket: str, files: Sequence[File]) -> None:
        self.space.give_back(user, sum(file.room for file in files))
        self.reading.tell(user, bucket)
        for act in self.deleted:
            await act(files)
        await self._discard(files)

    async def _discard(self, files: Sequence[File]) -> None:
        """What cannot be deleted now is swept later."""
        try:
            await self.blobs.delete([key for file in files for key in file.blobs])
        except (Unavailable, OSError) as error:
            log.warning("the blobs of %d files stay for now: %s", len(files), error)

    async def _tidy_up(self) -> None:
        while True:
            with suppress(Unavailable):  # then there is another time
                if self.limits.keep:
                    await self.expire(time.time() - self.limits.keep * DAY)
                for sweep in (self.sweep, *self.sweeps):
                    await sweep()
                await self._recount()
            await asyncio.sleep(ROUND_SECONDS)

    async def _recount(self) -> None:
        """Others may have removed something beside the service; whatever moves just now is not recounted."""
        moves = self.space.moves
        used = await self.buckets.used()
        if not self._arriving and self.space.moves == moves:
            self.space.count(used)
