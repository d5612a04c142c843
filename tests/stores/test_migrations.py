import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.stores import migrations
from service.stores.database import DatabaseError
from service.stores.ledger import Ledger, Record
from service.stores.schema import REVISION, metadata
from service.stores.totals import totals
from tests.stores.opened import opened

# Everything of a schema: tables with their columns, indexes, triggers and what they do.
SCHEMA = {
    "sqlite": """
        SELECT item.name, item.type, field.name, field.type, field."notnull", field.pk,
            CASE WHEN item.type = 'trigger' THEN item.sql END
        FROM sqlite_master AS item LEFT JOIN pragma_table_info(item.name) AS field
        ORDER BY item.name, field.name""",
    "postgresql": """
        SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
            WHERE table_schema = 'public'
        UNION ALL SELECT indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT tgname, pg_get_triggerdef(oid), '', '' FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT proname, prosrc, '', '' FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1, 2""",
}

NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = {REVISION!r}


def upgrade():
    op.add_column("records", sa.Column("mood", sa.Text))
    op.execute("UPDATE records SET mood = 'fine'")
"""

OLD = text(
    "INSERT INTO records (id, kind, day, model_asked, attempts, opened_at, ending, prompt_tokens)"
    " VALUES (:id, 'turn', '2026-01-31', 'old', 1, 0, :ending, 5)"
)


@pytest.fixture
async def engine(url: str) -> AsyncGenerator[AsyncEngine, None]:
    """As an operator's program, beside the service."""
    engine = create_async_engine(re.sub("^(sqlite|postgresql)", _driver, url))
    yield engine
    await engine.dispose()


def _driver(name: re.Match[str]) -> str:
    return {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[name[0]]


async def rows(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def schema(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    return await rows(engine, SCHEMA[engine.dialect.name])


def add(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this the version after ours, which has one more migration."""
    copytree(migrations.FOLDER, folder)
    (folder / "versions" / "next.py").write_text(script)
    monkeypatch.setattr(migrations, "FOLDER", folder)
    monkeypatch.setattr("service.stores.database.REVISION", "next")


@pytest.fixture
async def row(url: str) -> None:
    """There is a database of our version, with one row."""
    async with opened(url) as database:
        await Ledger(database).settle(Record(id="turn", ending="done"))


def test_the_schema_is_of_the_newest_migration() -> None:
    assert migrations.revisions()[0] == REVISION


def test_whoever_makes_a_database_makes_all_of_its_tables() -> None:
    """A command loads only what it needs, and may be the first to open a new database."""
    load = "from service.stores.database import metadata; print(*sorted(metadata.tables))"
    loaded = subprocess.run([sys.executable, "-c", load], check=True, capture_output=True, text=True).stdout
    assert loaded.split() == sorted(metadata.tables)
    assert {"buckets", "files", "totals"} <= metadata.tables.keys()


async def test_the_migrations_make_what_a_new_database_has(url: str, engine: AsyncEngine) -> None:
    async with opened(url):
        pass
    new = await schema(engine)
    assert await rows(engine, "SELECT version_num FROM alembic_version") == [(REVISION,)]
    async with engine.begin() as connection:
        await connection.run_sync(emptied)
        await connection.run_sync(migrations.migrate)
        assert await connection.run_sync(differences) == []
    assert await schema(engine) == new
    assert await rows(engine, "SELECT version_num FROM alembic_version") == [(REVISION,)]


def emptied(connection: Connection) -> None:
    metadata.drop_all(connection)
    connection.execute(text("DROP TABLE alembic_version"))
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP FUNCTION add_record, add_cost"))


def differences(connection: Connection) -> list[Any]:
    """But for the indexes of words, which each system makes in its own way."""
    words = ("passage_words", "chat_words")
    options = {"include_name": lambda name, kind, _: kind != "table" or not name.startswith(words)}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_what_was_there_before_the_totals_is_in_them(url: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(migrations.migrate, "0005")
        await connection.execute(
            OLD.bindparams(bindparam("ending")),
            [{"id": "1", "ending": "done"}, {"id": "2", "ending": "failed"}, {"id": "3", "ending": None}],
        )
    async with opened(url) as database:
        (found,) = await database.read(select(totals).where(totals.c.scope == "both"))
        assert (found["requests"], found["prompt_tokens"], found["done"], found["failed"]) == (2, 10, 1, 1)
        assert (found["model"], found["user"]) == ("old", "")
        (left,) = await Ledger(database).unsettled()
        left.ending = "interrupted"
        await Ledger(database).settle(left)
        (found,) = await database.read(select(totals).where(totals.c.scope == "both"))
        assert (found["requests"], found["interrupted"]) == (3, 1)


@pytest.mark.usefixtures("row")
async def test_an_older_database_is_migrated(
    url: str, engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(NEXT, tmp_path / "100% new", monkeypatch)
    async with opened(url):
        pass
    assert await rows(engine, "SELECT id, mood FROM records") == [("turn", "fine")]
    assert await rows(engine, "SELECT version_num FROM alembic_version") == [("next",)]


@pytest.mark.usefixtures("row")
async def test_a_migration_that_fails_changes_nothing(
    url: str, engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await schema(engine)
    add(NEXT.replace("SET mood", "SET nonsense"), tmp_path / "new", monkeypatch)
    with pytest.raises(DatabaseError, match=r"column.* .*nonsense"):
        async with opened(url):
            pass
    assert await schema(engine) == before
    assert await rows(engine, "SELECT id FROM records, alembic_version") == [("turn",)]
