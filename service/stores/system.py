"""What a database system brings: its connections, a lock against a second process, what its errors mean."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.ext.asyncio import AsyncEngine

from service.stores.prepared import Statement

READERS = 4


class InUse(OSError):
    """Another process serves the database."""


class System(Protocol):
    """SQLite or PostgreSQL; nothing else knows which."""

    @property
    def name(self) -> str:
        """The database as messages call it, without secrets."""

    @property
    def writer(self) -> AsyncEngine:
        """For the schema: one connection, whose commits outlive a power cut."""

    @property
    def reader(self) -> AsyncEngine:
        """`READERS` connections, which cannot write."""

    @property
    def patience(self) -> float | None:
        """After how many seconds a silent server is given up; None where there is no server."""

    def create(self) -> None:
        """Makes what must be there before the first connection. Raises `OSError`."""

    async def lock(self) -> None:
        """From now on no other process may serve the database. Raises `InUse`, here or when it is written."""

    def release(self) -> None:
        """Ends the lock, when the connections are closed."""

    def begin(self, connection: Connection) -> None:
        """Begins a transaction in which tables can be made."""

    async def transact(self, statements: Sequence[Statement]) -> None:
        """Executes all of them, in their order, or none; what is done outlives a power cut."""

    def insert(self, into: Table) -> Insert:
        """`INSERT` with `on_conflict_…`, which the dialects have by the same names."""

    def row_is_bad(self, error: Exception) -> bool:
        """Whether a row is to blame; not where nobody knows: no row is lost to what passes."""

    def cause(self, error: Exception) -> str:
        """What the database said, without the statement and its values."""

    def advice(self, cause: str) -> str:
        """What an operator can do about a cause; empty where nobody knows."""
