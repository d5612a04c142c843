"""`/v1/files`: OpenAI's client does with it what it does with OpenAI's; and what is wrong is told."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.serving import Service, serving

CONTENT = "Сказано\n".encode()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_the_sdk_uploads_lists_reads_and_deletes(client: openai.AsyncOpenAI, service: Service) -> None:
    made = await client.files.create(file=("notes ü.txt", CONTENT), purpose="user_data")
    assert (made.object, made.filename, made.bytes, made.purpose) == (
        "file",
        "notes_ü.txt",
        len(CONTENT),
        "user_data",
    )
    assert made.id.startswith("file-")
    assert made.status in {"uploaded", "processed"}
    done = await client.files.wait_for_processing(made.id, poll_interval=0.01)
    assert (done.status, done.created_at) == ("processed", made.created_at)
    assert (await client.files.content(made.id)).content == CONTENT
    assert [file.id async for file in client.files.list()] == [made.id]
    assert [bucket["id"] for bucket in (await service.get("/backend-api/v2/files"))["buckets"]] == [made.id]
    async with service.http.get(f"{service.url}/backend-api/v2/files/{made.id}") as answer:
        assert "Сказано" in await answer.text()
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "file")
    for ask in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(openai.NotFoundError):
            await ask(made.id)
    assert await service.get("/backend-api/v2/buckets") == []


async def test_the_sdk_goes_through_pages(client: openai.AsyncOpenAI) -> None:
    made = [
        (await client.files.create(file=(f"{number}.txt", b"x"), purpose="batch")).id for number in range(5)
    ]
    await client.files.create(file=("v.jsonl", b"{}\n"), purpose="vision")
    assert [file.id async for file in client.files.list(limit=2, order="asc", purpose="batch")] == made
    page = await client.files.list(limit=2, order="desc", purpose="batch")
    assert ([file.id for file in page.data], page.has_more) == (made[:-3:-1], True)
    last = await client.files.list(limit=9, after=made[0], order="asc", purpose="batch")
    assert ([file.id for file in last.data], last.has_more) == (made[1:], False)


async def test_a_document_that_cannot_be_read_has_failed(client: openai.AsyncOpenAI) -> None:
    made = await client.files.create(file=("a.zip", b"PK\x03\x04" + b"\0" * 50), purpose="user_data")
    failed = await client.files.wait_for_processing(made.id, poll_interval=0.01)
    assert failed.status == "error"
    assert "a.zip" in (failed.status_details or "")


async def test_files_of_buckets_are_files_too(client: openai.AsyncOpenAI, service: Service) -> None:
    form = aiohttp.FormData()
    form.add_field("files", CONTENT, filename="a.txt")
    form.add_field("files", b"other", filename="b.txt")
    async with service.http.post(f"{service.url}/backend-api/v2/files/bkt", data=form) as answer:
        assert answer.status == 200
    second, first = [file async for file in client.files.list()]
    assert (first.filename, first.purpose, second.filename) == ("a.txt", "user_data", "b.txt")
    await client.files.delete(first.id)
    found = (await service.get("/backend-api/v2/files"))["buckets"]
    assert [(bucket["id"], bucket["files"]) for bucket in found] == [("bkt", 1)]


def form(**fields: Any) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        if isinstance(value, tuple):
            form.add_field(name.rstrip("_"), io.BytesIO(value[1]), filename=value[0])
        else:
            form.add_field(name.rstrip("_"), value)
    return form


async def test_the_purpose_may_come_last(service: Service) -> None:
    data = form(file=("a.txt", b"x"), purpose="vision", other="ignored")
    async with service.http.post(f"{service.url}/v1/files", data=data) as answer:
        assert (await answer.json())["purpose"] == "vision"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"purpose": "vision"}, 400, "file"),
        ({"file": ("a.txt", b"x")}, 400, "purpose"),
        ({"file": ("a.txt", b"x"), "purpose": ""}, 400, "purpose"),
        ({"file": ("a.txt", b"x"), "purpose": "x" * 65}, 400, "purpose"),
        ({"file": ("a.txt", b"x"), "file_": ("b.txt", b"x"), "purpose": "vision"}, 400, "file"),
        ({"file": ("a.exe", b"MZ\0\0"), "purpose": "vision"}, 415, "file"),
    ],
)
async def test_what_is_missing_is_named_and_nothing_is_left(
    service: Service, tmp_path: Path, fields: dict[str, Any], status: int, param: str
) -> None:
    async with service.http.post(f"{service.url}/v1/files", data=form(**fields)) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["param"]) == (status, param)
    assert (await service.get("/v1/files"))["data"] == []
    assert not blobs(tmp_path)


def blobs(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "state/files").rglob("*") if path.is_file()]


async def test_the_limit_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_FILES_FILE_LIMIT="10") as service:
        data = form(file=("a.txt", b"x" * 11), purpose="vision")
        async with service.http.post(f"{service.url}/v1/files", data=data) as answer:
            assert answer.status == 413
            assert "files.file_limit" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("query", "status"), [("limit=0", 400), ("limit=x", 400), ("order=up", 400), ("after=file-x", 404)]
)
async def test_a_bad_query_is_refused(service: Service, query: str, status: int) -> None:
    async with service.http.get(f"{service.url}/v1/files?{query}") as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["message"]
