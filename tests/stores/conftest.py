"""Databases in files of their own, opened and closed around a test."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from service.stores.database import Database
from service.stores.ledger import Ledger
from service.tasks import Tasks

Serve = Callable[[], AbstractAsyncContextManager[Database]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "causerie.db"


@pytest.fixture
def serve(file: Path) -> Serve:
    """Opens the database in `file`, as often as a test starts the service."""

    @asynccontextmanager
    async def served() -> AsyncGenerator[Database, None]:
        tasks = Tasks()
        database = Database(f"sqlite:///{file}", 0.003, tasks)
        await database.open()
        try:
            yield database
        finally:
            await database.close()
            await tasks.close()

    return served


@pytest.fixture
async def database(serve: Serve) -> AsyncGenerator[Database, None]:
    async with serve() as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)
