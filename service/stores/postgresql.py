"""What only PostgreSQL needs: a server, a lock that lives with the connection that writes, its errors."""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.settings import masked
from service.stores.prepared import Statement
from service.stores.system import READERS, InUse

CONNECT_SECONDS = 5.0
LOCK_SECONDS = 3
"""How long the session of a process that was killed may take to end."""
SILENT_SECONDS = 15.0
BUSY_SECONDS = 5
LOCK = int.from_bytes(b"causerie", "big")

# So that dates, sums and commits are the same whatever the server's own settings are; compiling a query in
# the server takes longer than answering it.
SESSION = {"datestyle": "ISO", "jit": "off", "tcp_keepalives_idle": "30", "lock_timeout": f"{BUSY_SECONDS}s"}
WRITER = SESSION | {"synchronous_commit": "on"}
READER = SESSION | {"default_transaction_read_only": "on"}

HOLDER = f"""
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = {LOCK >> 32} AND objid = {LOCK & 0xFFFFFFFF}
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
END_FORMER = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()
"""

# Classes of SQLSTATE (PostgreSQL's manual, appendix A) that blame the values: data exception, integrity
# constraint violation, program limit exceeded.
BAD_ROW = frozenset({"22", "23", "54"})

ADVICE = {
    "password authentication": "Correct user and password in database.url.",
    "role": "Correct the user in database.url.",
    "does not exist": "Make the database (createdb), or correct database.url.",
    "permission denied for schema": "Make the service's user the owner of the database.",
    "connect call failed": "Start PostgreSQL, or correct database.url.",
    "no such file": "Start PostgreSQL, or correct database.url.",
    "name or service": "Correct the host in database.url.",
    "name resolution": "Correct the host in database.url.",
    "does not answer": "Start PostgreSQL, or correct database.url.",
    "lock timeout": "Close the other program that uses it, then start again.",
    "starting up": "Try again in a moment.",
    "shutting down": "Try again in a moment.",
    "too many": "Raise max_connections of the server.",
    "remaining connection slots": "Raise max_connections of the server.",
}


class Unreachable(OSError):
    """There is no connection to the server."""


class PostgreSQL:
    """A `System` on a server; `url` is a connection URI as PostgreSQL's manual has it (34.1.1.2).

    The lock belongs to the connection that writes, so what is written is written under it. After a loss that
    connection takes it again; if another process has it by then, nothing can be written any more.
    """

    patience = SILENT_SECONDS

    def __init__(self, url: str) -> None:
        self.name = masked(url)
        self._url = url.replace("postgresql+asyncpg:", "postgresql:", 1)
        self._session = f"causerie {os.getpid()} {socket.gethostname()[:30]} {secrets.token_hex(4)}"
        self._locks = False
        self.writer = self._engine(self._writing, pool_size=1, pool_reset_on_return=None)
        self.reader = self._engine(
            partial(self._connection, READER, "causerie reads"),
            pool_size=READERS,
            pool_pre_ping=True,
            isolation_level="AUTOCOMMIT",
        )

    def _engine(self, creator: Any, **pool: Any) -> AsyncEngine:
        return create_async_engine(
            "postgresql+asyncpg://", async_creator=creator, max_overflow=0, hide_parameters=True, **pool
        )

    async def _connection(self, session: dict[str, str], name: str) -> Any:
        settings = session | {"application_name": name}
        try:
            return await asyncpg.connect(
                self._url,
                timeout=CONNECT_SECONDS,
                server_settings=settings,
                target_session_attrs="primary",  # of several hosts
            )
        except TimeoutError as error:
            raise Unreachable("the server does not answer") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unreachable(str(error).partition("\n")[0]) from error
        except ValueError as error:  # its text may be a part of the password
            raise Unreachable("database.url cannot be read. Write : / @ % in passwords as %3A…") from error

    async def _writing(self) -> Any:
        connection = await self._connection(WRITER, self._session)
        try:
            if self._locks:
                await self._take(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _take(self, connection: Any) -> None:
        """A lost connection may still look alive to the server, and keep the lock: it is ended first."""
        await connection.execute(END_FORMER, self._session)
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        except asyncpg.LockNotAvailableError:
            holder = await connection.fetchval(HOLDER) or "?"
            name = re.sub(r"causerie (\d+) (\S+) \w+", r"process \1 on \2", holder)
            raise InUse(f"{name} already serves it. Stop that one, or set another database.url") from None

    def create(self) -> None:
        """The server has the database."""

    async def lock(self) -> None:
        self._locks = True
        await self.writer.dispose()

    def release(self) -> None:
        """It ends with the connection."""
        self._locks = False

    def begin(self, connection: Connection) -> None:
        """The driver has."""

    async def transact(self, statements: Sequence[Statement]) -> None:
        async with asyncio.timeout(self.patience), self.writer.begin() as connection:
            for prepared, rows in statements:
                await connection.exec_driver_sql(prepared.text, list(map(prepared.values, rows)))

    def insert(self, into: Table) -> Insert:
        return cast(Insert, insert(into))

    def row_is_bad(self, error: Exception) -> bool:
        if isinstance(error, DBAPIError):
            state = getattr(error.orig, "sqlstate", None) or ""
            return state[:2] in BAD_ROW and not error.connection_invalidated
        return isinstance(error, StatementError | ValueError | TypeError | OverflowError)

    def cause(self, error: Exception) -> str:
        """The driver quotes a value that it cannot send; the server tells values as details only."""
        if isinstance(error, TimeoutError):
            return "the server does not answer"
        said = str(error.orig if isinstance(error, StatementError) and error.orig else error)
        return said.partition(":")[0] if said.startswith("invalid input for") else said

    def advice(self, cause: str) -> str:
        return next((text for words, text in ADVICE.items() if words in cause.lower()), "")
