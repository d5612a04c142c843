"""What only SQLite needs: a file, a lock on it, how durable a commit is, and what its errors mean."""

import fcntl
import os
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

# FULL: a commit outlives a power cut, not only the process. The limit gives back what a long read let grow.
WRITER = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=67108864")
READER = ("query_only=ON",)

GIVE_ACCESS = "Give the service's user write access, or set another state directory."
FREE_SPACE = "Free some space, then start again."
ADVICE = {
    "is not a database": "Move it away, or restore a backup.",
    "is malformed": "Restore a backup.",
    "is locked": "Close the other program that uses it, then start again.",
    "is full": FREE_SPACE,
    "no space left": FREE_SPACE,
    "permission denied": GIVE_ACCESS,
    "read-only": GIVE_ACCESS,
    "readonly": GIVE_ACCESS,
    "unable to open": GIVE_ACCESS,
}


class InUse(OSError):
    """Another process serves the file."""


class Lock:
    """An advisory lock on `<file>.lock`: one process serves a file. The kernel ends it with the process."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip()
            self.release()
            raise InUse(
                f"process {holder or '?'} already serves it. Stop that one, or set another state directory"
            ) from None
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._descriptor)


def create(file: Path) -> None:
    """Makes the file and its directory where they are missing, for this user's eyes only."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def configure(engine: AsyncEngine, pragmas: tuple[str, ...]) -> None:
    """Sets `pragmas` on every connection that `engine` opens."""

    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)


def advice(cause: str) -> str:
    """What an operator can do about `cause`, SQLite's own words or the system's; empty where nobody knows."""
    return next((text for words, text in ADVICE.items() if words in cause.lower()), "")
