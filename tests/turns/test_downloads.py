"""Pages that a client has fetched into its bucket: where the operator allows it, from where he does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.handlers.test_files import text as text_of
from tests.handlers.test_files import told, upload
from tests.serving import Json, Service, serving
from tests.upstream import Gate, Redirect, Stall, Status, Upstream, until

PAGE = b"<!doctype html><title>T</title><p>The launch code is PINEAPPLE.</p>"
HTML = {"Content-Type": "text/html"}


@pytest.fixture
async def pages() -> AsyncIterator[Upstream]:
    """Another host, which the operator has named."""
    async with Upstream() as pages:
        pages.script_at("/a", Status(200, PAGE, HTML))
        pages.script_at("/b.md", Status(200, b"# TANGERINE", {"Content-Type": "text/markdown"}))
        yield pages


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, pages: Upstream) -> AsyncIterator[Service]:
    async with allowed(tmp_path, upstream, pages) as service:
        yield service


def allowed(
    folder: Path, upstream: Upstream, pages: Upstream, **variables: str
) -> AbstractAsyncContextManager[Service]:
    host = pages.root.removeprefix("http://")
    settings = {"CAUSERIE_FILES_DOWNLOADS": "3", "CAUSERIE_FILES_MEDIA_HOSTS": host, **variables}
    return serving(folder, ROW.format(url=upstream.url), **settings)


async def named(service: Service, *wanted: Json, bucket: str = "bkt") -> None:
    await upload(service, ("downloads.json", json.dumps(wanted).encode()), bucket=bucket)


async def test_what_it_names_is_in_the_bucket(service: Service, pages: Upstream) -> None:
    await named(service, {"url": f"{pages.root}/a"}, {"urls": [f"{pages.root}/b.md"], "max_depth": 5})
    events = await told(service)
    assert [event["count"] for event in events if event["action"] == "download"] == [1, 2]
    names = {event["filename"] for event in events if event["action"] == "load"}
    assert names == {"downloads.json", "127-0-0-1_a.html", "127-0-0-1_b-md.md"}
    text = await text_of(service)
    assert "The launch code is PINEAPPLE." in text and "# TANGERINE" in text and "<p>" not in text
    asked = pages.requests[0].headers
    assert not asked.keys() & {"authorization", "cookie", "x-api-key"}


async def test_as_things_are_shipped_it_is_a_text(
    tmp_path: Path, upstream: Upstream, pages: Upstream
) -> None:
    async with allowed(tmp_path, upstream, pages, CAUSERIE_FILES_DOWNLOADS="0") as service:
        await named(service, {"url": f"{pages.root}/a"})
        assert f"{pages.root}/a" in await text_of(service)
    assert not pages.requests


async def test_what_is_not_public_is_not_asked(service: Service, pages: Upstream, upstream: Upstream) -> None:
    """Nor where one is sent to it; the others are fetched nonetheless."""
    port = upstream.root.rpartition(":")[2]
    pages.script_at("/moved", Redirect(f"{upstream.root}/v1/models"))
    before = len(upstream.requests)
    for number, address in enumerate(
        (f"{pages.root}/moved", f"http://2130706433:{port}/", "file:///etc/passwd")
    ):
        bucket = f"bkt{number}"
        await named(service, {"url": address}, {"url": f"{pages.root}/a"}, bucket=bucket)
        events = await told(service, f"/backend-api/v2/files/{bucket}/stream")
        (failed,) = [event for event in events if event["action"] == "failed"]
        assert failed["filename"] == "downloads.json" and address in failed["message"]
        assert "PINEAPPLE" in await text_of(service, bucket)
    assert len(upstream.requests) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "a list of addresses"),
        (b"[1]", "a list of addresses"),
        (json.dumps([{"urls": ["http://a.example"] * 4}]).encode(), "the limit of 3 (files.downloads)"),
    ],
)
async def test_what_cannot_be_fetched_says_why(service: Service, content: bytes, said: str) -> None:
    await upload(service, ("downloads.json", content))
    (event,) = [event for event in await told(service) if "error" in event]
    assert said in event["error"]["message"]


async def test_a_page_that_does_not_come_keeps_no_document_waiting(
    tmp_path: Path, upstream: Upstream, pages: Upstream
) -> None:
    pages.script_at("/slow", Stall())
    async with allowed(tmp_path, upstream, pages, CAUSERIE_DOCUMENTS_TIMEOUT="3") as service:
        for number in range(5):
            await named(service, {"url": f"{pages.root}/slow"}, bucket=f"slow{number}")
        await until(lambda: len(pages.requests) == 4)
        await upload(service, ("a.txt", b"at once"))
        assert "at once" in await text_of(service)
        *_, event = await told(service, "/backend-api/v2/files/slow0/stream")
        assert "3 seconds (documents.timeout)" in event["error"]["message"]


async def test_a_bucket_that_is_removed_meanwhile_stays_removed(
    tmp_path: Path, upstream: Upstream, pages: Upstream
) -> None:
    gate = asyncio.Event()
    pages.script_at("/slow", Gate(gate), Status(200, PAGE, HTML))
    async with allowed(tmp_path, upstream, pages) as service:
        await named(service, {"url": f"{pages.root}/slow"}, {"url": f"{pages.root}/a"})
        await until(lambda: pages.requests)
        async with service.http.delete(f"{service.url}/backend-api/v2/files/bkt") as answer:
            assert answer.status == 200
        gate.set()
        await until(lambda: len(pages.requests) == 2)
        assert (await service.get("/v1/files"))["data"] == []
