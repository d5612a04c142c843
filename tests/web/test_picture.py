"""The picture of the page in the README: a conversation with the embedded model.

`CAUSERIE_PICTURE=docs/page.png` writes it anew.
"""

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.serving import serving
from tests.web.visit import opened

pytestmark = pytest.mark.slow

FRAME = {"viewport": {"width": 1200, "height": 800}, "color_scheme": "light", "device_scale_factor": 1}
QUESTIONS = ("What is the capital of France?", "Write a Python function that reverses a string")


async def test_the_embedded_model_answers_on_the_page(browser: Browser, tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_EMBEDDED_ENABLED="true") as service:
        visit = await opened(browser, service.url, **FRAME)
        for question in QUESTIONS:
            await visit.ask(question)
            await expect(visit.answer).to_have_attribute("aria-busy", "false", timeout=120_000)
        await expect(visit.page.locator(".question p")).to_have_text(QUESTIONS)
        await expect(visit.page.locator(".answer").first).to_contain_text("Paris")
        await expect(visit.answer.locator("pre")).to_contain_text("def ")
        await expect(visit.answer.locator("footer")).to_contain_text("tokens")
        file = os.environ.get("CAUSERIE_PICTURE") or tmp_path / "page.png"
        picture = await visit.page.screenshot(path=file, animations="disabled", caret="hide")
    assert visit.wrongs == []
    assert len(picture) < 300_000
