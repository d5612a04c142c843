"""The page's files, and what they are forbidden."""

import pytest

from service.handlers.pages import WEB
from tests.serving import Service

FILES = sorted(file.name for file in WEB.iterdir() if file.is_file())


@pytest.mark.parametrize("path", ["/", *(f"/web/{name}" for name in FILES)])
async def test_a_page_runs_nothing_but_its_own_files(path: str, service: Service) -> None:
    async with service.http.get(service.url + path, headers={"Accept": "text/html"}) as answer:
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-cache"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "unsafe" not in str(policy)


@pytest.mark.parametrize(
    ("name", "kind"), [("app.js", "javascript"), ("page.css", "text/css"), ("mark.svg", "svg")]
)
async def test_a_file_says_what_it_is(name: str, kind: str, service: Service) -> None:
    async with service.http.get(f"{service.url}/web/{name}") as answer:
        assert kind in answer.content_type
        assert await answer.read() == (WEB / name).read_bytes()


async def test_a_browser_that_has_a_file_is_not_sent_it_again(service: Service) -> None:
    url = f"{service.url}/web/app.js"
    async with service.http.get(url) as answer:
        etag = answer.headers["ETag"]
    async with service.http.get(url, headers={"If-None-Match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..%2fapp.py", "%2e%2e%2fapp.py", "../app.py", "..%5capp.py", "%2fetc%2fpasswd", "%00"],
)
async def test_there_is_nothing_else_to_be_had(name: str, service: Service) -> None:
    async with service.http.get(f"{service.url}/web/{name}") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "not_found"
