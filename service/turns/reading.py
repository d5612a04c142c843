"""Documents are read in the background, each user's in turn; whoever waits for a text is woken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from weakref import WeakValueDictionary

from service.documents.extraction import Document
from service.documents.kinds import Kind, extension_of
from service.errors import ServiceError, StorageFull, Unavailable
from service.stores.blobs import Blobs
from service.stores.buckets import Buckets, File
from service.turns.rounds import Rounds
from service.turns.space import Space
from service.turns.texts import packed
from service.turns.uploads import Reader

log = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
"""After which what could not be written, or not be read just now, is tried again."""

NAMES = "downloads.json"
"""A file that names pages to be fetched."""

After = Callable[[File, Document], Awaitable[None]]
Fetch = Callable[[File], Awaitable[None]]


class Reading:
    """Turns documents into texts, as long as there is room for these.

    `after` has what is to be done with each text before it is ready; `fetch` fetches what a file names, if
    anybody does.
    """

    def __init__(self, buckets: Buckets, blobs: Blobs, reader: Reader, space: Space) -> None:
        self.after: list[After] = []
        self.fetch: Fetch | None = None
        self._buckets, self._blobs, self._reader, self._space = buckets, blobs, reader, space
        self._rounds: Rounds[File] = Rounds()
        self._fetching: Rounds[File] = Rounds()
        self._news: WeakValueDictionary[tuple[str, str], asyncio.Event] = WeakValueDictionary()

    async def resume(self) -> None:
        """Goes on with what a former process left."""
        for file in await self._buckets.waiting():
            self.add(file)

    def add(self, file: File) -> None:
        """Has a document read in its turn."""
        rounds = self._fetching if self.fetch and file.name == NAMES else self._rounds
        rounds.add(file.user, file)

    async def run(self) -> None:
        """Reads, one after another; several may run at once."""
        await self._run(self._rounds)

    async def run_fetching(self) -> None:
        """Reads those that name others, which takes as long as these take to come."""
        await self._run(self._fetching)

    async def _run(self, rounds: Rounds[File]) -> None:
        while True:
            file = await rounds.next()
            try:
                await self._read(file)
            except (Unavailable, StorageFull) as error:
                log.warning("%s could not be read yet: %s", file.id, error)
                await asyncio.sleep(PAUSE_SECONDS)
                self.add(file)

    def news(self, user: str, bucket: str) -> asyncio.Event:
        """Set when something has changed in the bucket; then there is another one."""
        return self._news.setdefault((user, bucket), asyncio.Event())

    def tell(self, user: str, bucket: str) -> None:
        """Wakes who waits for news of a bucket."""
        if news := self._news.pop((user, bucket), None):
            news.set()

    async def _read(self, file: File) -> None:
        if not await self._buckets.existing([file.id]):
            return
        try:
            await self._told(file)
        except (Unavailable, StorageFull):
            self._give_back(file)
            raise
        except ServiceError as error:
            self._fail(file, error.message)
        except Exception:
            log.exception("%s cannot be read", file.id)
            self._fail(file, "The service failed on this file; its log says why.")
        else:
            file.state, file.reason = "ready", None
        if not await self._buckets.settle(file):  # it was removed meanwhile
            self._give_back(file)
            await self._blobs.delete(file.blobs)
        self.tell(file.user, file.bucket)

    async def _told(self, file: File) -> None:
        """Keeps what a file says, and has done with it what is to be done."""
        if self.fetch and file.name == NAMES:
            await self.fetch(file)
        kind = Kind(file.media_type, "document", extension_of(file.name))
        async with self._blobs.local(file.blob) as path:
            document = await self._reader.text(path, file.name, kind)
        characters = sum(len(page.text) for page in document.pages)
        self._space.take(file.user, characters)
        file.pages, file.characters = _pages(document), characters
        async with aclosing(packed(document)) as lines:
            await self._blobs.write(file.text_blob, lines)
        for act in self.after:
            await act(file, document)

    def _fail(self, file: File, reason: str) -> None:
        self._give_back(file)
        file.state, file.reason, file.pages = "failed", reason, None

    def _give_back(self, file: File) -> None:
        """The room of a text that is none."""
        if file.characters:
            self._space.give_back(file.user, file.characters)
            file.characters = None


def _pages(document: Document) -> int:
    """How many there are; a long one is in several pieces, and what has no numbers is one."""
    return max((page.number or 0 for page in document.pages), default=0) or 1
