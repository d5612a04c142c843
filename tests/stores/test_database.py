import itertools
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.database import PAGE, Database, DatabaseError
from service.stores.ledger import Ledger, Record
from service.stores.schema import records
from service.tasks import Tasks
from tests.postgresql import rows_of
from tests.stores.opened import opened


@contextmanager
def another_process(url: str) -> Iterator[subprocess.Popen[str]]:
    """Serves the database, and prints the id of each record once it has been told that it is durable."""
    command = [sys.executable, "-m", "tests.stores.acknowledging", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str], number: int | None = None) -> list[str]:
    assert process.stdout is not None
    return [line.rstrip("\n") for line in itertools.islice(process.stdout, number) if line.endswith("\n")]


async def refusal(where: Path | str) -> str:
    with pytest.raises(DatabaseError) as caught:
        async with opened(where):
            pass
    return caught.value.message


async def execute(url: str, statement: str) -> None:
    """As an operator does it, in a program of his own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute(statement)
    else:
        await rows_of(url, statement)


def overwrite(file: Path, position: int, content: bytes) -> None:
    with file.open("r+b" if position else "wb") as writing:
        writing.seek(position)
        writing.write(content)


async def test_what_was_acknowledged_outlives_a_kill(url: str) -> None:
    with another_process(url) as process:
        acknowledged = lines(process, 500)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += lines(process)
    assert len(acknowledged) >= 500
    async with opened(url) as database:
        ledger = Ledger(database)
        assert "left open" in {record.id for record in await ledger.unsettled()}
        endings = {row["id"]: row["ending"] for row in await database.read(select(records))}
    assert [name for name in acknowledged if endings.get(name) != "done"] == []
    assert endings["left open"] is None


async def test_a_second_process_is_refused_until_the_first_has_ended(url: str) -> None:
    with another_process(url) as process:
        lines(process, 1)
        told = await refusal(url)
        assert f"process {process.pid} " in told
        assert "already serves it. Stop that one, or " in told
    async with opened(url) as database:
        assert database.failing is None


async def test_a_few_rows_can_be_written_beside_the_service(url: str) -> None:
    async with opened(url) as serving:
        tasks = Tasks()
        beside = Database(url, 0, tasks)
        await beside.open(beside=True)
        await Ledger(beside).settle(Record(id="beside", ending="done"))
        await Ledger(serving).settle(Record(id="serving", ending="done"))
        await beside.close()
        await tasks.close()
        assert len(await serving.read(select(records))) == 2
        assert serving.failing is None
        assert "already serves it" in await refusal(url)


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(url: str) -> None:
    async with opened(url):
        pass
    await execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for _ in range(2):
        assert "a newer version (9999; this one knows" in await refusal(url)


async def test_a_file_that_is_no_database_is_refused(file: Path) -> None:
    overwrite(file, 0, b"my thesis " * 1_000)
    assert "Move it away, or restore a backup." in await refusal(file)


async def test_a_damaged_file_is_refused(file: Path) -> None:
    async with opened(file):
        pass
    overwrite(file, 100, b"\xff" * 20_000)
    assert "estore a backup." in await refusal(file)


async def test_a_locked_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.sqlite.BUSY_SECONDS", 0.05)
    async with opened(file):
        pass
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "database is locked. Close the other program" in await refusal(file)


async def test_a_directory_that_cannot_be_made_is_refused(file: Path) -> None:
    overwrite(file, 0, b"a file, no directory")
    assert "cannot be opened: " in await refusal(file / "state" / "causerie.db")


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o555)
    powerless: list[str] = []
    if os.geteuid() == 0:  # root may write everywhere, unless it gives up its capabilities
        os.chown(directory, 65534, 65534)
        powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    command = [
        *powerless,
        sys.executable,
        "-m",
        "tests.stores.acknowledging",
        f"sqlite:///{directory}/causerie.db",
    ]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert "Give the service's user write access" in refused.stderr


@pytest.mark.parametrize(
    "address", ["", "rubbish", "sqlite://", "sqlite:///:memory:", "mysql://localhost/causerie"]
)
def test_a_url_that_names_no_database_is_refused(address: str) -> None:
    with pytest.raises(DatabaseError, match="must name a SQLite file"):
        Database(address, 0, Tasks())


async def test_the_file_is_private_to_its_user(file: Path) -> None:
    async with opened(file):
        modes = [entry.stat().st_mode for entry in os.scandir(file.parent) if entry.is_file()]
    assert len(modes) >= 2
    assert {stat.S_IMODE(mode) for mode in modes} == {0o600}


async def test_the_file_is_whole_by_itself_after_the_end(file: Path) -> None:
    async with opened(file) as database:
        Ledger(database).open(Record(id="turn"))
    assert not any(entry.name.endswith("-wal") for entry in os.scandir(file.parent))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT id FROM records").fetchall() == [("turn",)]


async def test_reading_neither_waits_for_a_writer_nor_writes(file: Path) -> None:
    async with opened(file) as database:
        with closing(sqlite3.connect(file)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert await database.read(select(records)) == []


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"read-?only"):
        await database.read(records.delete())


async def test_pages_are_complete_ordered_and_bounded(database: Database, ledger: Ledger) -> None:
    number = 2 * PAGE + 500
    for index in range(number):
        settled = ledger.settle(Record(id=f"{-index}", opened_at=index // 7, ending="done"))
    await settled
    pages = database.pages(select(records), records.c.opened_at, records.c.id)
    found = [[(row["opened_at"], row["id"]) for row in page] async for page in pages]
    assert [len(page) for page in found] == [PAGE, PAGE, 500]
    assert list(itertools.chain(*found)) == sorted((index // 7, f"{-index}") for index in range(number))


def test_the_driver_of_postgresql_is_loaded_for_postgresql_only() -> None:
    script = "import sys, service.app; sys.exit('asyncpg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
