"""What the journal keeps of a log, and what it gives back."""

import time

import pytest

from service.events import Content, Event, Finish, Finished, Reasoning, Usage, Used
from service.stores.database import Database
from service.stores.journal import Entry, Journal
from service.stores.packing import packed, unpacked
from tests.upstream import until

LOG: list[Event] = [
    Reasoning(token="Hm."),
    Reasoning(token=None, status=""),
    Content("Grüße "),
    Content("東京 👩‍👩‍👧"),
    Content("a picture", urls=["/media/a.png"], alt="a"),
    Content("\n"),
    Finished(Finish("stop")),
    Used(Usage(1, 2, 3), model=None, provider="p"),
]


def entry(id: str = "t1", **rest: object) -> Entry:
    return Entry(id=id, owner="me", epoch="e1", opened_at=time.time(), **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", range(len(LOG) + 1))
def test_packing_keeps_every_event_by_itself(length: int) -> None:
    assert unpacked(packed(LOG[:length])) == LOG[:length]


def test_runs_of_text_are_packed_tightly() -> None:
    assert len(packed([Content("word ")] * 1000)) < 10_000


async def test_an_ended_turn_is_found_as_a_whole(database: Database) -> None:
    journal = Journal(database)
    journal.open(entry(idempotency_key="k", digest="d"))
    assert await journal.find("t1") is None, "it has not ended"
    ended = entry(idempotency_key="k", digest="d", ended_at=time.time(), ending="done")
    await journal.close(ended, LOG)
    kept = await journal.find("t1")
    assert kept
    assert (kept.events, kept.entry.ending, kept.entry.digest) == (LOG, "done", "d")
    assert await journal.find_by_key("me", "k") == kept
    assert await journal.find_by_key("you", "k") is None


async def test_a_late_opening_does_not_reopen(database: Database) -> None:
    journal = Journal(database)
    await journal.close(entry(ended_at=time.time(), ending="done"), LOG)
    journal.open(entry())
    journal.append("t1", 0, LOG[:2])
    await until(lambda: not database.waiting)
    assert await journal.unfinished() == []


async def test_what_a_dead_process_left_is_joined_up_to_the_first_gap(database: Database) -> None:
    journal = Journal(database)
    for id in ("t1", "t2"):
        journal.open(entry(id))
        journal.append(id, 0, LOG[:2])
        journal.append(id, 2, LOG[2:4])
    journal.append("t2", 5, LOG[5:])
    await until(lambda: not database.waiting)
    found = {kept.entry.id: kept.events for kept in await journal.unfinished()}
    assert found == {"t1": LOG[:4], "t2": LOG[:4]}


async def test_what_ended_long_ago_is_forgotten(database: Database) -> None:
    journal = Journal(database)
    now = time.time()
    await journal.close(entry("old", ended_at=now - 100, ending="done"), LOG)
    journal.append("old", 0, LOG)
    await journal.close(entry("new", ended_at=now, ending="done"), LOG)
    journal.open(entry("running"))
    journal.append("running", 0, LOG[:1])
    await journal.expire(now - 50)
    assert await journal.find("old") is None
    assert await journal.find("new")
    assert [kept.events for kept in await journal.unfinished()] == [LOG[:1]]


async def test_what_is_to_be_forgotten_is_gone_and_nothing_else(database: Database) -> None:
    journal = Journal(database)
    for id in ("t1", "t2"):
        await journal.close(entry(id, ended_at=time.time(), ending="done"), LOG)
        journal.append(id, 0, LOG[:2])
    await journal.forget("t1")
    assert await journal.find("t1") is None
    kept = await journal.find("t2")
    assert kept
    assert kept.events == LOG
    await journal.forget("t1")
