"""The web client that g4f 0.5.1.2 ships, unchanged, in a real browser, in front of the real service.

It is downloaded for the test, and nothing of it is kept. Its page and its files are put before the service in
the browser, as whoever serves them would; all that it asks for under /backend-api and /files is ours.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, FilePayload, Page, Route, expect

from tests.conftest import ROW
from tests.generated import painted
from tests.serving import Service, serving
from tests.upstream import Done, Finish, Gate, Refusal, Say, Upstream, Usage, until
from tests.web.visit import opened as visited

pytestmark = pytest.mark.slow

PINNED = Path(__file__).with_name("old_client.txt")
CHAT = "11111111-2222-4333-8444-555555555555"
END = (Finish(), Usage(), Done())
PAUSE = 3
"""For so many seconds after a question the client takes no other."""

Opened = Callable[..., AbstractAsyncContextManager[tuple[Page, Service]]]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the client's pages and scripts."""
    directory = tmp_path_factory.mktemp("old_client")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(directory)]
    chosen = ["--no-deps", "--no-build", "--require-hashes", "--requirement", str(PINNED)]
    installed = subprocess.run(command + chosen, capture_output=True, text=True, timeout=300, check=False)
    assert installed.returncode == 0, installed.stderr
    return directory / "g4f/gui/client"


@pytest.fixture
def opened(browser: Browser, files: Path, tmp_path: Path, upstream: Upstream) -> Opened:
    """The client on a service: `opened(legacy="auto", user="anna")`."""

    @asynccontextmanager
    async def old_client(legacy: str = "on", user: str = "") -> AsyncGenerator[tuple[Page, Service], None]:
        row = ROW.format(url=upstream.url)
        variables = {"CAUSERIE_SERVER_LEGACY": legacy, "CAUSERIE_STREAM_HEARTBEAT": "0.05"}
        async with serving(tmp_path, row, **variables) as service:
            page = await browser.new_page()
            page.set_default_timeout(10_000)
            await page.route("**/*", lambda route: answered(route, service.url, files))
            if user:
                await page.add_init_script(f"localStorage.setItem('user', '{user}')")
            await page.goto(f"{service.url}/chat/")
            yield page, service
            await page.close()

    return old_client


async def answered(route: Route, service: str, files: Path) -> None:
    """What the client's own server did; nobody else on the network is asked."""
    path = route.request.url.removeprefix(service).partition("?")[0]
    if path.startswith("/chat/"):
        page = (files / "index.html").read_text().replace("{{conversation_id}}", CHAT)
        await route.fulfill(body=re.sub(r"{{\w+}}", "", page), content_type="text/html")
    elif path.startswith("/static/"):
        await route.fulfill(path=files / path.lstrip("/"))
    elif path.startswith("/"):
        await route.continue_()
    else:
        await route.abort()


async def ask(page: Page, question: str) -> None:
    await page.fill("#userInput", question)
    await page.click("#sendButton")


async def options(page: Page, select: str) -> list[str]:
    """The values from which one can choose."""
    values: list[str] = await page.eval_on_selector_all(
        f"{select} option", "all => all.map(one => one.value)"
    )
    return values


@pytest.mark.parametrize(("legacy", "user"), [("on", ""), ("auto", "anna")])
async def test_it_lists_what_there_is_and_shows_an_answer_as_it_comes(
    opened: Opened, upstream: Upstream, legacy: str, user: str
) -> None:
    upstream.script(Say("The sea"), Gate(over := asyncio.Event()), Say(" is wide."), *END)
    async with opened(legacy, user) as (page, _):
        await expect(page.locator("#provider option[value=Upstream]")).to_be_attached()
        assert {"small", "large"} <= set(await options(page, "#model"))
        await page.select_option("#provider", "Upstream")
        await expect(page.locator("#model2")).to_be_visible()
        assert await options(page, "#model2") == ["small", "large"]
        await page.select_option("#model2", "large")
        await ask(page, "What is the sea?")
        answer = page.locator(".message .assistant + .content").last
        await expect(answer.locator(".content_inner")).to_have_text("The sea")
        await asyncio.sleep(0.3)  # of signs of life
        over.set()
        await expect(answer.locator(".content_inner")).to_have_text("The sea is wide.")
        await expect(answer.locator(".provider")).to_contain_text("The upstream with large")
        await expect(page.locator("#cancelButton")).not_to_be_in_viewport()


async def test_stop_reaches_the_provider(opened: Opened, upstream: Upstream) -> None:
    upstream.script(Say("The sea"), Gate(asyncio.Event()))
    async with opened() as (page, _):
        await ask(page, "What is the sea?")
        await expect(page.locator("#chatBody")).to_contain_text("The sea")
        await page.click("#cancelButton")
        await until(lambda: upstream.aborted)


async def test_documents_and_pictures_are_asked_about(
    opened: Opened, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("The code word is PINEAPPLE-42.")
    Image.new("RGB", (8, 6)).save(tmp_path / "photo.png")
    async with opened() as (page, _):
        await page.set_input_files("#file", tmp_path / "notes.txt")
        await expect(page.locator("#input-count")).to_contain_text("loaded successfully")
        await page.set_input_files("#file", tmp_path / "photo.png")
        await page.wait_for_function("Object.values(localStorage).join().includes('/media/photo.png')")
        await ask(page, "Which word, and what is on the photo?")
        await expect(page.locator("#chatBody")).to_contain_text("Hello from the upstream.")
        await asyncio.sleep(PAUSE)
        await page.set_input_files("#image", tmp_path / "photo.png")
        await ask(page, "And on this one?")
        await until(lambda: len([each for each in upstream.requests if each.body]) == 2)
    first, second = (each.body["messages"] for each in upstream.requests if each.body)
    assert "PINEAPPLE-42" in str(first)
    assert str(first).count("data:image/") == 1
    assert str(second[-1]).count("data:image/png") == 1


async def test_what_goes_wrong_is_shown(opened: Opened, upstream: Upstream) -> None:
    """Refusals, too: it does not look at the status of an answer."""
    async with opened() as (page, _):
        chat = page.locator("#chatBody")
        upstream.script(Refusal(500, "It is broken.", "broken"))
        await ask(page, "Hello")
        await expect(chat).to_contain_text("An error occured:** The upstream answered 500: It is broken.")
        await asyncio.sleep(PAUSE)
        await page.evaluate("document.querySelector('#provider option').value = 'Nobody'")
        await ask(page, "Hello")
        await expect(chat).to_contain_text("An error occured:** There is no provider named 'Nobody'")


async def test_our_own_page_is_served_beside_it(browser: Browser, tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_SERVER_LEGACY="on") as service:
        upstream.script(Say("The sea"), Gate(over := asyncio.Event()), Say(" is wide."), *END)
        visit = await visited(browser, service.url)
        picture: FilePayload = {"name": "sea.png", "mimeType": "image/png", "buffer": painted()}
        await visit.page.locator("[type=file]").first.set_input_files(picture)
        await expect(visit.page.locator("#attachments [data-state=ready]")).to_have_count(1)
        await visit.ask("What is the sea?")
        await expect(visit.page.locator(".question").get_by_role("img", name="sea.png")).to_be_visible()
        await visit.says("The sea")
        over.set()
        await visit.says("The sea is wide.")
        await visit.finished()
        await visit.page.close()
    assert visit.wrongs == []
