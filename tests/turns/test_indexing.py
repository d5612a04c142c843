"""The index of passages: filled as documents are read, and gone with them; others write meanwhile."""

import asyncio
import time
from collections.abc import AsyncGenerator
from itertools import count
from pathlib import Path
from statistics import median

import pytest
from sqlalchemy import func, select

from service.documents.extraction import Document, Page
from service.stores.blobs import Directory
from service.stores.buckets import Buckets, File, new_id
from service.stores.database import Database
from service.stores.ledger import Ledger, Record
from service.stores.passages import Passages
from service.stores.people import People
from service.stores.schema_passages import passage_words, passages
from service.turns.indexing import Indexing
from tests.postgresql import Server
from tests.stores.opened import opened


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Database, None]:
    if request.param == "sqlite":
        async with opened(tmp_path / "causerie.db") as database:
            yield database
        return
    server: Server = request.getfixturevalue("postgresql")
    async with server.database() as url, opened(url) as database:
        yield database


@pytest.fixture
def indexing(database: Database) -> Indexing:
    return Indexing(Buckets(database), Passages(database))


def document(*texts: str) -> Document:
    return Document(tuple(Page(number, None, text) for number, text in enumerate(texts, 1)), {}, "text/plain")


async def stored(database: Database, user: str = "ann") -> File:
    file = File(
        id=new_id(),
        user=user,
        bucket="b",
        name="a.txt",
        kind="document",
        media_type="text/plain",
        bytes=1,
        sha256=new_id(),
    )
    await Buckets(database).add([file])
    return file


async def counts(database: Database) -> tuple[int, int]:
    tables = [select(func.count().label("count")).select_from(table) for table in (passages, passage_words)]
    first, second = [(await database.read(table))[0]["count"] for table in tables]
    return first, second


async def test_a_document_that_is_read_anew_is_indexed_anew(database: Database, indexing: Indexing) -> None:
    file = await stored(database)
    await indexing.index(file, document(*(f"Old {number}." for number in range(50))))
    await indexing.index(file, document("New 1.", "New 2."))
    assert await counts(database) == (2, 2)
    store = Passages(database)
    assert (await store.found([file.id], "new 2", 9))[0].page == 2
    assert await store.found([file.id], "old", 9) == []


async def test_a_file_that_is_removed_meanwhile_leaves_nothing(
    database: Database, indexing: Indexing
) -> None:
    file = await stored(database)
    running = asyncio.get_running_loop().create_task(indexing.index(file, document(*map(str, range(300)))))
    while await counts(database) == (0, 0):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await Buckets(database).remove_file("ann", file.id)
    await indexing.drop([file])
    await running
    assert await counts(database) == (0, 0)


async def test_what_a_crash_has_left_is_swept(database: Database, indexing: Indexing) -> None:
    gone, kept = await stored(database), await stored(database)
    for file in (gone, kept):
        await indexing.index(file, document(*map(str, range(40))))
    await Buckets(database).remove_file("ann", gone.id)
    assert await counts(database) == (80, 80)
    await indexing.sweep()
    assert await counts(database) == (40, 40)


async def test_who_is_forgotten_leaves_no_passage(
    database: Database, indexing: Indexing, tmp_path: Path
) -> None:
    for user in ("ann", "bob"):
        await indexing.index(await stored(database, user), document("One.", "Two."))
    await People(database, Directory(tmp_path / "blobs")).forget("ann")
    assert await counts(database) == (2, 2)


async def test_turns_are_recorded_while_a_long_document_is_indexed(
    database: Database, indexing: Indexing
) -> None:
    """Whoever writes waits for one commit of passages at most, not for all of them."""
    long = document(*(f"Page {number}: " + "some words of a page. " * 100 for number in range(600)))
    ledger, ids = Ledger(database), count()

    async def settled() -> float:
        began = time.perf_counter()
        await ledger.settle(Record(id=str(next(ids)), ending="done"))
        return time.perf_counter() - began

    alone = [await settled() for _ in range(60)]
    file = await stored(database)
    running = asyncio.get_running_loop().create_task(indexing.index(file, long))
    beside = []
    began = time.perf_counter()
    while not running.done():
        beside.append(await settled())
    whole = time.perf_counter() - began
    assert len(beside) >= 20
    assert median(beside) <= 6 * median(alone)
    assert max(beside) <= whole / 2
