import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.database import PAGE, Database, DatabaseError
from service.stores.ledger import Ledger, Record
from service.stores.schema import records
from service.tasks import Tasks

Serve = Callable[[], AbstractAsyncContextManager[Database]]


@contextmanager
def another_process(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Serves `file`, and prints the id of each record that it has been told is durable."""
    command = [sys.executable, "-m", "tests.stores.acknowledging", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], number: int) -> list[str]:
    assert process.stdout is not None
    return [line.strip() for line in itertools.islice(process.stdout, number)]


async def refused(serve: Serve) -> str:
    with pytest.raises(DatabaseError) as caught:
        async with serve():
            pass
    return caught.value.message


async def test_what_was_acknowledged_outlives_a_kill(file: Path, serve: Serve) -> None:
    with another_process(file) as process:
        acknowledged = set(lines(process, 500))
        os.kill(process.pid, signal.SIGKILL)
        acknowledged.update(lines(process, 100_000))
    async with serve() as database:
        kept = {row["id"]: row["ending"] for row in await database.read(select(records))}
        assert len(acknowledged) >= 500
        assert [name for name in acknowledged if kept.get(name) != "done"] == []
        assert await Ledger(database).settle_interrupted() >= 1
        assert (await database.read(select(records).where(records.c.id == "open")))[0]["ending"] == "interrupted"


async def test_a_second_process_is_refused_until_the_first_has_ended(file: Path, serve: Serve) -> None:
    with another_process(file) as process:
        lines(process, 1)
        message = await refused(serve)
        assert f"process {process.pid} already serves it" in message
    async with serve() as database:
        assert database.failing is None


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(file: Path, serve: Serve) -> None:
    async with serve():
        pass
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for _ in range(2):
        assert "newer version (9999; this one knows" in await refused(serve)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path, serve: Serve) -> None:
    file.write_text("my thesis " * 1_000)
    assert "move it away, or restore a backup" in await refused(serve)
    assert file.read_text() == "my thesis " * 1_000


async def test_a_damaged_file_is_refused(file: Path, serve: Serve) -> None:
    async with serve():
        pass
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 20_000)
    assert "restore a backup" in await refused(serve)


async def test_a_locked_file_is_refused(file: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.database.BUSY_SECONDS", 0.05)
    async with serve():
        pass
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "close that program, then start again" in await refused(serve)


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(DatabaseError, match=r"state/causerie.db cannot be opened: .*state"):
        await Database(f"sqlite:///{tmp_path}/state/causerie.db", 0, Tasks()).open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatabaseError, match="write access"):
        await Database(f"sqlite:///{tmp_path}/causerie.db", 0, Tasks()).open()


@pytest.mark.parametrize("url", ["", "rubbish", "sqlite://", "sqlite:///:memory:", "mysql://localhost/causerie"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="sqlite:///relative.db"):
        Database(url, 0, Tasks())


async def test_the_file_is_its_users_own_and_whole_after_the_end(file: Path, serve: Serve) -> None:
    async with serve() as database:
        Ledger(database).open(Record(id="turn"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.with_name(f"{file.name}-wal").exists()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT id FROM records").fetchall() == [("turn",)]


async def test_reading_neither_waits_for_the_writer_nor_writes(database: Database, file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await database.read(select(records)) == []
    with pytest.raises(DatabaseError, match="readonly"):
        await database.read(records.delete())


async def test_pages_are_complete_and_bounded(database: Database, ledger: Ledger) -> None:
    number = 2 * PAGE + 500
    for index in range(number):
        settled = ledger.settle(Record(id=f"{-index}", opened_at=index // 7, ending="done"))
    await settled
    pages = database.pages(select(records), records.c.opened_at, records.c.id)
    found = [[(row["opened_at"], row["id"]) for row in page] async for page in pages]
    assert [len(page) for page in found] == [PAGE, PAGE, 500]
    assert list(itertools.chain(*found)) == sorted((float(index // 7), f"{-index}") for index in range(number))
