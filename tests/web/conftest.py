"""Debian's chromium, and the page of the service in it."""

import shutil
from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.serving import Service
from tests.web.visit import Visit, opened

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)


@pytest.fixture
async def browser() -> AsyncGenerator[Browser, None]:
    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS.split())
        yield browser
        await browser.close()


@pytest.fixture
async def visit(browser: Browser, service: Service) -> AsyncGenerator[Visit, None]:
    """The page, in which nothing may go wrong during the test."""
    visit = await opened(browser, service.url)
    yield visit
    await visit.page.close()
    assert visit.wrongs == []
