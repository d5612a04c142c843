"""What a dead process left is ended at the next start: all of it, together, and once."""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from service.events import Begun, Content, Event, Finish, Finished, Used
from service.stores.database import Database
from service.stores.journal import Entry, Journal
from service.stores.ledger import Ledger, Record
from service.stores.prices import Prices
from service.stores.schema import journal
from service.turns.past import end_unfinished
from tests.stores.opened import opened
from tests.upstream import until


@pytest.fixture
async def database(tmp_path: Path) -> AsyncGenerator[Database, None]:
    async with opened(tmp_path / "causerie.db") as database:
        yield database


async def left(database: Database, id: str, *events: Event) -> None:
    """A turn of a process that has died, with what it had written of it."""
    Ledger(database).open(Record(id=id, opened_at=time.time(), prompt_tokens=1))
    Journal(database).open(Entry(id=id, owner="me", epoch="old", opened_at=time.time()))
    if events:
        Journal(database).append(id, 0, events)
    await until(lambda: not database.waiting)


async def told(database: Database, id: str) -> list[Event]:
    kept = await Journal(database).find(id)
    assert kept
    assert (kept.entry.ending, kept.entry.epoch == "old") == ("interrupted", False)
    return kept.events


@pytest.mark.parametrize(
    "events", [[], [Begun("t")], [Begun("t"), Content("Hel")], [Begun("t"), Finished(Finish("stop"))]]
)
async def test_it_has_a_first_word_and_a_last_one(database: Database, events: list[Event]) -> None:
    await left(database, "t", *events)
    await end_unfinished(Journal(database), Ledger(database), Prices([], []))
    said = await told(database, "t")
    assert said[0] == Begun("t")
    assert [type(event) for event in said[-2:]] == [Finished, Used]
    assert [type(event) for event in said].count(Finished) == 1
    assert await Journal(database).unfinished() == []
    assert await Ledger(database).unsettled() == []


async def test_a_second_start_changes_nothing(database: Database) -> None:
    await left(database, "t", Begun("t"), Content("Hel"))
    await end_unfinished(Journal(database), Ledger(database), Prices([], []))
    first = await Journal(database).find("t")
    await end_unfinished(Journal(database), Ledger(database), Prices([], []))
    assert await Journal(database).find("t") == first


async def test_many_turns_are_ended_together(database: Database) -> None:
    for number in range(200):
        Ledger(database).open(Record(id=f"t{number}"))
        Journal(database).open(Entry(id=f"t{number}", owner="me", epoch="old", opened_at=time.time()))
        Journal(database).append(f"t{number}", 0, [Begun(f"t{number}")])
    await until(lambda: not database.waiting)
    before = database.commits
    await end_unfinished(Journal(database), Ledger(database), Prices([], []))
    assert database.commits - before < 20, "the start does not wait for each of them"
    await until(lambda: not database.waiting)
    pieces = await database.read(select(func.count().label("number")).select_from(journal))
    assert pieces[0]["number"] == 0, "the whole log has taken their place"
