"""Files of cookies: taken where the operator allows it, as one of the user's files, used by nobody."""

from pathlib import Path

import aiohttp
import pytest

from tests.access import Headers, bearer
from tests.conftest import ROW
from tests.generated import painted
from tests.serving import Service, serving
from tests.upstream import Upstream

PATH = "/backend-api/v2/upload_cookies"
COOKIES = b'[{"name": "session", "value": "s3cr3t-c00kie", "domain": ".provider.example"}]'
SAVED = (200, "text/html", "File saved")
ALLOWED = {"CAUSERIE_FILES_COOKIES": "true"}


async def sent(
    service: Service, *files: tuple[str, bytes], field: str = "file", headers: Headers | None = None
) -> tuple[int, str, str]:
    """Status, type, and what is said."""
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    form.add_field("other", "x")
    for name, content in files:
        form.add_field(field, content, filename=name, content_type="application/json")
    async with service.http.post(service.url + PATH, data=form, headers=headers) as answer:
        if answer.status == 200:
            return answer.status, answer.content_type, await answer.text()
        return answer.status, answer.content_type, (await answer.json())["error"]["message"]


async def test_they_are_not_taken_as_things_are_shipped(service: Service, tmp_path: Path) -> None:
    status, _, words = await sent(service, ("cookies.json", COOKIES))
    assert (status, "files.cookies" in words) == (403, True)
    assert (await service.get("/v1/files"))["data"] == []
    assert not [file for file in (tmp_path / "state/files").rglob("*") if file.is_file()]


async def test_they_are_kept_for_who_sends_them(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), **ALLOWED) as service:
        (_, ada), (_, bob) = [await service.context.keys.create(name, "user") for name in ("ada", "bob")]
        for name in ("cookies.json", "traffic.HAR"):
            assert await sent(service, (name, COOKIES), headers=bearer(ada)) == SAVED
        listed = (await service.get("/v1/files", headers=bearer(ada)))["data"]
        assert {(file["filename"], file["purpose"]) for file in listed} == {
            ("cookies.json", "cookies"),
            ("traffic.HAR", "cookies"),
        }
        assert (await service.get("/v1/files", headers=bearer(bob)))["data"] == []
        for text, status in ((ada, 200), (bob, 404)):
            path = f"/v1/files/{listed[0]['id']}/content"
            async with service.http.get(service.url + path, headers=bearer(text)) as answer:
                assert answer.status == status
        assert (await sent(service, ("cookies.json", COOKIES)))[0] == 401


async def test_no_provider_is_shown_them(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), **ALLOWED) as service:
        assert (await sent(service, ("cookies.json", COOKIES)))[0] == 200
        await service.ask("Hello")
    assert "s3cr3t-c00kie" not in str([(asked.headers, asked.body) for asked in upstream.requests])
    beside = [file for file in (tmp_path / "state").iterdir() if file.is_file()]
    assert not [file for file in beside if COOKIES in file.read_bytes()]


@pytest.mark.parametrize(
    ("files", "field", "status", "words"),
    [
        ([("cookies.txt", COOKIES)], "file", 400, "Not supported file"),
        ([("cookies", COOKIES)], "file", 400, "Not supported file"),
        ([("cookies.json.exe", COOKIES)], "file", 400, "Not supported file"),
        ([("cookies.json", painted(size=(8, 8)))], "file", 400, "Not supported file"),
        ([("cookies.json", b"\x7fELF\0\0")], "file", 400, "Not supported file"),
        ([], "file", 400, "No selected file"),
        ([("", COOKIES)], "file", 400, "No selected file"),
        ([("cookies.json", COOKIES)], "files", 400, "No selected file"),
        ([("a.json", COOKIES), ("b.json", COOKIES)], "file", 400, "one file at a time"),
        ([("a.json", COOKIES * 20)], "file", 413, "files.file_limit"),
    ],
)
async def test_what_is_no_such_file_leaves_nothing(
    tmp_path: Path, files: list[tuple[str, bytes]], field: str, status: int, words: str
) -> None:
    async with serving(tmp_path, **ALLOWED, CAUSERIE_FILES_FILE_LIMIT="1000") as service:
        found, kind, message = await sent(service, *files, field=field)
        assert (found, kind, words in message) == (status, "application/json", True), message
        assert (await service.get("/v1/files"))["data"] == []
    assert not [file for file in (tmp_path / "state/files").rglob("*") if file.is_file()]
