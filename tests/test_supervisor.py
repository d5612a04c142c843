"""What a supervisor hands over and is told; systemd itself is in tests/deploy."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from service.supervisor import Supervisor
from tests.process import COMMAND, address, started
from tests.serving import CONVERSATION

HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What sd_listen_fds(3) expects of a supervisor, done to one inherited file."""


def handing_over(listener: socket.socket, *command: str) -> list[str]:
    return [sys.executable, "-c", HAND_OVER, str(listener.fileno()), *command]


class Notes:
    """The supervisor's end: a socket into which it is told things."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    async def until(self, wanted: str) -> list[str]:
        """Everything that is told, up to what begins like this."""
        told: list[str] = []
        async with asyncio.timeout(20):
            while not any(state.startswith(wanted) for state in told):
                told += (await asyncio.get_running_loop().sock_recv(self.socket, 4096)).decode().split("\n")
        return told

    def waiting(self) -> int:
        """How many datagrams have not been read; reads them."""
        for count in range(1000):
            try:
                self.socket.recv(4096)
            except BlockingIOError:
                return count
        return 1000


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    notes = Notes(str(tmp_path / "notify"))
    yield notes
    notes.socket.close()


async def test_it_is_told_of_the_start_the_turns_and_the_end(tmp_path: Path, notes: Notes) -> None:
    variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
    async with started(tmp_path, **variables) as process, aiohttp.ClientSession() as http:
        await notes.until("READY=1")
        url = await address(process)
        assert f"STATUS=On {url}, turns running: 0" in await notes.until("STATUS=")
        body = {"prompt": "say one\nwait 3600", "provider": "Scripted"}
        async with http.post(url + CONVERSATION, json=body) as answer:
            await answer.content.readuntil(b'"one"}\n\n')
            assert f"STATUS=On {url}, turns running: 1" in await notes.until("STATUS=")
        assert f"STATUS=On {url}, turns running: 0" in await notes.until("STATUS=")
        process.send_signal(signal.SIGTERM)
        told = await notes.until("STOPPING=1")
        assert not [state for state in told if state.startswith("STATUS=")]
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_what_cannot_start_is_never_ready(tmp_path: Path, notes: Notes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = {"CAUSERIE_PORT": str(other.getsockname()[1]), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with started(tmp_path, **taken) as process:
            assert await asyncio.wait_for(process.wait(), 20) == 1
    assert notes.waiting() == 0


async def test_a_blocked_loop_feeds_no_watchdog(tmp_path: Path, notes: Notes) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"})
    async with asyncio.TaskGroup() as group:
        attending = group.create_task(supervisor.attend(lambda: "busy"))
        assert await notes.until("WATCHDOG=1") == ["WATCHDOG=1", "STATUS=busy"]
        assert await notes.until("WATCHDOG=1") == ["WATCHDOG=1"]
        notes.waiting()
        time.sleep(0.5)  # noqa: ASYNC251 (it is what is tested)
        assert notes.waiting() == 0
        await notes.until("WATCHDOG=1")
        attending.cancel()


@pytest.mark.parametrize(
    ("variables", "pulse"),
    [
        ({}, 5.0),
        ({"WATCHDOG_USEC": "30000000"}, 5.0),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 5.0),
    ],
)
def test_a_sign_of_life_comes_twice_as_often_as_it_must(variables: dict[str, str], pulse: float) -> None:
    assert Supervisor(variables).pulse == pulse


def test_an_abstract_socket_is_written_with_an_at() -> None:
    name = f"causerie-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}")
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).notify("READY=1", "STATUS=there")
        assert end.recv(100) == b"READY=1\nSTATUS=there"


async def test_without_a_supervisor_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor({})
    supervisor.notify("READY=1")
    await asyncio.wait_for(supervisor.attend(lambda: ""), 10)
    assert caplog.text == ""


def test_one_that_is_gone_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).notify("READY=1")
    assert "cannot be told READY=1" in caplog.text


def test_children_get_none_of_its_variables() -> None:
    given = dict.fromkeys(("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"), "1")
    environment = given | {"WATCHDOG_PID": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "http", "HOME": "/"}
    Supervisor(environment)
    assert environment == {"HOME": "/"}


def test_sockets_for_another_process_are_left_alone() -> None:
    assert Supervisor({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1)}).sockets == []


async def test_who_comes_between_two_processes_is_answered_by_the_second(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = handing_over(listener, *COMMAND)
        async with aiohttp.ClientSession() as http:
            async with started(tmp_path, command, [listener.fileno()]) as process:
                assert await address(process) == url
                async with http.get(f"{url}/health/live") as answer:
                    assert answer.status == 200
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 10) == 0
            async with asyncio.TaskGroup() as group:
                between = group.create_task(http.get(f"{url}/health/live"))
                async with started(tmp_path, command, [listener.fileno()]):
                    assert (await asyncio.wait_for(between, 20)).status == 200


@pytest.mark.parametrize("taken", [True, False])
async def test_children_get_none_of_the_sockets(tmp_path: Path, taken: bool) -> None:
    child = "import subprocess; sys.exit(subprocess.call(['sh', '-c', '<&3'], close_fds=False))"
    take = "from service.supervisor import Supervisor; one = Supervisor(os.environ)" if taken else ""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = handing_over(listener, sys.executable, "-c", f"import os, sys\n{take}\n{child}")
        async with started(tmp_path, command, [listener.fileno()]) as process:
            status = await asyncio.wait_for(process.wait(), 20)
    assert (status != 0) is taken


async def test_a_socket_of_the_network_is_refused_however_it_comes(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        command = handing_over(listener, *COMMAND)
        async with started(tmp_path, command, [listener.fileno()]) as process:
            _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"CAUSERIE_SERVER_OPEN_TO_NETWORK" in errors


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="needs the package systemd")
async def test_the_first_client_of_systemd_starts_it(tmp_path: Path) -> None:
    path = tmp_path / "causerie.sock"
    names = ["CAUSERIE_STATE_DIR", "CAUSERIE_EMBEDDED_ENABLED", "CAUSERIE_SCRIPTED_ENABLED"]
    passed = [argument for name in names for argument in ("-E", name)]
    command = ["systemd-socket-activate", "-l", str(path), *passed, *COMMAND]
    async with started(tmp_path, command) as process:
        for _ in range(200):
            if path.is_socket():
                break
            await asyncio.sleep(0.05)
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get("http://localhost/health/live") as answer,
        ):
            assert answer.status == 200
        assert await address(process) == f"unix:{path}"
