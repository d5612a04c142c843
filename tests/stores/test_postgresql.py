"""What is PostgreSQL's own: a server that goes away and comes back, and a lock that must not be lost."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import select

from service.errors import Unavailable
from service.stores import postgresql as system
from service.stores.database import Database, DatabaseError
from service.stores.ledger import Ledger, Record
from service.stores.schema import records
from service.tasks import Tasks
from tests.postgresql import Server, rows_of, stopped
from tests.stores.opened import opened
from tests.upstream import until

WRITING = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"


@pytest.fixture
async def url(postgresql: Server) -> AsyncGenerator[str, None]:
    async with postgresql.database() as url:
        yield url


async def settle(database: Database, id: str) -> None:
    async with asyncio.timeout(30):
        await Ledger(database).settle(Record(id=id, ending="done"))


async def kept(database: Database) -> set[str]:
    return {row["id"] for row in await database.read(select(records.c.id))}


async def writing(url: str) -> int:
    """The server's process for the connection that writes."""
    ((process,),) = await rows_of(url, WRITING)
    return int(process)


@asynccontextmanager
async def locked(url: str) -> AsyncGenerator[None, None]:
    """Another program writes to the ledger, and does not come to an end."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE records IN EXCLUSIVE MODE")
        yield
    await connection.close()


async def test_a_server_that_restarts_is_outlasted(url: str, postgresql: Server) -> None:
    async with opened(url) as database:
        await settle(database, "before")
        async with stopped(postgresql):
            later = [Ledger(database).settle(Record(id=f"{n}", ending="done")) for n in range(500)]
            await until(lambda: database.failing)
            with pytest.raises(DatabaseError, match=r"cannot be read: .+"):
                await kept(database)
            assert not any(future.done() for future in later)
        async with asyncio.timeout(30):
            await asyncio.gather(*later)
        assert database.failing is None
        assert await kept(database) == {"before", *map(str, range(500))}
        assert await writing(url), "it has the lock again"


async def test_what_was_acknowledged_outlives_a_crash_of_the_server(url: str, postgresql: Server) -> None:
    """The server's own setting is not to wait for commits."""
    acknowledged: set[str] = set()
    async with opened(url) as database:
        for number in range(50):
            await settle(database, f"{number}")
            acknowledged.add(f"{number}")
        async with stopped(postgresql):
            pass
        assert await kept(database) == acknowledged


async def test_no_connection_that_was_lost_is_read_from(url: str, postgresql: Server) -> None:
    async with opened(url) as database:
        await asyncio.gather(*(kept(database) for _ in range(20)))
        async with stopped(postgresql):
            pass
        assert await asyncio.gather(*(kept(database) for _ in range(20))) == [set()] * 20


async def test_a_connection_that_is_ended_is_made_anew_under_the_lock(url: str) -> None:
    async with opened(url) as database:
        process = await writing(url)
        await rows_of(url, f"SELECT pg_terminate_backend({process})")
        await settle(database, "after")
        assert await writing(url) != process


async def test_a_lock_that_another_has_taken_meanwhile_is_respected(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "LOCK_SECONDS", 1)
    async with opened(url) as database:
        await rows_of(url, f"SELECT pg_terminate_backend({await writing(url)})")
        async with opened(url) as other:
            late = Ledger(database).settle(Record(id="late", ending="done"))
            await until(lambda: "already serves it" in (database.failing or ""))
            assert f"process {os.getpid()} on" in str(database.failing)
            await settle(other, "other")
            assert not late.done()
            assert await kept(other) == {"other"}
        async with asyncio.timeout(30):
            await late
        assert database.failing is None


async def test_whoever_has_the_lock_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "LOCK_SECONDS", 1)
    connection = await asyncpg.connect(url, server_settings={"application_name": "a backup"})
    await connection.execute(f"SELECT pg_advisory_lock({system.LOCK})")
    assert "a backup already serves it." in await refusal(url)
    await connection.close()


class Wire:
    """Lies between the service and the server; what runs over it can be silenced, and stays open."""

    def __init__(self, folder: Path, server: str) -> None:
        self._socket, self._server = folder / ".s.PGSQL.5432", server
        self._silent: set[asyncio.StreamWriter] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def silence(self) -> None:
        """From now on nothing arrives over the connections that there are."""
        self._silent.update(self._writers)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        self._writers += [writer, to_server]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, to_server))
            group.create_task(self._pass(from_server, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if writer not in self._silent:
                    writer.write(data)
        if writer not in self._silent:
            writer.close()

    async def __aenter__(self) -> str:
        """The folder to connect to."""
        self._listening = await asyncio.start_unix_server(self._join, self._socket)
        return str(self._socket.parent)

    async def __aexit__(self, *raised: object) -> None:
        self._listening.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.1)


async def test_a_connection_that_falls_silent_is_given_up_and_its_lock_taken_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a cable is cut: to the server the old connection is alive, and has the lock."""
    monkeypatch.setattr(system.PostgreSQL, "patience", 1.0)
    address, _, server = url.partition("host=")
    with TemporaryDirectory() as folder:
        wire = Wire(Path(folder), f"{server}/.s.PGSQL.5432")
        async with wire as there, opened(f"{address}host={there}") as database:
            await settle(database, "before")
            former = await writing(url)
            wire.silence()
            late = Ledger(database).settle(Record(id="late", ending="done"))
            await until(lambda: database.failing)
            async with asyncio.timeout(30):
                await late
            assert await writing(url) != former
            assert await kept(database) == {"before", "late"}


async def test_the_end_does_not_wait_for_a_silent_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.writer.CLOSE_SECONDS", 0.2)
    async with opened(url) as database:
        silent = await writing(url)
        os.kill(silent, signal.SIGSTOP)
        try:
            late = Ledger(database).settle(Record(id="late", ending="done"))
            async with asyncio.timeout(12):
                await database.close()
        finally:
            os.kill(silent, signal.SIGCONT)
        with pytest.raises(Unavailable):
            await late


async def test_a_locked_table_is_outlasted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(system.WRITER, "lock_timeout", "50ms")
    async with opened(url) as database:
        async with locked(url):
            late = Ledger(database).settle(Record(id="late", ending="done"))
            await until(lambda: "lock timeout" in (database.failing or ""))
            assert await kept(database) == set()
        async with asyncio.timeout(30):
            await late


async def refusal(url: str) -> str:
    with pytest.raises(DatabaseError) as caught:
        async with opened(url):
            pass
    return caught.value.message


@pytest.mark.parametrize("form", ["postgresql://", "postgresql+asyncpg://"])
async def test_both_forms_of_the_address_are_understood(url: str, form: str) -> None:
    async with opened(url.replace("postgresql://", form)) as database:
        await settle(database, "turn")


async def test_what_is_wrong_is_said_with_what_to_do_and_without_the_password(
    url: str, tmp_path: Path
) -> None:
    with closing(socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        told = {
            f"postgresql://me:canary@127.0.0.1:{port}/mine": "Start PostgreSQL, or correct",
            f"postgresql://me:canary@/mine?host={tmp_path}": "Start PostgreSQL, or correct",
            url.replace("/test", "/another"): "Make the database (createdb)",
            url.replace("causerie@", "nobody:canary@"): "Correct the user in database.url",
            "postgresql://me:canary/or@127.0.0.1/mine": "Write : / @ % in passwords",
            f"{url}&sslmode=whatever": "sslmode",
        }
        for address, advice in told.items():
            said = await refusal(address)
            assert advice in said
            assert "canary" not in said


async def test_a_user_who_may_not_make_tables_is_told_so(url: str) -> None:
    await rows_of(url, "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    assert "Make the service's user the owner" in await refusal(url.replace("causerie@", "guest@"))


def test_the_address_is_shown_without_its_password() -> None:
    assert "canary" not in repr(Database("postgresql://me:canary@db/mine", 0, Tasks())._system.name)
