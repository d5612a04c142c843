from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from service.stores.database import Database
from service.stores.ledger import Ledger
from tests.postgresql import Server
from tests.stores.opened import opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "causerie.db"


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, file: Path) -> AsyncGenerator[str, None]:
    """Of an empty database: whoever asks for it runs on both systems."""
    if request.param == "sqlite":
        yield f"sqlite:///{file}"
        return
    server: Server = request.getfixturevalue("postgresql")
    async with server.database() as url:
        yield url


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database, None]:
    async with opened(url) as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)
