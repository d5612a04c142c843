"""The documents tell the truth: their commands are run, their links lead somewhere."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from tests.conftest import ROW
from tests.serving import events, kinds, serving, text
from tests.upstream import Upstream

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def commands(word: str) -> list[str]:
    """The shell blocks of all documents in which a word stands."""
    return [block for file in DOCUMENTS for block in BLOCK.findall(file.read_text()) if word in block]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [each for each in commands("curl") if not {"-o", "-F"} & set(each.split())]
)
async def test_what_curl_is_told_to_ask_is_answered(tmp_path: Path, command: str) -> None:
    async with serving(tmp_path, CAUSERIE_EMBEDDED_ENABLED="true") as service:
        told = command.replace("http://127.0.0.1:8080", service.url).replace(
            "curl", "curl --silent --show-error"
        )
        process = await asyncio.create_subprocess_shell(told, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0
        said = [event for event in events(output) if event["type"] != "extra"]
        assert kinds(said) == ["turn", "provider", "content", "finish", "usage"]
        assert ("Paris" in text(events(output))) == ("France" in command)


async def test_what_curl_is_told_to_have_spoken_can_be_heard(tmp_path: Path) -> None:
    (command,) = commands("curl -o")
    async with serving(tmp_path) as service:
        told = command.replace("http://127.0.0.1:8080", service.url)
        process = await asyncio.create_subprocess_shell(told, cwd=tmp_path, stderr=asyncio.subprocess.PIPE)
        await process.communicate()
    assert soundfile.info(tmp_path / "hello.mp3").duration > 0.5


async def test_what_curl_is_told_to_upload_is_read_asked_about_and_removed(
    tmp_path: Path, upstream: Upstream
) -> None:
    (command,) = commands("curl -F")
    (tmp_path / "notes.txt").write_text("The code word is PINEAPPLE-42.")
    Image.new("RGB", (8, 6)).save(tmp_path / "photo.jpg")
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        told = command.replace("http://127.0.0.1:8080", service.url).replace("curl", "curl --silent")
        process = await asyncio.create_subprocess_shell(told, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
        said = (await process.communicate())[0].decode()
        assert await service.get("/backend-api/v2/buckets") == []
    added = '"files":["notes.txt"],"media":[{"name":"photo.jpg","width":8,"height":6}]'
    read = "The code word is PINEAPPLE-42.\n<-- End -->"
    done, answered, removed = '"action":"done","size":30', '"content":"Hello"', "deleted successfully"
    places = [said.index(each) for each in (added, read, done, answered, removed)]
    assert places == sorted(places)
    assert "PINEAPPLE-42" in str(upstream.requests[-1].body)


async def test_what_javascript_is_told_to_do_is_done(tmp_path: Path, upstream: Upstream) -> None:
    program = "\n".join(re.findall(r"^```js\n(.*?)^```", (ROOT / "docs/clients.md").read_text(), re.M | re.S))
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        (tmp_path / "client.mjs").write_text(program.replace("http://127.0.0.1:8080", service.url))
        process = await asyncio.create_subprocess_exec(
            "node", str(tmp_path / "client.mjs"), stdout=asyncio.subprocess.PIPE
        )
        *answers, spoken = (await process.communicate())[0].decode().splitlines()
    assert process.returncode == 0
    assert answers.pop(2) == "Name a river of France. 2 answers, 2 messages are shown."
    assert answers == ["Hello from the upstream."] * 3
    assert "PINEAPPLE-42" in str(upstream.requests[-1].body)
    kind, size = spoken.split()
    assert (kind, int(size) > 1000) == ("audio/mpeg", True)


@pytest.mark.slow
async def test_what_python_is_told_to_do_is_done(tmp_path: Path) -> None:
    snippets = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/clients.md").read_text(), re.M | re.S)
    assert len(snippets) == 2
    async with serving(tmp_path, CAUSERIE_EMBEDDED_ENABLED="true") as service:
        for snippet in snippets:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                snippet.replace("http://127.0.0.1:8080", service.url),
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert b"Paris" in output


async def printed(word: str, **variables: str) -> str:
    """What the one command with this word prints."""
    (command,) = commands(word)
    process = await asyncio.create_subprocess_shell(
        command.replace(".venv/bin/python", sys.executable),
        cwd=ROOT,
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_the_check_command_prints_the_settings(tmp_path: Path) -> None:
    output = await printed("service check", OPENAI_API_KEY="sk-canary", XDG_STATE_HOME=str(tmp_path))
    assert "port = 8080" in output
    assert "sk-canary" not in output


async def test_the_keys_command_prints_a_key(tmp_path: Path) -> None:
    output = await printed("keys create", CAUSERIE_STATE_DIR=str(tmp_path))
    assert re.search(r"^ck-[\w-]{8}-[\w-]{43}$", output, re.MULTILINE)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    missing = [link for link in LINK.findall(file.read_text()) if not (file.parent / link).exists()]
    assert not missing


def test_the_readme_names_every_target_it_needs() -> None:
    targets = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert targets == ["run", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)
