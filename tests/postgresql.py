"""A real PostgreSQL server for the tests: on a unix socket, as an unprivileged user, gone with them."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

# A commit that is not waited for may be lost with the server: the service must not rely on its settings.
# The system outlives these tests, so that nothing needs to be forced to the disk.
SETTINGS = ("synchronous_commit=off", "fsync=off", "listen_addresses=", "datestyle=German", "jit=on")


class Server:
    """A server with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._programs = _programs()
        self._process: subprocess.Popen[bytes] | None = None

    def initialize(self) -> None:
        """Makes the files of an empty server."""
        self._run("initdb", "--no-sync", "--auth=trust", "--username=causerie", "--locale=C.UTF-8")

    def start(self) -> None:
        """Starts it, and returns when it takes connections."""
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            command = self._command("postgres", "-k", str(self._folder), *settings)
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(300):
            if not self._run("pg_isready", "--quiet", f"--host={self._folder}", "--timeout=1", check=False):
                return
            time.sleep(0.1)
        raise TimeoutError((self._folder / "log").read_text())

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Ends it: at once as in a crash (SIGQUIT), or in order (SIGINT)."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(30)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://causerie@/{database}?host={self._folder}"

    @property
    def place(self) -> Path:
        """A folder that is not there yet, for a disk that the server's user can reach."""
        return self._folder / f"disk{next(self._numbers)}"

    @asynccontextmanager
    async def tablespace(self, folder: Path) -> AsyncGenerator[str, None]:
        """The name of one whose files are in `folder`. Source: PostgreSQL's manual, 23.6."""
        name = f"space{next(self._numbers)}"
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        await rows_of(self.url(), f"CREATE TABLESPACE {name} LOCATION '{folder}'")
        try:
            yield name
        finally:
            await rows_of(self.url(), f"DROP TABLESPACE {name}")

    @asynccontextmanager
    async def database(self, tablespace: str = "pg_default") -> AsyncGenerator[str, None]:
        """The URL of an empty database."""
        name = f"test{next(self._numbers)}"
        await rows_of(self.url(), f"CREATE DATABASE {name} TABLESPACE {tablespace}")
        try:
            yield self.url(name)
        finally:
            await rows_of(self.url(), f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        command = self._command(program, *arguments)
        return subprocess.run(command, check=check, capture_output=True, timeout=60).returncode

    def _command(self, program: str, *arguments: str) -> list[str]:
        """It refuses to run as root."""
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        where = [] if program == "pg_isready" else ["-D", str(self._folder / "data")]
        return [*(user if os.geteuid() == 0 else []), str(self._programs / program), *where, *arguments]


async def rows_of(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


@contextmanager
def running() -> Iterator[Server]:
    """A new server, in a directory that its user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="causerie-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = Server(folder)
    try:
        server.initialize()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@asynccontextmanager
async def stopped(server: Server) -> AsyncGenerator[None, None]:
    """While this is entered the server is away, as after a crash."""
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


def _programs() -> Path:
    """Debian keeps them out of the path."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    if newest := max(folders, key=lambda folder: int(folder.parent.name), default=None):
        return newest
    if found := shutil.which("pg_isready"):
        return Path(found).resolve().parent
    raise FileNotFoundError("There is no PostgreSQL: apt-get install postgresql, as .ci/run does.")
