"""Blobs: whole or not there, in a directory and in an object storage alike."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from service.errors import NotFound, StorageFull, TooLarge
from service.settings import SettingsError
from service.stores.blobs import Blobs, Directory, blobs_at, whole
from tests.stores.s3 import Storage, storing

PIECES = [secrets.token_bytes(size) for size in (1, 300_000, 70_000, 0, 5_300_000)]
WHOLE = b"".join(PIECES)


@pytest.fixture(scope="session")
def s3() -> Iterator[Storage]:
    with storing() as storage:
        yield storage


@pytest.fixture(params=["directory", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    url = ""
    if request.param == "s3":
        url = request.getfixturevalue("s3").url(monkeypatch)
    blobs = blobs_at(url, tmp_path / "files")
    await blobs.open()
    return blobs


@pytest.fixture
def key() -> str:
    return secrets.token_hex(16)


async def pieces(*several: bytes) -> AsyncIterator[bytes]:
    for piece in several:
        yield piece


async def cut(error: Exception) -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece
    raise error


async def part(blobs: Blobs, key: str, start: int = 0, end: int | None = None) -> bytes:
    async with aclosing(blobs.read(key, start, end)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def keys(blobs: Blobs) -> list[str]:
    async with aclosing(blobs.keys()) as pages:
        return sorted([key async for page in pages for key in page])


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def test_what_was_written_is_there(blobs: Blobs, key: str) -> None:
    written = await blobs.write(key, pieces(*PIECES))
    assert (written.bytes, written.sha256) == (len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
    assert await whole(blobs, key) == WHOLE
    assert await keys(blobs) == [key]
    async with blobs.local(key) as path:
        assert path.read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("start", "end"), [(0, 0), (0, 1), (1, 1), (5, 300_005), (600_000, None), (len(WHOLE) - 1, len(WHOLE))]
)
async def test_a_part_is_read(blobs: Blobs, key: str, start: int, end: int | None) -> None:
    await blobs.write(key, pieces(*PIECES))
    assert await part(blobs, key, start, end) == WHOLE[start:end]


async def test_nothing_at_all_is_a_blob_too(blobs: Blobs, key: str) -> None:
    assert (await blobs.write(key, pieces())).bytes == 0
    assert await whole(blobs, key) == b""
    assert await keys(blobs) == [key]


@pytest.mark.parametrize(
    "error", [ValueError("cut"), TooLarge("too much"), asyncio.CancelledError()], ids=repr
)
async def test_what_is_cut_leaves_nothing(blobs: Blobs, key: str, tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)):
        await blobs.write(key, cut(error))
    assert await keys(blobs) == []
    assert files_in(tmp_path) == []
    await blobs.write(key, pieces(b"again"))
    assert await whole(blobs, key) == b"again"


async def test_an_upload_that_is_cancelled_leaves_nothing(blobs: Blobs, key: str, tmp_path: Path) -> None:
    sent = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece
        sent.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(blobs.write(key, endless()))
        await sent.wait()
        writing.cancel()
    assert await keys(blobs) == []
    assert files_in(tmp_path) == []


async def test_the_limit_is_exact_and_named(blobs: Blobs, key: str) -> None:
    await blobs.write(key, pieces(b"12345"), limit=5)
    other = secrets.token_hex(16)
    with pytest.raises(TooLarge, match=r"limit of 4 bytes \(files.file_limit\)"):
        await blobs.write(other, pieces(b"123", b"45"), limit=4)
    assert await keys(blobs) == [key]


async def test_what_is_not_there_is_not_found(blobs: Blobs, key: str) -> None:
    with pytest.raises(NotFound):
        await whole(blobs, key)
    with pytest.raises(NotFound):
        async with blobs.local(key):
            pass
    await blobs.delete([key, key + ".text"])


async def test_what_is_deleted_is_gone_and_nothing_else(blobs: Blobs, key: str) -> None:
    for suffix in ("", ".text", ".thumbnail"):
        await blobs.write(key + suffix, pieces(b"x"))
    await blobs.delete([key, key + ".text", secrets.token_hex(16)])
    assert await keys(blobs) == [key + ".thumbnail"]


@pytest.mark.parametrize("key", ["", "..", "../x", "a" * 31, "a" * 32 + "/x", "A" * 32, "a" * 32 + "."])
async def test_only_a_key_leads_anywhere(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        await blobs.write(key, pieces(b"x"))
    with pytest.raises(ValueError, match="no key"):
        await blobs.delete([key])


# A directory of this machine


async def test_what_had_not_arrived_is_gone_after_a_crash(tmp_path: Path, key: str) -> None:
    blobs = Directory(tmp_path)
    await blobs.open()
    await blobs.write(key, pieces(b"whole"))
    (tmp_path / "arriving" / secrets.token_hex(16)).write_bytes(b"ha")
    again = Directory(tmp_path)
    await again.open()
    assert list((tmp_path / "arriving").iterdir()) == []
    assert await whole(again, key) == b"whole"


async def test_only_its_user_may_read_it(tmp_path: Path, key: str) -> None:
    blobs = Directory(tmp_path / "files")
    await blobs.open()
    await blobs.write(key, pieces(b"x"))
    for path in (tmp_path / "files").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


async def test_a_full_disk_says_so(tmp_path: Path, key: str) -> None:
    blobs = Directory(tmp_path)
    await blobs.open()
    (tmp_path / "arriving").rmdir()
    with pytest.raises(StorageFull, match=r"Files cannot be kept now: No such file"):
        await blobs.write(key, pieces(b"x"))


# An object storage


async def test_nothing_of_a_cut_upload_is_sent(
    s3: Storage, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    url = s3.url(monkeypatch)
    with pytest.raises(ValueError, match="cut"):
        await blobs_at(url, Path()).write(key, cut(ValueError("cut")))
    bucket = url.split("/")[2]
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)


async def test_a_storage_that_refuses_says_so(s3: Storage, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    s3.url(monkeypatch)
    with pytest.raises(StorageFull, match="Files cannot be kept now"):
        await blobs_at("s3://nowhere-at-all", Path()).write(key, pieces(b"x"))


def test_without_its_client_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    monkeypatch.delitem(__import__("sys").modules, "service.stores.blobs_object", raising=False)
    with pytest.raises(SettingsError, match="pip install obstore"):
        blobs_at("s3://somewhere", Path())


@pytest.mark.parametrize("url", ["az://account", "nonsense://x", "gs://"])
def test_an_address_that_cannot_be_used_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(SettingsError, match=r"^files.url cannot be used: .*\. Correct it\.$"):
        blobs_at(url, Path())


async def generated(blobs: Blobs) -> AsyncGenerator[list[str], None]:
    async with aclosing(blobs.keys()) as pages:
        async for page in pages:
            yield page


async def test_many_keys_come_in_pages(tmp_path: Path) -> None:
    blobs = Directory(tmp_path)
    await blobs.open()
    for number in range(2_100):
        (tmp_path / f"{number % 256:02x}" / f"{number % 256:02x}{number:030x}").touch()
    async with aclosing(generated(blobs)) as pages:
        assert [len(page) async for page in pages] == [1000, 1000, 100]
