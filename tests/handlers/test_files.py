"""Buckets on the wire: uploaded, followed, read, handed out, removed; and what is hostile is refused."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import aiohttp
import pytest
from PIL import Image
from yarl import URL

from tests.serving import Json, Service, serving
from tests.stores.s3 import storing
from tests.upstream import until

V2 = "/backend-api/v2"
NOTES = b"The launch code word is PINEAPPLE-42.\nSecond line.\n"
SENT = tuple[str | None, bytes]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Nobody answers; files are taken, and read one after another."""
    variables = {"CAUSERIE_SERVER_BODY_TIMEOUT": "1", "CAUSERIE_DOCUMENTS_PROCESSES": "1"}
    async with serving(tmp_path, **variables) as service:
        yield service


def picture(width: int = 800, height: int = 600, kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(written, kind)
    return written.getvalue()


def archive(**members: str) -> bytes:
    written = io.BytesIO()
    with ZipFile(written, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("_", "/"), text)
    return written.getvalue()


def form(*sent: SENT, field: str = "files") -> aiohttp.FormData:
    form = aiohttp.FormData(quote_fields=False)
    for name, content in sent:
        form.add_field(field, io.BytesIO(content), filename=name or "blob", content_type="text/plain")
    return form


async def upload(
    service: Service, *sent: SENT, bucket: str = "bkt", status: int = 200, user: str = ""
) -> Any:
    """The JSON that is answered."""
    url = URL(f"{service.url}{V2}/files/{bucket}", encoded=True)
    headers = {"x-user": user} if user else {}
    async with service.http.post(url, data=form(*sent), headers=headers) as answer:
        assert answer.content_type == "application/json"
        assert answer.status == status, await answer.text()
        return await answer.json()


async def told(service: Service, path: str = f"{V2}/files/bkt/stream", **options: Any) -> list[Json]:
    """The events of a stream that ends, without its heartbeats."""
    async with service.http.get(service.url + path, **options) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream"), await answer.text()
        assert answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert answer.headers["X-Accel-Buffering"] == "no"
        *frames, end = (await answer.text()).split("\n\n")
    assert end == ""
    data = [frame for frame in frames if not frame.startswith(":")]
    assert all(re.fullmatch(r"data: .*", frame) for frame in data)
    return [json.loads(frame.removeprefix("data: ")) for frame in data]


async def text(service: Service, bucket: str = "bkt") -> str:
    async with service.http.get(f"{service.url}{V2}/files/{bucket}") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain"), await answer.text()
        return await answer.text()


def stored(tmp_path: Path) -> Sequence[str]:
    """The names of all blobs."""
    return sorted(path.name for path in (tmp_path / "state/files").rglob("*") if path.is_file())


def outside(tmp_path: Path) -> set[Path]:
    """What there is beside the blobs."""
    return {path for path in tmp_path.rglob("*") if "files" not in path.parts}


# The contract's flow


async def test_a_bucket_is_filled_followed_and_read(service: Service) -> None:
    answered = await upload(
        service,
        ("notes.txt", NOTES),
        ("page.html", b"<html><body><h1>Hi</h1><script>alert(1)</script></body></html>"),
        ("evil.exe", b"MZ\0\0"),
        ("pic.png", picture(1, 1)),
        ("a.wav", b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 30),
    )
    assert answered == {
        "bucket_id": "bkt",
        "files": ["notes.txt", "page.html"],
        "media": [{"name": "pic.png", "width": 1, "height": 1}, {"name": "a.wav"}],
    }
    events = await told(service)
    actions = [event["action"] for event in events]
    assert sorted(actions[:-2]) == ["load", "load", "media", "media"]
    assert actions[-2:] == ["delete_files", "done"]
    loads = [event for event in events if event["action"] == "load"]
    assert (loads[0]["filename"], loads[0]["size"], loads[0]["bytes"]) == ("notes.txt", 51, 51)
    assert loads[1]["filename"] == "page.html"
    assert events[-1] == {"action": "done", "size": loads[1]["size"]}
    read = await text(service)
    framed = "<!-- File: notes.txt -->\nThe launch code word is PINEAPPLE-42.\nSecond line.\n<-- End -->\n\n"
    assert read.startswith(framed)
    assert "<!-- File: page.html -->\n" in read
    assert "alert(1)" not in read
    assert await text(service) == read, "reading deletes nothing"
    assert (await told(service))[-1] == events[-1]


async def test_a_second_upload_adds(service: Service) -> None:
    await upload(service, ("a.txt", b"one"))
    assert (await upload(service, ("a.txt", b"two"), ("b.txt", b"three")))["files"] == ["a-2.txt", "b.txt"]
    assert (await upload(service, ("a.txt", b"two")))["files"] == ["a-2.txt"]
    assert re.findall(r"File: (\S+)", await text(service)) == ["a.txt", "a-2.txt", "b.txt"]
    assert (await told(service))[-1] == {"action": "done", "size": 11}


async def test_an_archive_is_read_in_place(service: Service) -> None:
    await upload(service, ("docs.zip", archive(**{"in_readme.md": "# Hi", "b.txt": "there"})))
    assert await text(service) == (
        "<!-- File: in/readme.md -->\n# Hi\n<-- End -->\n\n<!-- File: b.txt -->\nthere\n<-- End -->\n\n"
    )


@pytest.mark.parametrize(
    "query", ["", "?delete_files=true", "?delete_files=false", "?delete_files=false&x=y"]
)
async def test_nothing_is_deleted_by_reading(service: Service, query: str) -> None:
    await upload(service, ("a.txt", b"one"))
    for _ in range(2):
        events = await told(service, f"{V2}/files/bkt/stream{query}")
        assert [event["action"] for event in events] == ["load", "delete_files", "done"]
    assert await text(service) == "<!-- File: a.txt -->\none\n<-- End -->\n\n"


async def test_refining_is_told_if_it_is_asked_for(service: Service) -> None:
    await upload(service, ("a.txt", b"one"))
    headers = {"Accept": "text/event-stream"}
    events = await told(service, f"{V2}/files/bkt?refine_chunks_with_spacy=true", headers=headers)
    assert {"action": "refine", "size": 3} in events
    assert events[-1] == {"action": "done", "size": 3}


async def test_media_alone_say_nothing(service: Service) -> None:
    await upload(service, ("pic.png", picture()))
    assert await text(service) == ""
    assert await told(service) == [
        {"action": "media", "filename": "pic.png"},
        {"action": "delete_files"},
        {"action": "done", "size": 0},
    ]


async def test_a_document_that_cannot_be_read_says_why(service: Service) -> None:
    await upload(service, ("a.zip", b"PK\x03\x04" + b"\0" * 50))
    events = await told(service)
    assert events[0]["action"] == "failed"
    assert "a.zip" in events[-1]["error"]["message"]
    async with service.http.get(f"{service.url}{V2}/files/bkt") as answer:
        assert answer.status == 422
        assert "a.zip" in (await answer.json())["error"]["message"]
    await upload(service, ("b.txt", b"one"))
    assert (await told(service))[-1] == {"action": "done", "size": 3}
    assert "(This file could not be read: " in await text(service)


async def test_a_stream_lives_while_nothing_happens(tmp_path: Path) -> None:
    async with serving(
        tmp_path, CAUSERIE_STREAM_HEARTBEAT="0.01", CAUSERIE_DOCUMENTS_PROCESSES="1"
    ) as service:
        await upload(service, ("a.txt", b"one"))
        async with service.http.get(f"{service.url}{V2}/files/bkt/stream") as answer:
            assert (await answer.text()).startswith(": ping\n\n")


async def test_a_file_without_a_name_is_called_after_what_it_is(service: Service) -> None:
    answered = await upload(
        service, ("blob", picture(2, 1, "JPEG")), ("blob", NOTES), ("..", b"%PDF-1.4 nonsense")
    )
    assert [medium["name"] for medium in answered["media"]] == ["file.jpg"]
    assert answered["files"] == ["file.txt", "file.pdf"]


async def test_nothing_that_can_be_used_is_no_bucket(service: Service) -> None:
    assert await upload(service, ("evil.exe", b"MZ\0\0")) == {"bucket_id": "bkt", "files": [], "media": []}
    async with service.http.post(
        f"{service.url}{V2}/files/bkt", data=form((None, b"x"), field="other")
    ) as answer:
        assert await answer.json() == {"bucket_id": "bkt", "files": [], "media": []}
    async with service.http.get(f"{service.url}{V2}/files/bkt/stream") as answer:
        assert answer.status == 404
    assert await service.get(f"{V2}/buckets") == []
    assert await service.records() == []


async def test_a_bucket_is_removed_with_everything(service: Service, tmp_path: Path) -> None:
    await upload(service, ("a.txt", b"one"), ("b.jpg", picture(kind="JPEG")))
    await told(service)
    assert len(stored(tmp_path)) == 4
    for status in (200, 404, 404):
        async with service.http.delete(f"{service.url}{V2}/files/bkt") as answer:
            assert answer.status == status
            body = await answer.json()
    assert body["error"]["message"].startswith("There is no such bucket.")
    assert stored(tmp_path) == []
    assert (await upload(service, ("a.txt", b"anew")))["files"] == ["a.txt"]


async def test_who_has_what_and_how_much(service: Service) -> None:
    await upload(service, ("a.txt", b"one"), bucket="first")
    await upload(service, ("a.txt", b"three"), ("b.txt", b"x"), bucket="second")
    await upload(service, ("a.txt", b"of another"), user="bob")
    found = await service.get(f"{V2}/files")
    assert [(bucket["id"], bucket["files"], bucket["bytes"]) for bucket in found["buckets"]] == [
        ("second", 2, 6),
        ("first", 1, 3),
    ]
    assert (found["used"], found["quota"]) == (9, 10 * 2**30)
    assert await service.get(f"{V2}/buckets") == ["second", "first"]


async def test_an_upload_is_in_the_books(service: Service) -> None:
    await upload(service, ("a.txt", b"one"), ("b.txt", b"three"))
    async with asyncio.timeout(5):
        while not (found := (await service.get(f"{V2}/ledger"))["data"]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (line,) = found
    assert (line["kind"], line["bytes"], line["ending"], line["user"]) == ("upload", 8, "done", "local")
    assert not line["cost_usd"] and line["price"] is None and not line["prompt_tokens"]


async def test_an_object_storage_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with storing() as storage:
        url = storage.url(monkeypatch)
        async with serving(tmp_path, CAUSERIE_FILES_URL=url) as service:
            original = picture(900, 900)
            answered = await upload(service, ("a.txt", NOTES), ("pic.png", original))
            assert answered["media"] == [{"name": "pic.png", "width": 900, "height": 900}]
            assert (await told(service))[-1] == {"action": "done", "size": 51}
            assert "PINEAPPLE-42" in await text(service)
            bytes_of = {"Range": "bytes=10-19"}
            async with service.http.get(f"{service.url}/files/bkt/media/pic.png", headers=bytes_of) as answer:
                assert (answer.status, await answer.read()) == (206, original[10:20])
            bucket = url.split("/")[2]
            assert len(storage.client().list_objects_v2(Bucket=bucket)["Contents"]) == 4
            async with service.http.delete(f"{service.url}{V2}/files/bkt") as removed:
                assert removed.status == 200
            assert "Contents" not in storage.client().list_objects_v2(Bucket=bucket)
    assert stored(tmp_path) == []


# Names (S12 of the corpus) and owners


@pytest.mark.parametrize(
    "bucket", ["_", "-", "%2e", "%2e%2e", "...", "%2f", "%00", "%25%32%65%25%32%65", "+"]
)
async def test_an_id_that_is_nothing_is_refused_in_every_method(
    service: Service, tmp_path: Path, bucket: str
) -> None:
    await upload(service, ("a.txt", b"one"))
    before = stored(tmp_path)
    for method, path in (
        ("GET", f"{V2}/files/{bucket}"),
        ("GET", f"{V2}/files/{bucket}/stream"),
        ("DELETE", f"{V2}/files/{bucket}"),
        ("GET", f"/files/{bucket}/media/a.txt"),
        ("POST", f"{V2}/files/{bucket}"),
    ):
        data = form(("a.txt", b"x")) if method == "POST" else None
        async with service.http.request(method, URL(service.url + path, encoded=True), data=data) as answer:
            assert answer.status in {400, 404}, path
            if answer.status == 400:
                assert "no id of a bucket" in (await answer.json())["error"]["message"]
    assert stored(tmp_path) == before
    assert await service.get(f"{V2}/buckets") == ["bkt"]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..%2f..%2fx.txt",
        "a\\..\\b.txt",
        "C:\\x.txt",
        "CON.txt",
        "a" * 300 + ".txt",
        "я" * 150,
        "x.txt::$DATA",
        ".htaccess",
        "~root",
        "a;b|c.txt",
        "-rf.txt",
        "a.txt.",
        "%00.txt",
    ],
    ids=lambda name: name[:20],
)
async def test_a_name_leads_nowhere(service: Service, tmp_path: Path, name: str) -> None:
    before = outside(tmp_path)
    (kept,) = (await upload(service, (name, NOTES)))["files"]
    assert re.fullmatch(r"[\w.,+-]{1,100}", kept)
    assert outside(tmp_path) == before
    assert all(re.fullmatch(r"[0-9a-f]{32}(\.text)?", blob) for blob in stored(tmp_path))
    async with service.http.get(service.url + URL.build(path=f"/files/bkt/media/{kept}").raw_path) as answer:
        assert await answer.read() == NOTES
    if "/" not in name and "%" not in name and "\\" not in name:
        async with service.http.get(URL(service.url) / "files/bkt/media" / name) as answer:
            assert await answer.read() == NOTES


async def test_the_same_id_of_another_is_another_bucket(service: Service) -> None:
    await upload(service, ("a.txt", b"hers"), user="ann")
    await upload(service, ("a.txt", b"his"), user="bob")
    for user, content in (("ann", b"hers"), ("bob", b"his")):
        headers = {"x-user": user}
        async with service.http.get(f"{service.url}/files/bkt/media/a.txt", headers=headers) as answer:
            assert await answer.read() == content
    for path in (f"{V2}/files/bkt", f"{V2}/files/bkt/stream", "/files/bkt/media/a.txt"):
        async with service.http.get(service.url + path, headers={"x-user": "eve"}) as answer:
            assert answer.status == 404
    async with service.http.delete(f"{service.url}{V2}/files/bkt", headers={"x-user": "eve"}) as answer:
        assert answer.status == 404
    async with service.http.delete(f"{service.url}{V2}/files/bkt", headers={"x-user": "bob"}) as answer:
        assert answer.status == 200
    assert await service.get(f"{V2}/buckets", headers={"x-user": "ann"}) == ["bkt"]


# Files as they are handed out


async def test_a_file_is_handed_out_as_it_was(service: Service) -> None:
    original = picture()
    await upload(service, ("Bild ü.png", original))
    url = URL(service.url) / "files/bkt/media/Bild_ü.png"
    async with service.http.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert await answer.read() == original
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        disposition = answer.headers["Content-Disposition"]
        assert disposition == "inline; filename=\"Bild__.png\"; filename*=UTF-8''Bild_%C3%BC.png"
        tag, modified = answer.headers["ETag"], answer.headers["Last-Modified"]
    async with service.http.head(url) as answer:
        assert (answer.status, answer.content_length, answer.headers["ETag"]) == (200, len(original), tag)
    for headers in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"x", W/{tag}'},
        {"If-Modified-Since": modified},
    ):
        async with service.http.get(url, headers=headers) as answer:
            assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", tag)
    for headers in ({"If-Match": '"x"'}, {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}):
        async with service.http.get(url, headers=headers) as answer:
            assert answer.status == 412
            assert (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=10-", 206, 10, None),
        ("bytes=-5", 206, -5, None),
        ("bytes=5-999999", 206, 5, None),
        ("bytes=-999999", 206, 0, None),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=x", 200, 0, None),
        ("bytes=9-1", 200, 0, None),
        ("lines=0-1", 200, 0, None),
        ("bytes=0-1,4-5", 200, 0, None),
    ],
)
async def test_a_part_of_a_file(
    service: Service, asked: str, status: int, start: int, end: int | None
) -> None:
    await upload(service, ("a.txt", NOTES))
    async with service.http.get(f"{service.url}/files/bkt/media/a.txt", headers={"Range": asked}) as answer:
        assert (answer.status, await answer.read()) == (status, NOTES[start:end])
        if status == 206:
            first = len(NOTES) + start if start < 0 else start
            last = first + len(NOTES[start:end]) - 1
            assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(NOTES)}"


async def test_a_part_of_another_version_is_the_whole(service: Service) -> None:
    await upload(service, ("a.txt", NOTES))
    url = f"{service.url}/files/bkt/media/a.txt"
    async with service.http.get(url) as answer:
        tag, modified = answer.headers["ETag"], answer.headers["Last-Modified"]
    for condition, status in ((tag, 206), (modified, 206), ('"other"', 200)):
        headers = {"Range": "bytes=0-3", "If-Range": condition}
        async with service.http.get(url, headers=headers) as answer:
            assert answer.status == status
    async with service.http.get(url, headers={"Range": "bytes=51-"}) as answer:
        assert answer.status == 416
        assert "51 bytes" in (await answer.json())["error"]["message"]


async def test_a_thumbnail_is_small_and_whatever_has_none_is_sent_whole(service: Service) -> None:
    await upload(service, ("pic.png", picture(1200, 600)), ("a.txt", NOTES))
    async with service.http.get(f"{service.url}/files/bkt/thumbnail/pic.png") as answer:
        small = await answer.read()
        assert (answer.status, answer.content_type) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(small)).size == (400, 200)
    async with service.http.get(f"{service.url}/files/bkt/thumbnail/a.txt") as answer:
        assert await answer.read() == NOTES


async def test_what_is_no_type_of_file_is_refused(service: Service) -> None:
    await upload(service, ("a.txt", NOTES))
    async with service.http.get(f"{service.url}/files/bkt/other/a.txt") as answer:
        assert answer.status == 400
        assert "Invalid file type" in (await answer.json())["error"]["message"]


async def test_nobody_is_sent_elsewhere(service: Service) -> None:
    await upload(service, ("a.txt", NOTES))
    for name in ("a.txt", "missing.txt"):
        url = f"{service.url}/files/bkt/media/{name}?url=https://elsewhere.example/"
        async with service.http.get(url, allow_redirects=False) as answer:
            assert answer.status == (200 if name == "a.txt" else 404)
            assert "Location" not in answer.headers


RUNNABLE = {
    "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "a.html": b"<!doctype html><script>alert(1)</script>",
    "a.xml": b'<?xml version="1.0"?><a/>',
    "a.txt.html": b"<html><script>alert(1)</script></html>",
    "picture.png": b"<html><script>alert(1)</script></html>",
    "a.js": b"alert(1)",
}


@pytest.mark.parametrize("name", RUNNABLE)
async def test_what_could_run_in_a_browser_does_not(service: Service, name: str) -> None:
    """S17 of the corpus."""
    await upload(service, (name, RUNNABLE[name]))
    for kind in ("media", "thumbnail"):
        async with service.http.get(f"{service.url}/files/bkt/{kind}/{name}") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            shown = answer.headers["Content-Disposition"].startswith("inline")
            assert not shown or answer.content_type == "text/plain"


# What is hostile (S8 of the corpus)


async def test_a_body_that_is_no_form_is_refused(service: Service) -> None:
    url = f"{service.url}{V2}/files/bkt"
    for headers in (
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/mixed; boundary=x"},
    ):
        async with service.http.post(url, data=b"{}", headers=headers) as answer:
            assert answer.status == 415
            assert "multipart/form-data" in (await answer.json())["error"]["message"]
    gzipped = {"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": "gzip"}
    async with service.http.post(url, data=b"x", headers=gzipped) as answer:
        assert answer.status == 415


@pytest.mark.parametrize("boundary", ["", "boundary=", "boundary=" + "-" * 7_000, 'boundary="a"; boundary=b'])
async def test_a_form_needs_a_boundary(service: Service, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; {boundary}"}
    async with service.http.post(f"{service.url}{V2}/files/bkt", data=b"--a\r\n", headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["type"] == "invalid_request_error"


async def test_a_boundary_of_a_megabyte_is_refused(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(service.url).port)
    writer.write(b"POST " + V2.encode() + b"/files/bkt HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    writer.write(b"Content-Type: multipart/form-data; boundary=" + b"-" * 2**20)
    with suppress(ConnectionResetError):  # it is told before all of it has been sent
        assert b" 400 " in await reader.readline()
    writer.transport.abort()
    await service.get("/health/live")


async def test_a_hundred_thousand_parts_are_too_many(service: Service, tmp_path: Path) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with service.http.post(
        f"{service.url}{V2}/files/bkt", data=io.BytesIO(part * 100_000 + b"--x--\r\n"), headers=headers
    ) as answer:
        assert answer.status == 413
        assert "files.bucket_files" in (await answer.json())["error"]["message"]
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("variable", "sent", "limit"),
    [
        ("FILE_LIMIT", [b"x" * 1001], "files.file_limit"),
        ("BUCKET_LIMIT", [b"x" * 600, b"y" * 600], "files.bucket_limit"),
        ("USER_QUOTA", [b"x" * 1001], "files.user_quota"),
        ("TOTAL_QUOTA", [b"x" * 1001], "files.total_quota"),
    ],
)
async def test_a_limit_is_named_and_leaves_nothing(
    tmp_path: Path, variable: str, sent: list[bytes], limit: str
) -> None:
    async with serving(tmp_path, **{f"CAUSERIE_FILES_{variable}": "1000"}) as service:
        answered = await upload(service, *((f"{at}.txt", each) for at, each in enumerate(sent)), status=413)
        assert answered["error"]["code"] == "request_too_large"
        assert f"1000 bytes ({limit})" in answered["error"]["message"]
        assert stored(tmp_path) == []
        assert (await service.get(f"{V2}/files"))["used"] == 0
        await upload(service, ("a.txt", b"x" * 1000))


async def test_too_many_files_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_FILES_BUCKET_FILES="3") as service:
        answered = await upload(service, *((f"{at}.txt", b"%d" % at) for at in range(4)), status=413)
        assert "limit of 3 (files.bucket_files)" in answered["error"]["message"]
        assert stored(tmp_path) == []


async def test_a_picture_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_DOCUMENTS_PIXELS="10000") as service:
        answered = await upload(service, ("a.txt", NOTES), ("bomb.png", picture(101, 100)), status=422)
        assert "documents.pixels" in answered["error"]["message"]
        assert stored(tmp_path) == []
        assert await service.get(f"{V2}/buckets") == []


BEGINNING = (
    b"POST " + V2.encode() + b"/files/bkt HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="whole.txt"\r\n\r\nwhole\r\n'
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="cut.txt"\r\n\r\nhalf of'
)


@pytest.mark.parametrize("length", [len(BEGINNING), len(BEGINNING) - 60, 200])
async def test_an_upload_that_is_cut_leaves_nothing(service: Service, tmp_path: Path, length: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", URL(service.url).port)
    writer.write(BEGINNING[:length])
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.transport.abort()
    await until(lambda: not stored(tmp_path))
    assert await service.get(f"{V2}/buckets") == []
    assert service.context.filing.space.used("local") == 0


async def test_an_upload_that_stops_is_not_waited_for(service: Service, tmp_path: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(service.url).port)
    writer.write(BEGINNING)
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"}}")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"request_timeout" in answer
    writer.transport.abort()
    assert stored(tmp_path) == []


async def test_an_upload_that_drips_has_an_end(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_FILES_UPLOAD_TIMEOUT="0.5") as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(service.url).port)
        writer.write(BEGINNING)
        answer = asyncio.get_running_loop().create_task(reader.readuntil(b"}}"))
        async with asyncio.timeout(5):
            while not answer.done():
                writer.write(b"a")
                await asyncio.sleep(0.02)
        assert answer.result().startswith(b"HTTP/1.1 408")
        writer.transport.abort()
        assert stored(tmp_path) == []
