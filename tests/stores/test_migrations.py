import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from service.stores import migrations
from service.stores.database import DatabaseError
from service.stores.ledger import Ledger, Record
from service.stores.schema import REVISION, metadata
from tests.stores.opened import opened

EVERYTHING = """
SELECT item.name, item.type, item.tbl_name, field.name, field.type, field."notnull", field.pk
FROM sqlite_master AS item LEFT JOIN pragma_table_info(item.name) AS field ORDER BY item.name, field.name
"""

NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = {REVISION!r}


def upgrade():
    op.add_column("records", sa.Column("price", sa.Text))
    op.execute("UPDATE records SET price = 'unpriced'")
"""


def rows(file: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def add(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this the version after ours, which has one more migration."""
    copytree(migrations.FOLDER, folder)
    (folder / "versions" / "next.py").write_text(script)
    monkeypatch.setattr(migrations, "FOLDER", folder)
    monkeypatch.setattr("service.stores.database.REVISION", "next")


@pytest.fixture
async def row(file: Path) -> None:
    """There is a database of our version, with one row."""
    async with opened(file) as database:
        await Ledger(database).settle(Record(id="turn", ending="done"))


def test_the_schema_is_of_the_newest_migration() -> None:
    assert migrations.revisions()[0] == REVISION


async def test_the_migrations_make_what_a_new_file_has(file: Path, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/migrated.db")
    with engine.begin() as connection:
        migrations.migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    async with opened(file):
        pass
    assert rows(file, EVERYTHING) == rows(tmp_path / "migrated.db", EVERYTHING)
    assert rows(file, "SELECT version_num FROM alembic_version") == [(REVISION,)]


@pytest.mark.usefixtures("row")
async def test_an_older_database_is_migrated(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(NEXT, tmp_path / "100% new", monkeypatch)
    async with opened(file):
        pass
    assert rows(file, "SELECT id, price FROM records") == [("turn", "unpriced")]
    assert rows(file, "SELECT version_num FROM alembic_version") == [("next",)]


@pytest.mark.usefixtures("row")
async def test_a_migration_that_fails_changes_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(file, EVERYTHING)
    add(NEXT.replace("SET price", "SET nonsense"), tmp_path / "new", monkeypatch)
    with pytest.raises(DatabaseError, match="no such column: nonsense"):
        async with opened(file):
            pass
    assert rows(file, EVERYTHING) == before
    assert rows(file, "SELECT id FROM records, alembic_version") == [("turn",)]
