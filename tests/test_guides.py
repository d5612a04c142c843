"""The guides for whoever runs, extends or asks the service: what they say to do is done, and works."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import ROW
from tests.serving import Service, serving, text
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until

ROOT = Path(__file__).parent.parent
V2 = "/backend-api/v2"
ADDITION = re.compile(r"^`([\w/.]+)`\n```(python|diff)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def changed(source: str, difference: str) -> str:
    """The text after each hunk was found in it, once, and replaced."""
    for hunk in difference.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before, after = ("".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    return source


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A copy of the project to which the guide's files and changes were added."""
    project = tmp_path / "project"
    for part in ("service", "config", "tests"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    for name, kind, added in ADDITION.findall((ROOT / "docs/extending.md").read_text()):
        file = project / name
        file.write_text(changed(file.read_text(), added) if kind == "diff" else added)
    return project


@pytest.mark.slow
def test_what_the_guide_adds_works_and_is_in_our_style(extended: Path) -> None:
    added = ADDITION.findall((ROOT / "docs/extending.md").read_text())
    files = [name for name, *_ in added]
    assert len([kind for _, kind, _ in added if kind == "diff"]) == 2
    tests = [name for name in files if name.startswith("tests/")]
    commands = [
        ["pytest", "--quiet", "-p", "no:cacheprovider", *tests, "tests/test_layers.py"],
        ["ruff", "check", "--no-cache", *files],
        ["ruff", "format", "--no-cache", "--check", *files],
    ]
    for command in commands:
        run = [sys.executable, "-m", *command]
        done = subprocess.run(run, cwd=extended, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(tests) == 2


# back-up and restore


def block(word: str) -> str:
    """The guide's one shell block in which a word stands."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/operating.md").read_text(), re.M | re.S)
    (found,) = [each for each in blocks if word in each]
    assert isinstance(found, str)
    return found


async def run(commands: str, state: Path, backup: Path) -> None:
    for theirs, ours in (("/var/lib/private/causerie", state), ("/var/backups/causerie", backup)):
        assert theirs in commands
        commands = commands.replace(theirs, str(ours))
    process = await asyncio.create_subprocess_exec("sh", "-ec", commands)
    assert await process.wait() == 0


async def upload(service: Service, name: str, content: bytes) -> None:
    form = aiohttp.FormData()
    form.add_field("files", content, filename=name)
    async with service.http.post(f"{service.url}{V2}/files/papers", data=form) as answer:
        assert answer.status == 200


async def taken(service: Service, path: str) -> bytes:
    async with service.http.get(service.url + path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def share(service: Service) -> str:
    """Where the chat "c" can be read by anybody."""
    async with service.http.put(f"{service.url}{V2}/chats/c/share", json={}) as answer:
        return f"{V2}/chat/{(await answer.json())['share_id']}"


@asynccontextmanager
async def answering(service: Service, upstream: Upstream) -> AsyncIterator[None]:
    """While this is entered, three answers run in a chat: they have begun, and end with it."""
    gate = asyncio.Event()
    upstream.script(Say("Half "), Gate(gate), Say("whole."), Finish(), Usage(), Done())
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(service.ask(f"Question {number}", conversation_id="running"))
        await until(lambda: len(upstream.requests) >= 3)
        await asyncio.sleep(0.6)  # the journal writes every 250 ms
        yield
        gate.set()
    upstream.script(*HELLO)


HELLO = (Say("Hello from the upstream."), Finish(), Usage(), Done())
SOUND = b"ID3\0" + bytes(range(256)) * 100


async def test_a_back_up_of_a_running_service_is_restored_elsewhere(
    tmp_path: Path, upstream: Upstream
) -> None:
    here, elsewhere, backup = tmp_path / "here", tmp_path / "elsewhere", tmp_path / "backup"
    here.mkdir()
    elsewhere.mkdir()
    row = ROW.format(url=upstream.url)
    async with serving(here, row) as service:
        async with service.asking(conversation_id="c") as answer:
            turn = answer.headers["X-Turn-Id"]
            await answer.read()
        await upload(service, "notes.txt", b"The code word is PINEAPPLE-42.")
        await upload(service, "sound.mp3", SOUND)
        paths = [f"{V2}/chats/c", await share(service), f"{V2}/files/papers", "/files/papers/media/sound.mp3"]
        secret = here / "state/secret"
        secret.write_text("s" * 64)
        async with answering(service, upstream):
            for _ in range(2):  # the second takes the place of the first
                await run(block("VACUUM INTO"), here / "state", backup)
            was = await service.records()
            before = [await taken(service, path) for path in paths]
        await service.ask("Too late", conversation_id="c")
    await run(block("-xf"), elsewhere / "state", backup)
    assert (elsewhere / "state/secret").read_text() == "s" * 64
    async with serving(elsewhere, row) as service:
        assert (await service.records())[: len(was)] == was
        assert [await taken(service, path) for path in paths] == before
        assert before[-1] == SOUND
        assert b'"content":"Hello"' in await taken(service, f"{V2}/turns/{turn}")
        chat = json.loads(await taken(service, f"{V2}/chats/running"))
        answers = [(each["content"], each["state"]) for each in chat["tree"] if each["role"] == "assistant"]
        assert answers == [("Half ", "interrupted")] * 3
        assert text(await service.ask(conversation_id="c")) == "Hello from the upstream."


# what a client's author is told


async def test_what_curl_is_told_to_do_with_chats_is_done(tmp_path: Path, upstream: Upstream) -> None:
    guide = (ROOT / "docs/clients.md").read_text()
    (commands,) = [each for each in re.findall(r"^```sh\n(.*?)^```", guide, re.M | re.S) if "export" in each]
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        told = commands.replace("http://127.0.0.1:8080", service.url).replace("curl", "curl --silent --fail")
        process = await asyncio.create_subprocess_exec("sh", "-ec", told, cwd=tmp_path, stdout=PIPE)
        said = (await process.communicate())[0].decode()
        assert process.returncode == 0
        (chat,) = (await service.get(f"{V2}/chats"))["chats"]
    assert '["capital",true]' in said
    assert '"url":"/share/' in said
    assert said.endswith('{"imported":1,"skipped":[]}')
    assert {name: chat[name] for name in ("id", "title", "starred", "messages", "share")} == {
        "id": "my-chat",
        "title": "Capitals",
        "starred": True,
        "messages": 2,
        "share": None,
    }
