"""The process, as an operator meets it: how it starts, what stops it, and what it says."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.serving import CONVERSATION, events

ROOT = Path(__file__).parent.parent
Process = asyncio.subprocess.Process


@asynccontextmanager
async def started(tmp_path: Path, **variables: str) -> AsyncGenerator[Process, None]:
    """`python -m service`; killed if a test leaves it running."""
    environment = os.environ | {
        "CAUSERIE_PORT": "0",
        "CAUSERIE_STATE_DIR": str(tmp_path / "state"),
        "CAUSERIE_EMBEDDED_ENABLED": "false",
        "CAUSERIE_SCRIPTED_ENABLED": "true",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service",
        cwd=ROOT,
        env=environment | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address(process: Process) -> str:
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith("Causerie "), line
    return line.split()[-1]


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
