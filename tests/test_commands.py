"""The command line makes keys, beside a service that runs."""

import asyncio
import os
import re
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.access import bearer
from tests.process import COMMAND, ROOT, address, started

FORM = re.compile(r"ck-([a-z0-9]{8})-[\w-]{43}\n")


async def said(directory: Path, *words: str, **variables: str) -> tuple[int | None, str, str]:
    """What a command says: its exit status, its output, its errors."""
    environment = os.environ | {"CAUSERIE_STATE_DIR": str(directory / "state")} | variables
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *words, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def made(directory: Path, *words: str) -> tuple[str, str]:
    """A new key's id and its text."""
    status, output, errors = await said(directory, "keys", "create", *words)
    match = FORM.fullmatch(output)
    assert status == 0 and match, errors
    assert "nobody can show it again" in errors
    assert output.strip() not in errors
    return match[1], output.strip()


async def test_a_key_is_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    id, text = await made(
        tmp_path,
        *(
            "--user",
            "ada",
            "--admin",
            "--name",
            "Ada's laptop",
            "--expires",
            "90d",
            "--models",
            "small, fast",
        ),
        *("--providers", "OpenAI", "--requests-per-minute", "60", "--tokens-per-minute", "9000"),
        *("--turns-at-once", "2", "--budget-day", "0.5", "--budget-month", "10"),
    )
    other, _ = await made(tmp_path, "--user", "bob")
    status, listed, _ = await said(tmp_path, "keys", "list")
    head, *lines = listed.splitlines()
    assert status == 0
    assert head.split() == ["ID", "USER", "ROLE", "NAME", "CREATED", "ENDS", "FOR", "LIMITS"]
    assert [line.split()[:3] for line in lines] == [[id, "ada", "admin"], [other, "bob", "user"]]
    assert "OpenAI,fast,small" in lines[0]
    for limit in (
        "requests_per_minute=60",
        "tokens_per_minute=9000",
        "turns_at_once=2",
        "day=0.5",
        "month=10",
    ):
        assert limit in lines[0]
    assert text[12:] not in listed
    status, rotated, _ = await said(tmp_path, "keys", "rotate", id)
    assert status == 0 and FORM.fullmatch(rotated)
    assert rotated.strip() != text
    assert (await said(tmp_path, "keys", "revoke", id))[:2] == (0, f"The key {id} of ada is revoked.\n")
    assert "revoked" in (await said(tmp_path, "keys", "list"))[1]
    status, output, errors = await said(tmp_path, "keys", "rotate", id)
    assert (status, output) == (1, "")
    assert errors == f"causerie: The key {id} is revoked. Create a new one.\n"


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("create",), 2, "--user"),
        (("create", "--user", " "), 1, "A key needs the name of its user."),
        (("create", "--user", "ada", "--expires", "soon"), 2, "12h, 90d or 4w"),
        (("create", "--user", "ada", "--turns-at-once", "0"), 2, "whole number above 0"),
        (("create", "--user", "ada", "--budget-day", "-1"), 2, "--budget-day"),
        (("create", "--user", "ada", "--models", ","), 2, "name one at least"),
        (("create", "--user", "ada", "--providers", "Nobody"), 1, "There is no provider Nobody"),
        (("revoke", "nobody99"), 1, "There is no key 'nobody99'."),
        (("rotate", "nobody99"), 1, "There is no key 'nobody99'."),
        ((), 2, "ACTION"),
    ],
)
async def test_what_cannot_be_done_is_told_in_a_sentence(
    words: tuple[str, ...], status: int, complaint: str, tmp_path: Path
) -> None:
    found, output, errors = await said(tmp_path, "keys", *words)
    assert (found, output) == (status, "")
    assert complaint in errors
    assert "Traceback" not in errors


async def test_a_running_service_hears_of_keys(tmp_path: Path) -> None:
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        stats = f"{await address(process)}/backend-api/v2/stats"

        async def status(text: str = "") -> int:
            async with http.get(stats, headers=bearer(text) if text else {}) as answer:
                return answer.status

        assert await status() == 200
        id, text = await made(tmp_path, "--user", "ada")
        await _refused(status)
        assert await status(text) == 200
        _, rotated, _ = await said(tmp_path, "keys", "rotate", id)
        await _refused(lambda: status(text))
        assert await status(rotated.strip()) == 200
        await said(tmp_path, "keys", "revoke", id)
        await _refused(lambda: status(rotated.strip()))


async def _refused(status: Callable[[], Awaitable[int]]) -> None:
    """Within five seconds."""
    for _ in range(50):
        if await status() == 401:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("The key still opens the service.")


async def test_with_a_key_the_network_may_be_served(tmp_path: Path) -> None:
    await made(tmp_path, "--user", "ada")
    async with started(tmp_path, CAUSERIE_HOST="0.0.0.0") as process:
        await address(process)


async def test_what_root_makes_belongs_to_whom_the_state_belongs_to(tmp_path: Path) -> None:
    """Root may be who runs the command; anybody else keeps what is his."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    os.chown(state, owner, -1)
    await made(tmp_path, "--user", "ada")
    assert {file.name for file in state.iterdir()} >= {"causerie.db", "secret"}
    assert {file.stat().st_uid for file in state.iterdir()} == {owner}


async def test_a_lost_secret_is_told_and_keys_can_be_rotated(tmp_path: Path) -> None:
    id, _ = await made(tmp_path, "--user", "ada")
    (tmp_path / "state/secret").unlink()
    status, output, errors = await said(tmp_path, "keys", "rotate", id)
    assert (status, bool(FORM.fullmatch(output))) == (0, True)
    assert "secret that keys are hashed with is gone" in errors


async def test_a_damaged_secret_is_told_in_a_sentence(tmp_path: Path) -> None:
    await made(tmp_path, "--user", "ada")
    (tmp_path / "state/secret").write_bytes(b"short")
    for words in (("keys", "list"), ("run",)):
        status, _, errors = await said(tmp_path, *words, CAUSERIE_PORT="0", CAUSERIE_EMBEDDED_ENABLED="false")
        assert status == 1
        assert "state/secret is damaged. Restore it" in errors
        assert "Traceback" not in errors


async def test_another_secret_makes_other_keys(tmp_path: Path) -> None:
    status, _, errors = await said(tmp_path, "keys", "list", CAUSERIE_SECRET="short")
    assert (status, "CAUSERIE_SECRET is too short" in errors) == (1, True)
    assert "Traceback" not in errors
    status, _, _ = await said(tmp_path, "keys", "create", "--user", "ada", CAUSERIE_SECRET="x" * 32)
    assert status == 0
    assert not (tmp_path / "state/secret").exists()


async def test_the_command_still_runs_the_service_and_checks_the_settings(tmp_path: Path) -> None:
    async with started(tmp_path, (*COMMAND, "run")) as process:
        await address(process)
    assert "[keys]" in (await said(tmp_path, "check"))[1]
    assert (await said(tmp_path, "nonsense"))[0] == 2
