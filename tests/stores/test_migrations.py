import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from service.stores import database as module
from service.stores import migrations
from service.stores.database import Database, DatabaseError
from service.stores.ledger import Ledger, Record
from service.stores.schema import REVISION, metadata

Serve = Callable[[], AbstractAsyncContextManager[Database]]

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = {head!r}


def upgrade():
    op.add_column("records", sa.Column("price", sa.Text))
    op.execute({then!r})
"""


def tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def columns(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(records)")]


@pytest.fixture
def migrated() -> Connection:
    """An empty database in memory on which every migration has run."""
    connection = create_engine("sqlite://").connect()
    migrations.migrate(connection)
    return connection
