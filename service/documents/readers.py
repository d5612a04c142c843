"""A process that reads files, one after another, as the service sees it."""

import asyncio
import logging
import os
import re
import signal
import tempfile
from asyncio.subprocess import Process
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from service.children import kill, start
from service.documents.protocol import LENGTH, LONGEST, End, Frame, Last, Page, Task, packed
from service.settings import Documents

log = logging.getLogger(__name__)

SERVED = 100
"""Files after which a process is replaced, whatever they have left in it."""
SWOLLEN = 128 * 1024 * 1024
"""Bytes of memory that it holds between files, after which it is, too."""
MORE = 2
"""So many times what it may tell is taken for a process that is out of hand; limits are its own to keep."""
PATIENCE = 5.0
"""Seconds that a process which has closed its pipe may take to end."""
OUT_OF_MEMORY = re.compile(rb"memory allocation of|MemoryError|bad_alloc|[Oo]ut of memory|Cannot allocate")

frames = msgspec.msgpack.Decoder(Frame)


class Death(Exception):
    """The process died while it read a file; the text is a sentence's end, for who sent that file."""


class Read(Struct, frozen=True):
    """What became of a task."""

    pages: tuple[Page, ...]
    end: End


class Reader:
    """Use it for one file at a time, and `close` it when it is no longer `usable`."""

    def __init__(self, child: Process, errors: IO[bytes], limits: Documents) -> None:
        self._child, self._errors, self._limits = child, errors, limits
        self._served, self._busy, self._held = 0, False, 0

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def usable(self) -> bool:
        """Whether it waits for a file, and is fit to read one."""
        waits = not self._busy and not self._has_ended()
        return waits and self._served < SERVED and self._held < SWOLLEN

    def _has_ended(self) -> bool:
        """As the system knows it: the loop hears of it later, and the next file would be blamed."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # the loop has heard of it
            return True

    async def read(self, task: Task) -> Read:
        """Raises `Death`; whoever cancels it leaves a process in the midst of its work, to be closed."""
        self._busy = True
        self._served += 1
        try:
            pages, last = await self._exchange(task)
        except (ConnectionError, asyncio.IncompleteReadError, msgspec.DecodeError):
            raise Death(await self._cause()) from None
        self._busy, self._held = False, last.held
        return Read(tuple(pages), last.end)

    async def _exchange(self, task: Task) -> tuple[list[Page], Last]:
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(packed(task))
        await self._child.stdin.drain()
        pages: list[Page] = []
        told = 0
        while told <= MORE * (self._limits.text + self._limits.members):
            (length,) = LENGTH.unpack(await self._child.stdout.readexactly(LENGTH.size))
            if length > LONGEST:
                break
            frame = frames.decode(await self._child.stdout.readexactly(length))
            if isinstance(frame, Last):
                return pages, frame
            pages.append(frame.page)
            told += len(frame.page.text) + 1
        raise ConnectionError("no reader tells that much")

    async def _cause(self) -> str:
        """Why it died, as far as that shows."""
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self._child.wait()
        except TimeoutError:
            code = 0
        written = await asyncio.to_thread(self._written)
        log.warning("a process that reads files ended with status %s: %s", code, _last_line(written))
        most = size(self._limits.memory)
        if code == -signal.SIGXCPU:
            return f"takes longer to read than {self._limits.timeout:g} seconds (documents.timeout)"
        if code == -signal.SIGKILL or OUT_OF_MEMORY.search(written):
            return f"takes more memory to read than {most} (documents.memory), or than this machine has"
        return f"made its reader crash: it is damaged, or takes more than {most} (documents.memory)"

    def _written(self) -> bytes:
        """The end of what it wrote to stderr."""
        self._errors.seek(max(0, self._errors.seek(0, 2) - 8192))
        return self._errors.read()

    async def close(self) -> None:
        """Ends it, whatever it does."""
        try:
            await kill(self._child)
        finally:
            self._errors.close()


async def reader(limits: Documents, folder: Path) -> Reader:
    """A process that has just been started, and unpacks its libraries in `folder`; raises `OSError`.

    Kreuzberg loads one for PDF from the directory of temporary files, without asking who put it there.
    """
    # In no thread: whoever cancelled that would leave it open.
    errors = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        child = await start(
            "service.documents.reader_child", variables={"TMPDIR": str(folder)}, stderr=errors
        )
    except BaseException:
        errors.close()
        raise
    assert child.stdin
    child.stdin.write(packed(limits))
    return Reader(child, errors, limits)


def size(count: int) -> str:
    """Bytes as people write them: `256 MiB`."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count = count // 1024 if count % 1024 == 0 else round(count / 1024)
    return f"{count:.4g} GiB"


def _last_line(written: bytes) -> str:
    """Without the directories of this machine."""
    lines = written.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
    return re.sub(r"(?<![^\s'\"(=])/\S*/", "", lines[-1])[:300]
