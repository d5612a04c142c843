"""Whether a browser plays it to the end: Debian's chromium, each format, as it streams and as it is kept."""

from collections.abc import AsyncGenerator

import pytest
from aiohttp import web
from playwright.async_api import Browser

from service.speakers.embedded import Embedded
from service.speakers.encoding import CONTENT_TYPES, Encoders
from tests.edge_server import tone
from tests.speakers.hearing import heard
from tests.web.conftest import browser as browser  # the fixture

pytestmark = pytest.mark.slow

FORMATS = [format for format in CONTENT_TYPES if format != "pcm"]
"""Bare samples are for programs: no browser plays them."""
TEXT = "One two three. Four five six."
PLAY = """(url) => new Promise((resolve) => {
    const audio = new Audio(url);
    audio.playbackRate = 4;
    audio.onended = () => resolve({ ended: true, duration: audio.duration, at: audio.currentTime });
    audio.onerror = () => resolve({ ended: false, error: audio.error.message });
    audio.play().catch((error) => resolve({ ended: false, error: String(error) }));
})"""


class Shelf:
    """Serves what it is given: kept ones by their length, streamed ones in chunks, without one."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.url = ""

    def put(self, name: str, data: bytes, format: str) -> str:
        self.files[name] = data, CONTENT_TYPES[format]
        return f"{self.url}/{name}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        data, kind = self.files[request.match_info["name"]]
        if not request.match_info["name"].startswith("streamed"):
            return web.Response(body=data, content_type=kind)
        answer = web.StreamResponse(headers={"Content-Type": kind})
        await answer.prepare(request)
        for start in range(0, len(data), 10_000):
            await answer.write(data[start : start + 10_000])
        return answer


@pytest.fixture
async def shelf() -> AsyncGenerator[Shelf, None]:
    shelf = Shelf()
    app = web.Application()
    app.add_routes([web.get("/{name}", shelf.serve)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shelf.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    shelf.files["page"] = b"<!doctype html>", "text/html"
    yield shelf
    await runner.cleanup()


@pytest.mark.parametrize("format", FORMATS)
async def test_each_format_plays_to_its_end(
    browser: Browser, shelf: Shelf, local: Embedded, encoders: Encoders, format: str
) -> None:
    spoken = await heard(local, encoders, TEXT, format)
    page = await browser.new_page()
    await page.goto(f"{shelf.url}/page")
    streamed = await page.evaluate(PLAY, shelf.put("streamed", spoken.streamed, format))
    kept = await page.evaluate(PLAY, shelf.put("kept", spoken.kept, format))
    assert streamed["ended"], streamed
    assert kept["ended"], kept
    assert kept["duration"] == pytest.approx(spoken.seconds, abs=0.1)
    assert kept["at"] == pytest.approx(spoken.seconds, abs=0.1)


async def test_joined_pieces_of_mp3_play_to_the_end_of_the_last(browser: Browser, shelf: Shelf) -> None:
    joined = b"".join([*tone(5), *tone(8), *tone(3)])
    page = await browser.new_page()
    await page.goto(f"{shelf.url}/page")
    played = await page.evaluate(PLAY, shelf.put("kept", joined, "mp3"))
    assert played["ended"], played
    assert played["duration"] == pytest.approx(16 * 0.288, abs=0.3)
