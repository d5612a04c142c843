from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from service.stores.database import Database
from service.stores.ledger import Ledger
from tests.stores.opened import opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "causerie.db"


@pytest.fixture
async def database(file: Path) -> AsyncGenerator[Database, None]:
    async with opened(file) as database:
        yield database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)
