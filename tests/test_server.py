"""The process, as an operator meets it: how it starts, what stops it, and what it says."""

import asyncio
import resource
import signal
import socket
import stat
from pathlib import Path

import aiohttp
import pytest

from tests.process import address, started
from tests.serving import CONVERSATION, events


async def refusal(tmp_path: Path, **variables: str) -> str:
    """What it says when it does not start: one sentence or two on one line, and no trace."""
    async with started(tmp_path, **variables) as process:
        output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert output == b""
    lines = [line for line in errors.decode().splitlines() if " INFO " not in line]
    assert len(lines) == 1, errors.decode()
    return lines[0]


async def test_it_says_where_it_is_and_who_answers(tmp_path: Path) -> None:
    async with started(tmp_path) as process:
        url = await address(process)
        assert process.stdout
        assert b"Scripted" in await asyncio.wait_for(process.stdout.readline(), 20)
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health/ready") as ready:
            assert ready.status == 200
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_running_answer_is_finished_when_it_is_stopped(tmp_path: Path) -> None:
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        body = {"prompt": "say one\nwait 0.5\nsay two", "provider": "Scripted"}
        async with http.post(url + CONVERSATION, json=body) as answer:
            begun = await answer.content.readuntil(b'"one"}\n\n')
            process.send_signal(signal.SIGTERM)
            whole = events(begun + await answer.read())
        assert [event.get("content") for event in whole if event["type"] == "content"] == ["one", "two"]
        assert whole[-1]["type"] == "usage"
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_whoever_is_connected_is_told_that_it_ends(tmp_path: Path) -> None:
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        body = {"prompt": "say one\nwait 1\nsay two", "provider": "Scripted"}
        async with http.post(url + CONVERSATION, json=body) as answer:
            await answer.content.readuntil(b'"one"}\n\n')
            async with http.get(f"{url}/health/ready") as ready:  # from here on it has a second connection
                assert ready.status == 200
            process.send_signal(signal.SIGTERM)
            for _ in range(10_000):
                async with http.get(f"{url}/health/ready") as ready:
                    if ready.status != 200:
                        break
            assert ready.status == 503
            assert ready.headers["Connection"] == "close"
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(f"{url}/health/live")
            assert b'"two"' in await answer.read()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    async with started(tmp_path, CAUSERIE_SERVER_SHUTDOWN_TIMEOUT="3600") as process:
        url = await address(process)
        async with aiohttp.ClientSession() as http:
            body = {"prompt": "say one\nwait 3600", "provider": "Scripted"}
            async with http.post(url + CONVERSATION, json=body) as answer:
                await answer.content.readuntil(b'"one"}\n\n')
                for _ in range(3):  # those of a supervisor change nothing
                    process.send_signal(signal.SIGTERM)
                await refused(url)
                process.send_signal(signal.SIGINT)
                assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGINT
        assert process.stderr
        assert b"Traceback" not in await process.stderr.read()


async def refused(url: str) -> None:
    """Returns once no new connection is taken."""
    for _ in range(200):
        async with aiohttp.ClientSession() as http:
            try:
                await http.get(f"{url}/health/live")
            except aiohttp.ClientConnectorError:
                return
        await asyncio.sleep(0.05)
    pytest.fail("It still takes connections.")


async def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "causerie.sock"
    async with started(tmp_path, CAUSERIE_SOCKET=str(path)) as process:
        assert await address(process) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert await status_over(path) == 200


async def status_over(path: Path) -> int:
    """What a request over a unix socket is answered."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
        http.get("http://localhost/health/live") as answer,
    ):
        return answer.status


async def test_a_unix_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "causerie.sock"
    for _ in range(2):
        async with started(tmp_path, CAUSERIE_SOCKET=str(path)) as process:
            await address(process)
            assert await status_over(path) == 200
            process.kill()
            await process.wait()
            assert path.is_socket()


@pytest.mark.parametrize("taken_by", ["socket", "file", "nothing"])
async def test_a_unix_socket_that_cannot_be_had_is_named(tmp_path: Path, taken_by: str) -> None:
    path = tmp_path / ("none/causerie.sock" if taken_by == "nothing" else "causerie.sock")
    with socket.socket(socket.AF_UNIX) as other:
        if taken_by == "socket":
            other.bind(str(path))
            other.listen()
        elif taken_by == "file":
            path.write_text("mine")
        said = await refusal(tmp_path, CAUSERIE_SOCKET=str(path))
    assert str(path) in said
    assert ("is taken" in said) is (taken_by != "nothing")
    assert "CAUSERIE_SOCKET" in said
    assert taken_by != "file" or path.read_text() == "mine"


async def test_after_a_kill_its_turns_are_settled_at_the_next_start(tmp_path: Path) -> None:
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        body = {"prompt": "say one\nwait 60", "provider": "Scripted"}
        async with http.post(url + CONVERSATION, json=body) as answer:
            await answer.content.readuntil(b'"one"}\n\n')
            await asyncio.sleep(0.1)
            process.kill()
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        async with http.get(f"{url}/metrics") as answer:
            assert answer.status == 200
        async with http.get(f"{url}/backend-api/v2/stats") as answer:
            assert (await answer.json())["totals"]["requests"] == 1


async def test_it_takes_as_many_files_as_it_may(tmp_path: Path) -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        async with started(tmp_path) as process:
            await address(process)
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = await refusal(tmp_path, CAUSERIE_PORT=str(port))
    assert f"Port {port} is taken" in said
    assert "CAUSERIE_PORT" in said


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = await refusal(tmp_path, CAUSERIE_STATE_DIR=str(tmp_path / "file" / "state"))
    assert str(tmp_path / "file") in said


async def test_two_do_not_serve_one_directory(tmp_path: Path) -> None:
    async with started(tmp_path) as first:
        await address(first)
        assert f"process {first.pid}" in await refusal(tmp_path)


async def test_the_network_is_not_served_by_mistake(tmp_path: Path) -> None:
    said = await refusal(tmp_path, CAUSERIE_HOST="0.0.0.0")
    assert "CAUSERIE_SERVER_OPEN_TO_NETWORK" in said
    async with started(tmp_path, CAUSERIE_HOST="0.0.0.0", CAUSERIE_SERVER_OPEN_TO_NETWORK="true") as process:
        await address(process)


async def test_the_slow_parser_is_refused(tmp_path: Path) -> None:
    assert "AIOHTTP_NO_EXTENSIONS" in await refusal(tmp_path, AIOHTTP_NO_EXTENSIONS="1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CAUSERIE_PROT", "9000"), ("CAUSERIE_PORT", "many"), ("CAUSERIE_CONFIG", "/none.toml")],
)
async def test_settings_that_make_no_sense_are_named(tmp_path: Path, variable: str, value: str) -> None:
    said = await refusal(tmp_path, **{variable: value})
    assert (value if variable == "CAUSERIE_CONFIG" else variable) in said
