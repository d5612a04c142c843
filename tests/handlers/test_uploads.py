"""Uploads to the service as a process: too large, killed in the midst, many at once."""

import asyncio
import hashlib
import io
import itertools
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.process import address, started
from tests.serving import Json

pytestmark = pytest.mark.slow

V2 = "/backend-api/v2"
MEGABYTE = 2**20


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def kilobytes(pid: int, what: str) -> int:
    """A line of what the kernel says of a process's memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{what}:")]
    return int(line.split()[1])


# S8 of the corpus


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
async def test_two_gigabytes_against_a_limit_of_fifty_megabytes(tmp_path: Path, announced: bool) -> None:
    sent = 0
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield head
        while sent < 2048 * MEGABYTE:
            sent += MEGABYTE
            yield b"x" * MEGABYTE

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    if announced:
        headers["Content-Length"] = str(2048 * MEGABYTE + len(head))
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        async with http.get(url + f"{V2}/files") as answer:
            assert answer.status == 200
        before = kilobytes(process.pid, "VmHWM")
        async with http.post(f"{url}{V2}/files/b", data=endless(), headers=headers) as answer:
            assert answer.status == 413
            error = (await answer.json())["error"]["message"]
            assert ("files.bucket_limit" if announced else "52428800 bytes (files.file_limit)") in error
        assert sent < 400 * MEGABYTE
        assert kilobytes(process.pid, "VmHWM") - before < 40_000
        async with http.get(url + "/health/live") as answer:
            assert answer.status == 200
    assert files_in(tmp_path) == {}


async def test_a_large_file_takes_little_memory_in_and_out(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(MEGABYTE) * 45
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        await upload(http, url, "b", {"small.webm": film(b"")})
        before = kilobytes(process.pid, "VmHWM")
        await upload(http, url, "b", {"large.webm": film(content)})
        async with http.get(f"{url}/files/b/media/large.webm") as answer:
            assert digest(await answer.read()) == digest(film(content))
        assert kilobytes(process.pid, "VmHWM") - before < 20_000


async def test_others_are_served_while_much_is_uploaded(tmp_path: Path) -> None:
    content = film(random.Random(1).randbytes(20 * MEGABYTE))
    async with started(tmp_path) as process, aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        url = await address(process)
        uploads = [
            group.create_task(upload(http, url, f"b{number}", {f"{number}.webm": content}))
            for number in range(8)
        ]
        slowest = 0.0
        while not all(task.done() for task in uploads):
            began = time.monotonic()
            async with http.get(url + f"{V2}/version") as answer:
                assert answer.status == 200
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert slowest < 1


# A kill


def film(content: bytes) -> bytes:
    """A film by its beginning: kept, and not looked at."""
    return b"\x1a\x45\xdf\xa3webm" + content


def content_of(name: str) -> bytes:
    """What is in a file of this name; some are documents."""
    chance = random.Random(name)
    if name.endswith(".txt"):
        return f"{name} says {chance.random()}\n".encode() * chance.randrange(1, 500)
    return film(chance.randbytes(chance.randrange(2_000_000)))


async def upload(http: aiohttp.ClientSession, url: str, bucket: str, contents: dict[str, bytes]) -> list[str]:
    """The names that are acknowledged."""
    form = aiohttp.FormData()
    for name, content in contents.items():
        form.add_field("files", io.BytesIO(content), filename=name)
    async with http.post(f"{url}{V2}/files/{bucket}", data=form) as answer:
        assert answer.status == 200, await answer.text()
        told: Json = await answer.json()
        return [*told["files"], *(medium["name"] for medium in told["media"])]


def files_in(directory: Path) -> dict[str, int]:
    """The blobs and what has not arrived, with their sizes."""
    files = directory / "state/files"
    return {path.name: path.stat().st_size for path in files.rglob("*") if path.is_file()}


async def keep_uploading(url: str, bucket: str, acknowledged: dict[str, set[str]]) -> None:
    """Again and again, until nobody answers any more."""
    async with aiohttp.ClientSession() as http:
        for number in itertools.count():
            names = [f"{bucket}-{number}.txt", f"{bucket}-{number}.webm"]
            try:
                kept = await upload(http, url, bucket, {name: content_of(name) for name in names})
            except aiohttp.ClientError:
                return
            acknowledged.setdefault(bucket, set()).update(kept)


@pytest.mark.parametrize("seed", range(4))
async def test_a_kill_loses_no_file_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    acknowledged: dict[str, set[str]] = {}
    async with started(tmp_path) as process, asyncio.TaskGroup() as group:
        url = await address(process)
        for number in range(8):
            group.create_task(keep_uploading(url, f"b{number}", acknowledged))
        await asyncio.sleep(random.Random(seed).uniform(0.5, 2))
        process.kill()
    assert acknowledged
    async with started(tmp_path) as process, aiohttp.ClientSession() as http:
        url = await address(process)
        listed = await listing(http, url)
        for bucket, names in acknowledged.items():
            assert names <= {file["filename"] for file in listed if file["filename"].startswith(f"{bucket}-")}
        for file in listed:
            await assert_whole(http, url, file)
        for bucket in acknowledged:
            async with http.get(f"{url}{V2}/files/{bucket}") as answer:
                read = await answer.text()
            assert all(f"<!-- File: {name} -->" in read for name in acknowledged[bucket] if ".txt" in name)
        ids = {file["id"].removeprefix("file-") for file in listed}
        async with asyncio.timeout(10):
            while {name[:32] for name in files_in(tmp_path)} - ids:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def listing(http: aiohttp.ClientSession, url: str) -> list[Json]:
    async with http.get(f"{url}/v1/files") as answer:
        found: list[Json] = (await answer.json())["data"]
        return found


async def assert_whole(http: aiohttp.ClientSession, url: str, file: Json) -> None:
    async with http.get(f"{url}/v1/files/{file['id']}/content") as answer:
        content = await answer.read()
    assert len(content) == file["bytes"]
    assert digest(content) == digest(content_of(file["filename"]))
