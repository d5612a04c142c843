"""What only SQLite needs: a file, a lock on it, how durable a commit is, and what its errors mean."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, NullPool, Table, event
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.stores.prepared import Statement
from service.stores.system import READERS, InUse

BUSY_SECONDS = 5.0

# FULL: a commit outlives a power cut, not only the process. The limit gives back what a long read let grow.
WRITER = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=67108864")
READER = ("query_only=ON",)

BAD_ROW = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    StatementError,
    ValueError,
    TypeError,
    OverflowError,
)

GIVE_ACCESS = "Give the service's user write access, or set another state directory."
FREE_SPACE = "Free some space, then start again."
ADVICE = {
    "is not a database": "Move it away, or restore a backup.",
    "is malformed": "Restore a backup.",
    "is locked": "Close the other program that uses it, then start again.",
    "is full": FREE_SPACE,
    "no space left": FREE_SPACE,
    "permission denied": GIVE_ACCESS,
    "read-only": GIVE_ACCESS,
    "readonly": GIVE_ACCESS,
    "unable to open": GIVE_ACCESS,
}


class SQLite:
    """A `System` in a file."""

    patience = None

    def __init__(self, file: Path) -> None:
        self.name = str(file)
        self._file = file
        self._lock: Lock | None = None
        self._transactions = Transactions(self.name)
        self.writer = self._engine(WRITER, poolclass=NullPool)
        self.reader = self._engine(READER, pool_size=READERS, max_overflow=0)

    def _engine(self, pragmas: tuple[str, ...], **pool: Any) -> AsyncEngine:
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=self.name),
            hide_parameters=True,
            connect_args={"timeout": BUSY_SECONDS},
            **pool,
        )
        _configure(engine, pragmas)
        return engine

    def create(self) -> None:
        """Makes the file and its directory where they are missing, for this user's eyes only."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    async def lock(self) -> None:
        self._lock = Lock(self._file)

    def release(self) -> None:
        self._transactions.close()
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def begin(self, connection: Connection) -> None:
        """SQLite's driver begins no transaction for CREATE TABLE."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def transact(self, statements: Sequence[Statement]) -> None:
        await self._transactions.transact(statements)

    def insert(self, into: Table) -> Insert:
        return insert(into)

    def row_is_bad(self, error: Exception) -> bool:
        return isinstance(error, BAD_ROW)

    def cause(self, error: Exception) -> str:
        return str(error.orig if isinstance(error, StatementError) and error.orig else error)

    def advice(self, cause: str) -> str:
        return next((text for words, text in ADVICE.items() if words in cause.lower()), "")


class Transactions:
    """The one connection that writes, in a thread of its own: a transaction is one way there and back.

    Statement by statement, as aiosqlite does it, thread and event loop wake each other for every one.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, "database writer")
        self._connection: sqlite3.Connection | None = None

    async def transact(self, statements: Sequence[Statement]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, statements)

    def close(self) -> None:
        """Waits for what is being written."""
        if self._connection:
            self._thread.submit(self._connection.close)
            self._connection = None
        self._thread.shutdown()

    def _transact(self, statements: Sequence[Statement]) -> None:
        with self._transaction() as connection:
            for prepared, rows in statements:
                connection.executemany(prepared.text, list(map(prepared.values, rows)))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection = self._connection or self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # some errors end it
                connection.execute("ROLLBACK")
            raise

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        for pragma in WRITER:
            connection.execute(f"PRAGMA {pragma}")
        return connection


class Lock:
    """An advisory lock on `<file>.lock`: one process serves a file. The kernel ends it with the process."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip()
            self.release()
            raise InUse(
                f"process {holder or '?'} already serves it. Stop that one, or set another state directory"
            ) from None
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._descriptor)


def _configure(engine: AsyncEngine, pragmas: tuple[str, ...]) -> None:
    """Sets `pragmas` on every connection that `engine` opens."""

    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)
