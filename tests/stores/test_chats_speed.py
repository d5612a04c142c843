"""List and search stay quick: nothing is read through, and nobody pays for what another has."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Executable, text
from sqlalchemy.dialects import postgresql, sqlite

from service.stores.chats import Chats
from service.stores.chats_list import Wanted
from service.stores.chats_rows import BATCH
from service.stores.database import Database
from tests.stores.test_chats import dialogue

READ_THROUGH = re.compile(r"SCAN (chats|chat_messages)\b(?! USING INDEX ix_chat_messages_running)|Seq Scan")
"""How the databases say that they look at every row of a table; of an index of few rows they may."""


@pytest.fixture
def store(database: Database) -> Chats:
    return Chats(database)


async def read_by(
    store: Chats, database: Database, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[Any]]
) -> list[Executable]:
    """The queries that work makes."""
    made: list[Executable] = []
    read = database.read

    async def reading(statement: Executable) -> Sequence[Any]:
        made.append(statement)
        return await read(statement)

    with monkeypatch.context() as patched:
        patched.setattr(database, "read", reading)
        await work()
    return made


async def plan(database: Database, url: str, query: Any) -> str:
    """How the database would do it, were its tables large."""
    dialect = sqlite.dialect() if database.dialect == "sqlite" else postgresql.dialect()  # type: ignore[no-untyped-call]
    written = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    if database.dialect == "sqlite":
        told = text(f"EXPLAIN QUERY PLAN {written}".replace(":", r"\:"))
        return "\n".join(row["detail"] for row in await database.read(told))
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET enable_seqscan = off")
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {written}"))
    finally:
        await connection.close()


async def test_no_table_is_read_through(
    store: Chats, database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        await store.add("ann", dialogue(f"c{number}", "Common words", "Other words"))
    _, mark = await store.page("ann", Wanted(), None, 10)
    all_of_it: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.page("ann", Wanted()),
        lambda: store.page("ann", Wanted(archived=False, starred=True), mark),
        lambda: store.page("ann", Wanted(words="common")),
        lambda: store.page("ann", Wanted(words="comm other wor", archived=False), mark),
        lambda: store.listed("ann", "c1"),
        lambda: store.find("ann", "c1"),
        lambda: store.tree("ann", "c1"),
        lambda: store.count("ann"),
        lambda: store.remove("ann", "c1"),
        store.running,
        store.sweep,
    ]
    for work in all_of_it:
        queries = await read_by(store, database, monkeypatch, work)
        assert queries
        for query in queries:
            told = await plan(database, url, query)
            assert not READ_THROUGH.search(told), f"{query}\n{told}"


async def seconds(work: Callable[[], Awaitable[Any]]) -> float:
    """The quickest of some."""
    found = []
    for _ in range(15):
        began = time.perf_counter()
        await work()
        found.append(time.perf_counter() - began)
    return min(found)


@pytest.mark.slow
async def test_nobody_pays_for_what_another_has(store: Chats) -> None:
    for number in range(20):
        await store.add("few", dialogue(f"c{number}", "Common words", "Other words"))
    work: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.page("few", Wanted()),
        lambda: store.page("few", Wanted(words="other")),
        lambda: store.tree("few", "c1"),
    ]
    before = [await seconds(each) for each in work]
    for number in range(150):
        await store.add("many", dialogue(f"c{number}", *["Words of another one"] * BATCH))
    for each, was in zip(work, before, strict=True):
        assert await seconds(each) < 5 * was
    assert await seconds(lambda: store.page("many", Wanted())) < 5 * before[0]
