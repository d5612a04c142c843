"""The processes that read files: what they may do, how they end, and that nobody waits for them in vain."""

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import pytest

from service.documents import readers
from service.documents.kinds import PLAIN
from service.errors import DocumentRefused
from tests.documents import made
from tests.documents.conftest import Files, reading
from tests.upstream import until

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
PARENT = """
import asyncio, pathlib, sys
from service.documents.extraction import Extractor
from service.documents.kinds import PLAIN
from service.sources import load
from service.tasks import Tasks

async def main():
    extractor = Extractor(load({}).documents, Tasks())
    await extractor.text(pathlib.Path(sys.argv[1]), "a.txt", PLAIN["txt"])
    print(*extractor.processes, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def alive(process: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return "State:\tZ" not in told(process, "status")
    except (FileNotFoundError, ProcessLookupError):
        return False


def told(process: int, file: str) -> str:
    return Path(f"/proc/{process}/{file}").read_text()


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def status(process: int, name: str) -> str:
    found = re.search(rf"^{name}:\s+(.*)$", told(process, "status"), re.MULTILINE)
    assert found
    return found[1]


async def only(files: Files) -> int:
    """The one process that runs."""
    await until(lambda: len(files.extractor.processes) == 1)
    (process,) = files.extractor.processes
    return process


async def stopped(files: Files) -> int:
    """The one process, which stands still from now on."""
    await files.text("a.txt", b"words")
    process = await only(files)
    os.kill(process, signal.SIGSTOP)
    return process


def ended(process: int) -> None:
    """Waits for the end of a process, and keeps everything else waiting."""
    with suppress(ChildProcessError):  # it is over already
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)


async def killed(files: Files, process: int, number: signal.Signals) -> str:
    """What becomes of a file whose reader gets this signal in the midst of it."""
    read = asyncio.gather(files.text("a.txt", b"words"))
    await asyncio.sleep(0.1)
    assert not read.done()
    os.kill(process, number)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)
    return (await read)[0]


async def test_none_runs_before_the_first_file_and_one_serves_many(files: Files) -> None:
    assert not files.extractor.processes
    await files.text("a.txt", b"words")
    process = await only(files)
    for number in range(5):
        assert await files.text("a.txt", f"words {number}".encode()) == f"words {number}"
    assert files.extractor.processes == (process,)


async def test_it_ends_when_it_idles(tmp_path: Path) -> None:
    async with reading(tmp_path, idle=0.2) as files:
        await files.text("a.txt", b"words")
        process = await only(files)
        await until(lambda: not files.extractor.processes)
        assert not alive(process)
        assert await files.text("a.txt", b"again") == "again"


async def test_nothing_is_left_after_the_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kreuzberg would load a library that lies in the directory of temporary files, whoever put it there."""
    temporary = tmp_path / "temporary"
    planted = temporary / "kreuzberg-pdfium"
    planted.mkdir(parents=True)
    (planted / "libpdfium.so").write_bytes(b"whatever")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    async with reading(tmp_path) as files:
        assert await files.text("a.pdf", made.pdf(["fact"])) == "fact"
        process = await only(files)
        assert len(listed(temporary)) == 2
    assert not alive(process)
    assert listed(temporary) == ["kreuzberg-pdfium"]


async def test_it_dies_with_the_service(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "a.txt"), stdout=PIPE, cwd=ROOT
    )
    assert parent.stdout
    process = int(await parent.stdout.readline())
    assert alive(process)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(process))


async def test_it_may_do_little(files: Files) -> None:
    await files.text("a.pdf", made.pdf(["x"]))
    process = await only(files)
    limits = told(process, "limits")
    for name, limit in (
        ("core file size", 0),
        ("data size", 1024 * MIB),
        ("file size", 16 * MIB),
        ("open files", 64),
    ):
        assert re.search(rf"Max {name}\s+{limit}\s+{limit}\s", limits), name
    assert status(process, "NoNewPrivs") == "1" and status(process, "Seccomp") == "2"
    assert told(process, "oom_score_adj") == "1000\n"
    variables = {entry.split("=")[0] for entry in told(process, "environ").split("\0") if entry}
    assert not any("KEY" in name or name.startswith("CAUSERIE") for name in variables)


async def test_one_that_is_killed_costs_one_error(files: Files) -> None:
    process = await stopped(files)
    (error,) = await asyncio.gather(killed(files, process, signal.SIGKILL), return_exceptions=True)
    assert isinstance(error, DocumentRefused)
    assert error.message.startswith("The file a.txt takes more memory to read than 1 GiB (documents.memory)")
    assert await files.text("b.txt", b"the next") == "the next"
    assert await only(files) != process


async def test_one_that_was_killed_while_it_idled_costs_none(files: Files) -> None:
    await files.text("a.txt", b"words")
    process = await only(files)
    os.kill(process, signal.SIGKILL)
    ended(process)  # and the event loop has not heard of it
    assert await files.text("b.txt", b"the next") == "the next"


async def test_one_that_crashes_costs_one_error(files: Files) -> None:
    process = await stopped(files)
    with pytest.raises(DocumentRefused, match="made its reader crash"):
        await killed(files, process, signal.SIGSEGV)
    assert await files.text("b.txt", b"the next") == "the next"


async def test_a_file_that_takes_too_long(tmp_path: Path) -> None:
    async with reading(tmp_path, timeout=1.0) as files:
        process = await stopped(files)
        with pytest.raises(DocumentRefused, match=r"longer to read than 1 seconds \(documents\.timeout\)"):
            await files.text("a.txt", b"words")
        await until(lambda: not alive(process))
        assert await files.text("b.txt", b"the next") == "the next"


async def test_a_file_that_takes_too_much_memory(tmp_path: Path) -> None:
    async with reading(tmp_path, memory=64 * MIB) as files:
        with pytest.raises(DocumentRefused, match=r"documents\.memory"):
            await files.text("a.txt", b"x" * (100 * MIB))
        assert await files.text("b.txt", b"the next") == "the next"


async def test_who_gives_up_waiting_leaves_nothing_behind(files: Files) -> None:
    process = await stopped(files)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await files.text("a.txt", b"words")
    await until(lambda: not alive(process))
    assert await files.text("b.txt", b"the next") == "the next"


async def test_no_more_than_so_many_run(tmp_path: Path) -> None:
    async with reading(tmp_path, processes=2) as files:
        path = tmp_path / "a.txt"
        path.write_text("words")
        most = 0

        async def read() -> None:
            nonlocal most
            await files.extractor.text(path, "a.txt", PLAIN["txt"])
            most = max(most, len(files.extractor.processes))

        await asyncio.gather(*(read() for _ in range(20)))
        assert most == 2


async def test_it_is_replaced_after_many_files(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "SERVED", 3)
    seen = set()
    for _ in range(7):
        await files.text("a.txt", b"words")
        seen |= set(files.extractor.processes)
    assert len(seen) == 3


async def test_it_is_replaced_when_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reading(tmp_path) as files:
        await files.text("a.txt", b"words")
        process = await only(files)
        await files.text("a.txt", b"words")
        assert await only(files) == process
        monkeypatch.setattr(readers, "SWOLLEN", 10 * MIB)
        assert await files.text("a.txt", b"words") == "words"
        await until(lambda: not alive(process))


async def test_a_service_that_has_grown_does_not_make_them_seem_so(files: Files) -> None:
    """A process begins with the peak of the one that started it, as far as getrusage(2) tells."""
    grown = bytearray(2 * readers.SWOLLEN)
    grown[::4096] = b"x" * len(grown[::4096])
    await files.text("a.txt", b"words")
    process = await only(files)
    await files.text("a.txt", b"words")
    assert await only(files) == process


async def test_a_file_that_is_gone(files: Files, tmp_path: Path) -> None:
    with pytest.raises(DocumentRefused, match="cannot be read: No such file"):
        await files.extractor.text(tmp_path / "none", "a.txt", PLAIN["txt"])


async def test_the_event_loop_is_never_blocked(files: Files) -> None:
    """While a long text is read, what else runs waits for a small part of that time at the most."""
    line = "The quick brown fox. Съешь же ещё этих мягких французских булок.\n"
    content = (line * (20 * MIB // len(line.encode()))).encode()
    await files.text("warm.txt", b"words")
    gaps = [0.0]
    began = time.perf_counter()

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticking = asyncio.get_running_loop().create_task(tick())
    document = await files.document("a.txt", content)
    took = time.perf_counter() - began
    ticking.cancel()
    assert len(document.pages) > 20
    assert max(gaps) < took / 4, (max(gaps), took)
    assert len(gaps) > 1000
