"""Where everything that stays is kept: one process, one writer, and readers beside it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
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
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.sql.dml import UpdateBase

from service.errors import Unavailable
from service.stores import (  # noqa: F401 - for their tables, which are in the metadata
    key_costs,
    schema_chats,
    schema_complaints,
    schema_files,
    schema_passages,
    schema_shares,
    totals,
)
from service.stores.schema import REVISION, metadata, version
from service.stores.sqlite import SQLite
from service.stores.system import System
from service.stores.writer import Part, Writer
from service.tasks import Tasks

PAGE = 1_000


class DatabaseError(Unavailable):
    """The database cannot be opened or read; the text says why and what to do."""

    code = "database_unavailable"


class NewerSchema(Exception):
    """A newer version of the service has migrated the database."""


class Database:
    """`url` is `sqlite:///` and the path of a file, or `postgresql://…`.

    `linger` is how many seconds a row waits for company; one whose future is done outlives a power cut.
    """

    def __init__(self, url: str, linger: float, tasks: Tasks) -> None:
        self._system = _system(url)
        self._tasks = tasks
        self._writer = Writer(self._system, linger)
        self._running: asyncio.Task[None] | None = None

    async def open(self, *, beside: bool = False) -> None:
        """Creates or migrates the tables and starts the writer, or raises a `DatabaseError` of one sentence.

        `beside`: for a few rows, while the service may be running on the same database.
        """
        try:
            self._system.create()
            if not (beside and await self._is_current()):
                await self._system.lock()
                async with self._system.writer.begin() as connection:
                    await connection.run_sync(self._system.begin)
                    await connection.run_sync(_bring_up_to_date)
        except (OSError, SQLAlchemyError, NewerSchema) as error:
            await self.close()
            cause = self._system.cause(error)
            reason = f"{cause}. {self._system.advice(cause)}".strip()
            raise DatabaseError(f"The database {self._system.name} cannot be opened: {reason}") from error
        self._running = self._tasks.start(self._writer.run(), "database writer")

    async def _is_current(self) -> bool:
        async with self._system.writer.connect() as connection:
            return await connection.run_sync(_is_current)

    async def close(self) -> None:
        """Writes what waits, for some seconds at most, and closes. Call it before the tasks are closed."""
        if self._running is not None:
            await self._writer.close(self._running)
        await self._system.reader.dispose()
        await self._system.writer.dispose()
        self._system.release()
        self._running = None

    @property
    def dialect(self) -> str:
        """For what each system does in its own way: "sqlite" or "postgresql"."""
        return self._system.writer.dialect.name

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
        """`INSERT` as the database's dialect has it, with `on_conflict_…`."""
        return self._system.insert(into)

    def write(self, statement: UpdateBase, row: Mapping[str, Any]) -> asyncio.Future[None]:
        """Queues `row` for `statement` and returns at once; the future is done when the row is durable.

        Nobody has to await it; who does so with a deadline shields it. A bad row fails alone. Rows of one
        `statement`, made once and kept, are executed together, again if need be: an upsert bears that.
        """
        return self._writer.write((statement, row))

    def write_together(self, *parts: Part) -> asyncio.Future[None]:
        """Like `write`, for several statements of which all are executed, in their order, or none.

        Rows of the same statement may overtake others of the commit: where that matters, ORDER says so.
        """
        return self._writer.write(*parts)

    async def read(self, statement: Executable) -> Sequence[RowMapping]:
        """All rows at once, from a connection that never waits for the writer."""
        try:
            async with asyncio.timeout(self._system.patience), self._system.reader.connect() as connection:
                return (await connection.execute(statement)).mappings().all()
        except (OSError, SQLAlchemyError) as error:
            raise DatabaseError(f"The database cannot be read: {self._system.cause(error)}.") from error

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


def _system(url: str) -> System:
    """PostgreSQL's driver (4 MiB) is loaded for PostgreSQL only."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if url.startswith(("postgresql://", "postgresql+asyncpg://")):
        from service.stores.postgresql import PostgreSQL

        return PostgreSQL(url)
    if parsed is None or parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise DatabaseError(
            "database.url must name a SQLite file (sqlite:///relative.db, sqlite:////absolute.db)"
            " or a PostgreSQL database (postgresql://user:password@host/database)."
        )
    return SQLite(Path(parsed.database).absolute())


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table(version.name):
        return False
    return connection.scalar(select(version.c.version_num)) == REVISION


def _bring_up_to_date(connection: Connection) -> None:
    """Makes or migrates the tables, all or nothing.

    Alembic (24 MiB, 0.2 s) is loaded for an older schema only: a new file gets the tables as they are today.
    """
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
