import asyncio
import gc
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from service.errors import Unavailable
from service.stores import writer
from service.stores.database import Database
from service.stores.ledger import Ledger, Record
from service.stores.schema import records
from tests.stores.opened import opened
from tests.upstream import until

GOOD = {"kind": "turn", "day": date(2026, 1, 31), "user": None, "attempts": 1, "opened_at": 0.0}
BAD: dict[str, dict[str, Any]] = {
    "constraint": {"kind": None},
    "number": {"attempts": 2**70},
    "text": {"user": "\udcff"},
    "type": {"user": object()},
    "day": {"day": "yesterday"},
}


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program holds the database's lock."""
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 100 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[None]:
    """A disk of one megabyte, or of another size, on `folder`."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leaves no byte free on the disk of `folder`."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


async def kept(database: Database) -> list[str]:
    return sorted(row["id"] for row in await database.read(select(records.c.id)))


async def outlast(trouble: AbstractContextManager[None], database: Database) -> None:
    """While there is `trouble` everything waits, and can be read; afterwards everything is written."""
    ledger = Ledger(database)
    await ledger.settle(Record(id="before", ending="done"))
    with trouble:
        settled = [ledger.settle(Record(id=f"{n:03}", label="x" * 900, ending="done")) for n in range(500)]
        await until(lambda: database.failing)
        later = ledger.settle(Record(id="later", ending="done"))
        assert await kept(database) == ["before"]
        assert not any(future.done() for future in [*settled, later])
    async with asyncio.timeout(30):
        await asyncio.gather(*settled, later)
    assert database.failing is None
    assert await kept(database) == [*(f"{n:03}" for n in range(500)), "before", "later"]


async def test_a_full_disk_is_outlasted(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        async with opened(tmp_path / "disk" / "causerie.db") as database:
            await outlast(full(tmp_path / "disk"), database)
        with closing(sqlite3.connect(tmp_path / "disk" / "causerie.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_file_that_cannot_grow_is_outlasted(file: Path) -> None:
    async with opened(file) as database:
        await outlast(small_files(), database)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_another_programs_lock_is_outlasted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.sqlite.BUSY_SECONDS", 0.05)
    async with opened(file) as database:
        await outlast(locked(file), database)


async def test_what_cannot_be_written_before_the_end_fails(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.sqlite.BUSY_SECONDS", 0.05)
    monkeypatch.setattr(writer, "CLOSE_SECONDS", 0.05)
    async with opened(file) as database:
        with locked(file):
            late = Ledger(database).settle(Record(id="late", ending="done"))
            await database.close()
        with pytest.raises(Unavailable, match="closed before this was written"):
            await late
        with pytest.raises(Unavailable, match="is closed"):
            await Ledger(database).settle(Record(id="too late", ending="done"))


async def test_what_waits_at_the_end_is_written(url: str) -> None:
    async with opened(url) as database:
        ledger = Ledger(database)
        settled = [ledger.settle(Record(id=str(number), ending="done")) for number in range(3_000)]
    assert all(future.done() and future.exception() is None for future in settled)


async def test_what_comes_together_is_one_commit(database: Database, ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.settle(Record(id=str(number), ending="done")) for number in range(500)))
    assert database.commits == 1
    assert len(await kept(database)) == 500


async def test_a_row_waits_a_moment_for_company(url: str) -> None:
    async with opened(url, linger=0.5) as database:
        ledger = Ledger(database)
        for number in range(4):
            settled = ledger.settle(Record(id=str(number), ending="done"))
            await asyncio.sleep(0.01)
        await settled
        assert database.commits == 1


async def test_what_comes_during_a_commit_is_one_commit(database: Database, ledger: Ledger) -> None:
    async def settle(reader: int) -> None:
        for number in range(20):
            await ledger.settle(Record(id=f"{reader}-{number}", ending="done"))

    await asyncio.gather(*(settle(reader) for reader in range(50)))
    assert len(await kept(database)) == 1_000
    assert database.commits <= 100


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_bad_row_fails_alone(database: Database, bad: dict[str, Any]) -> None:
    insert = database.insert(records)
    before = [database.write(insert, {**GOOD, "id": f"before {number}"}) for number in range(5)]
    culprit = database.write(insert, {**GOOD, "id": "bad", **bad})
    after = [database.write(insert, {**GOOD, "id": f"after {number}"}) for number in range(5)]
    async with asyncio.timeout(30):
        await asyncio.gather(*before, *after)
    with pytest.raises(Exception, match=r".+"):
        await culprit
    assert len(await kept(database)) == 10
    assert database.failing is None


async def test_a_bad_row_does_not_keep_a_trouble_alive(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.sqlite.BUSY_SECONDS", 0.05)
    async with opened(file) as database:
        with locked(file):
            bad = database.write(database.insert(records), {**GOOD, "id": "bad", "kind": None})
            await until(lambda: database.failing)
        await until(bad.done)
        assert database.failing is None


@pytest.mark.parametrize("bad", [{"user": "canary", "kind": None}, {"user": "canary\udcff"}])
async def test_a_failed_row_that_nobody_awaits_is_logged_once_and_without_its_values(
    database: Database, caplog: pytest.LogCaptureFixture, bad: dict[str, Any]
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    database.write(database.insert(records), {**GOOD, "id": "bad", **bad})
    await until(lambda: caplog.messages)
    await database.write(database.insert(records), {**GOOD, "id": "good"})
    gc.collect()
    assert complaints == []
    (message,) = caplog.messages
    assert message.startswith("The database refused a row: ")
    assert "canary" not in message


async def test_who_gives_up_waiting_does_not_stop_the_writing(database: Database, ledger: Ledger) -> None:
    settled = ledger.settle(Record(id="turn", ending="done"))
    settled.cancel()
    await ledger.settle(Record(id="next", ending="done"))
    assert await kept(database) == ["next", "turn"]


async def test_the_queue_is_bounded(
    database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CAPACITY", 20)
    monkeypatch.setattr(writer, "CROWDED", 10)
    settled = [ledger.settle(Record(id=str(number), ending="done")) for number in range(21)]
    assert str(database.failing) == "The database is too slow: 20 rows wait to be written."
    with pytest.raises(Unavailable, match="no more can"):
        await settled.pop()
    await asyncio.gather(*settled)
    assert database.failing is None
    assert len(await kept(database)) == 20
