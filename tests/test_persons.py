"""The command line hands out and removes what is kept of a person, beside a service that runs."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.process import COMMAND, ROOT
from tests.serving import Service, serving
from tests.upstream import Say, Silent, Upstream

V2 = "/backend-api/v2"


async def said(directory: Path, *words: str) -> tuple[int | None, str, str]:
    """What `persons` says: its exit status, its output, its errors."""
    environment = os.environ | {"CAUSERIE_STATE_DIR": str(directory / "state")}
    command = (*COMMAND, "persons", *words)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def converse(service: Service, user: str) -> None:
    async with service.asking(headers={"x-user": user}) as answer:
        await answer.read()


@pytest.mark.parametrize("beside", [True, False], ids=["beside the service", "after it"])
async def test_a_person_is_handed_out_and_forgotten(tmp_path: Path, upstream: Upstream, beside: bool) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        for user in ("ann", "ann", "bob"):
            await converse(service, user)
        if beside:
            await forgotten(tmp_path)
            assert set((await service.get(f"{V2}/stats"))["users"]) == {"bob", "unknown"}
    if not beside:
        await forgotten(tmp_path)
    assert (await said(tmp_path, "export", "bob"))[1].count("\n") == 2


async def forgotten(directory: Path) -> None:
    status, output, errors = await said(directory, "export", "ann")
    assert (status, errors) == (0, "")
    assert [json.loads(line)["type"] for line in output.splitlines()] == ["turn", "turn", "record", "record"]
    told = "ann is forgotten: 2 turns, 0 chats and 0 files are gone, 2 records have no name.\n"
    assert await said(directory, "forget", "ann") == (0, told, "")
    assert await said(directory, "export", "ann") == (0, "", "")


async def test_whoever_still_gets_an_answer_is_not_forgotten(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script(Say("Half"), Silent())
    async with (
        serving(tmp_path, ROW.format(url=upstream.url)) as service,
        service.asking(headers={"x-user": "ann"}) as answer,
    ):
        await answer.content.readuntil(b"Half")
        status, output, errors = await said(tmp_path, "forget", "ann")
        assert (status, output) == (1, "")
        assert "1 of the answers for ann still run" in errors
        assert len(await service.get(f"{V2}/turns", headers={"x-user": "ann"})) == 1
