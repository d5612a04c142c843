"""The programs that are measured: started, timed by their own clocks, weighed, and ended."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
# No other: a key of a provider would have the service call it.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
START_SECONDS = 60.0
END_SECONDS = 15.0


class Program(NamedTuple):
    """A running program, the loopback port it was told to listen on (0: none), and the key that it wants."""

    process: subprocess.Popen[bytes]
    port: int
    key: str = ""

    @property
    def tree(self) -> list[int]:
        """It and all that descend from it; raises `RuntimeError` if it has died."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.process.args!r} ended with status {self.process.returncode}.")
        return tree(self.process.pid)


@contextmanager
def running(
    command: list[str], port: int = 0, log: Path | None = None, **variables: str
) -> Iterator[Program]:
    """Starts a program; it ends with the block. What it says goes to `log`, else its stdout is a pipe."""
    environment, pipe = ENVIRONMENT | variables, subprocess.PIPE
    with ExitStack() as stack:
        told = stack.enter_context(log.open("ab")) if log else None
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=pipe,
            stdout=told or pipe,
            stderr=told,
            start_new_session=True,
        )
    with process:
        try:
            yield Program(process, port)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def await_answer(program: Program, path: str) -> None:
    """Returns when `path` is answered with a 200; raises `RuntimeError` where it does not come up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and program.tree:
        connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass  # not yet
        finally:
            connection.close()
        time.sleep(0.002)
    raise RuntimeError(f"{program.process.args!r} does not answer {path}.")


def await_socket(program: Program, path: Path) -> None:
    """Returns when it listens there; raises `RuntimeError` where it does not come up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and program.tree:
        if path.is_socket():
            return
        time.sleep(0.01)
    raise RuntimeError(f"{program.process.args!r} does not listen at {path}.")


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    files = Path(f"/proc/{pid}/task").glob("*/children")  # one for each thread
    children = [int(child) for file in files for child in file.read_text().split()]
    return [pid, *chain.from_iterable(map(tree, children))]


def cpu_seconds(pids: list[int]) -> float:
    """What these processes have used, all threads, user and system, in nanosecond steps."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)  # the kernel's number of a process's clock


def memory(pid: int, kind: str = "Pss") -> float:
    """In MiB, the process's proportional share, or of another `kind` (man 5 proc_pid_smaps)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024
