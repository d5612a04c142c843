"""The one writer: what comes within a few milliseconds is one transaction, and nothing that waits is lost."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy.sql.dml import UpdateBase

from service.errors import Unavailable
from service.stores.prepared import Prepared
from service.stores.system import System

log = logging.getLogger(__name__)

BATCH = 1_000
CAPACITY = 20_000
CROWDED = CAPACITY // 2
FIRST_PAUSE = 0.05
LAST_PAUSE = 2.0
CLOSE_SECONDS = 5.0


Part: TypeAlias = tuple[UpdateBase, Mapping[str, Any]]


class Write(NamedTuple):
    parts: tuple[Part, ...]
    done: asyncio.Future[None]

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # counts as retrieved: nobody has to await it


class Writer:
    """Gathers rows, commits them together, and tries again for as long as the environment prevents it.

    At most `CAPACITY` rows wait, some 30 MB. From half of that on it says that it is failing, so that nothing
    new is begun; a row beyond it fails at once. A commit whose answer was lost is repeated: statements must
    bear that, as upserts do.
    """

    def __init__(self, system: System, linger: float) -> None:
        self.commits = 0
        self._system = system
        self._statements: WeakKeyDictionary[UpdateBase, Prepared] = WeakKeyDictionary()
        self._linger = linger
        self._waiting: list[Write] = []
        self._batch: list[Write] = []
        self._oldest = 0.0
        self._arrival = asyncio.Event()
        self._closing = False
        self._trouble: str | None = None

    @property
    def waiting(self) -> int:
        """Rows that are not durable yet, those in the hands of the database included."""
        return len(self._waiting) + len(self._batch)

    @property
    def failing(self) -> str | None:
        """Why rows cannot be written at present, or None."""
        if self._trouble is None and self.waiting > CROWDED:
            return f"The database is too slow: {self.waiting} rows wait to be written."
        return self._trouble

    def write(self, *parts: Part) -> asyncio.Future[None]:
        """Queues rows that are one; the future is done when they are durable, and fails where one is bad."""
        loop = asyncio.get_running_loop()
        write = Write(parts, loop.create_future())
        if self._closing:
            write.fail(Unavailable("The database is closed."))
        elif self.waiting >= CAPACITY:
            write.fail(Unavailable(f"{self.waiting} rows wait to be written, no more can."))
        else:
            self._oldest = self._oldest if self._waiting else loop.time()
            self._waiting.append(write)
            self._arrival.set()
        return write.done

    async def run(self) -> None:
        """Commits what arrives, until `close`. No row waits longer than `linger` for company."""
        while self._waiting or not self._closing:
            await self._arrival.wait()
            pause = self._oldest + self._linger - asyncio.get_running_loop().time()
            if pause > 0:
                await asyncio.sleep(pause)
            self._batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._arrival.clear()
            if self._batch:
                await self._commit(self._batch)
                self._batch = []

    async def close(self, running: asyncio.Task[None]) -> None:
        """Gives `running` some seconds to write what waits; what then remains fails."""
        self._closing = True
        self._arrival.set()
        await asyncio.wait({running}, timeout=CLOSE_SECONDS)
        running.cancel()
        await asyncio.wait({running})
        lost = [write for write in self._batch + self._waiting if not write.done.done()]
        if lost:
            log.error("%d rows could not be written before the end. %s", len(lost), self.failing or "")
        for write in lost:
            write.fail(Unavailable("The database was closed before this was written."))

    async def _commit(self, batch: list[Write]) -> None:
        """A bad row fails alone: its batch is halved until it stands by itself."""
        try:
            await self._persist(batch)
        except Exception as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._commit(batch[:middle])
                await self._commit(batch[middle:])
                return
            log.error("The database refused a row: %s.", self._system.cause(error))
            batch[0].fail(error)
        else:
            for write in batch:
                write.succeed()

    async def _persist(self, batch: list[Write]) -> None:
        """Commits `batch` as soon as that can be done; raises only what a row of it is to blame for."""
        pause = FIRST_PAUSE
        while not await self._written(batch):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    async def _written(self, batch: list[Write]) -> bool:
        try:
            await self._transact(batch)
        except Exception as error:
            if not self._system.row_is_bad(error):
                self._note(f"The database cannot be written: {self._system.cause(error)}.")
                return False
            self._note(None)
            raise
        self._note(None)
        return True

    def _prepared(self, statement: UpdateBase, row: Mapping[str, Any]) -> Prepared:
        if (known := self._statements.get(statement)) is None:
            known = Prepared(statement, self._system.writer.dialect, list(row))
            self._statements[statement] = known
        return known

    def _note(self, trouble: str | None) -> None:
        if trouble is not None and self._trouble is None:
            log.error(trouble)
        if trouble is None and self._trouble is not None:
            log.warning("The database can be written again.")
        self._trouble = trouble

    async def _transact(self, batch: list[Write]) -> None:
        by_statement: dict[UpdateBase, list[Mapping[str, Any]]] = {}
        for write in batch:
            for statement, row in write.parts:
                by_statement.setdefault(statement, []).append(row)
        statements = [(self._prepared(statement, rows[0]), rows) for statement, rows in by_statement.items()]
        statements.sort(key=lambda each: each[0].order)
        await self._system.transact(statements)
        self.commits += 1
