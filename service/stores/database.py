"""Where everything that stays is kept: a SQLite file, one process, one writer, and readers beside it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Executable,
    RowMapping,
    Select,
    Table,
    inspect,
    make_url,
    select,
    tuple_,
)
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql.dml import UpdateBase

from service.errors import Unavailable
from service.stores import sqlite
from service.stores.schema import REVISION, metadata, version
from service.stores.writer import Writer, cause
from service.tasks import Tasks

READERS = 4
PAGE = 1_000
BUSY_SECONDS = 5.0


class DatabaseError(Unavailable):
    """The database cannot be opened or read; the text says why and what to do."""

    code = "database_unavailable"


class NewerSchema(Exception):
    """A newer version of the service has migrated the database."""


class Database:
    """`url` is `sqlite:///` and the path of a file; `linger` is how many seconds a row waits for company.

    Commits are `synchronous=FULL`: a row whose future is done outlives a power cut.
    """

    def __init__(self, url: str, linger: float, tasks: Tasks) -> None:
        self._file = _file(url)
        self._tasks = tasks
        # The writer leaves no transaction open, so a ROLLBACK after each COMMIT would be for nothing.
        self._write_engine = self._engine(sqlite.WRITER, pool_size=1, pool_reset_on_return=None)
        self._read_engine = self._engine(sqlite.READER, pool_size=READERS)
        self._writer = Writer(self._write_engine, linger)
        self._lock: sqlite.Lock | None = None
        self._running: asyncio.Task[None] | None = None

    def _engine(self, pragmas: tuple[str, ...], **pool: Any) -> AsyncEngine:
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self._file)),
            max_overflow=0,
            hide_parameters=True,
            connect_args={"timeout": BUSY_SECONDS},
            **pool,
        )
        sqlite.configure(engine, pragmas)
        return engine

    async def open(self) -> None:
        """Creates or migrates the file and starts the writer, or raises a `DatabaseError` of one sentence."""
        try:
            sqlite.create(self._file)
            self._lock = sqlite.Lock(self._file)
            async with self._write_engine.begin() as connection:
                await connection.run_sync(_bring_up_to_date)
        except (OSError, SQLAlchemyError, NewerSchema) as error:
            await self.close()
            reason = f"{cause(error)}. {sqlite.advice(cause(error))}".strip()
            raise DatabaseError(f"The database {self._file} cannot be opened: {reason}") from error
        self._running = self._tasks.start(self._writer.run(), "database writer")

    async def close(self) -> None:
        """Writes what waits, for some seconds at most, and closes. Call it before the tasks are closed."""
        if self._running is not None:
            await self._writer.close(self._running)
        await self._read_engine.dispose()
        await self._write_engine.dispose()
        if self._lock is not None:
            self._lock.release()
        self._running = self._lock = None

    @property
    def failing(self) -> str | None:
        """Why rows cannot be written at present, or None. They are kept, and written when they can be."""
        return self._writer.failing

    @property
    def waiting(self) -> int:
        """How many rows wait to be written."""
        return self._writer.waiting

    @property
    def commits(self) -> int:
        """How many transactions the writer has committed."""
        return self._writer.commits

    def insert(self, into: Table) -> Insert:
        """`INSERT` as the database's dialect has it, with `on_conflict_…`: the one place that chooses."""
        return insert(into)

    def write(self, statement: UpdateBase, row: Mapping[str, Any]) -> asyncio.Future[None]:
        """Queues `row` for `statement` and returns at once; the future is done when the row is durable.

        Nobody has to await it; who does so with a deadline shields it. A bad row fails alone. Rows of one
        `statement`, made once and kept, are executed together, again if need be: an upsert bears that.
        """
        return self._writer.write(statement, row)

    async def read(self, statement: Executable) -> Sequence[RowMapping]:
        """All rows at once, from a connection that never waits for the writer."""
        try:
            async with self._read_engine.connect() as connection:
                return (await connection.execute(statement)).mappings().all()
        except SQLAlchemyError as error:
            raise DatabaseError(f"The database cannot be read: {cause(error)}.") from error

    async def pages(
        self, statement: Select[Any], *key: ColumnElement[Any]
    ) -> AsyncGenerator[Sequence[RowMapping], None]:
        """A large result in flat memory, in the order of `key`: columns that it selects, unique together.

        Each page is a query of its own, so that a slow reader holds neither a connection nor a snapshot.
        """
        ordered = statement.order_by(*key).limit(PAGE)
        page = await self.read(ordered)
        while page:
            yield page
            if len(page) < PAGE:
                return
            last = tuple(page[-1][str(part.key)] for part in key)
            page = await self.read(ordered.where(tuple_(*key) > last))


def _file(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise DatabaseError(
            "database.url must name a SQLite file: sqlite:///relative.db, sqlite:////absolute.db."
        )
    return Path(parsed.database).absolute()


def _bring_up_to_date(connection: Connection) -> None:
    """Makes or migrates the tables, all or nothing.

    Alembic (24 MiB, 0.2 s) is loaded for an older schema only: a new file gets the tables as they are today.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # SQLite's driver begins no transaction for CREATE TABLE
    if not inspect(connection).has_table(version.name):
        metadata.create_all(connection, checkfirst=False)
        version.create(connection)
        connection.execute(version.insert(), {"version_num": REVISION})
    elif (stored := connection.scalar(select(version.c.version_num))) != REVISION:
        _migrate(connection, stored)


def _migrate(connection: Connection, stored: str | None) -> None:
    from service.stores import migrations

    if stored not in migrations.revisions():
        raise NewerSchema(
            f"its schema is that of a newer version ({stored}; this one knows {REVISION})."
            " Install that version again, or restore a backup"
        )
    migrations.migrate(connection)
