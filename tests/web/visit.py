"""A page in a browser: what a visitor does there, and what went wrong in it."""

import re
from typing import Any

from playwright.async_api import Browser, Page, Response, expect

DESK: dict[str, Any] = {"viewport": {"width": 1100, "height": 800}, "locale": "en-GB"}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}


class Visit:
    """An open page; `wrongs` collects errors of scripts, refused or missing files, strange addresses."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrongs: list[str] = []
        page.on("pageerror", lambda error: self.wrongs.append(str(error)))
        page.on("console", lambda said: self._note(said.text, "Security Policy" in said.text))
        page.on("request", lambda request: self._note(request.url, self._strange(request.url)))
        page.on("response", lambda response: self._note(response.url, self._missing(response)))
        self.field = page.get_by_role("textbox", name=re.compile("Message|Сообщение"))
        self.answer = page.locator(".answer").last
        self.button = page.locator("#send")

    async def ask(self, text: str) -> None:
        await self.field.fill(text)
        await self.button.click()

    async def finished(self) -> None:
        await expect(self.answer).to_have_attribute("aria-busy", "false")

    async def says(self, text: str) -> None:
        await expect(self.answer).to_contain_text(text)

    def _note(self, what: str, wrong: bool) -> None:
        if wrong:
            self.wrongs.append(what)

    def _strange(self, url: str) -> bool:
        return not url.startswith((self.url, "data:", "blob:"))

    def _missing(self, response: Response) -> bool:
        return response.url.startswith(self.url + "/web/") and response.status >= 400


async def opened(browser: Browser, url: str, **options: Any) -> Visit:
    """The page at this address, as on a desk in Britain unless `options` of the browser say otherwise."""
    context = await browser.new_context(**DESK | options)
    context.set_default_timeout(10_000)
    visit = Visit(await context.new_page(), url)
    await visit.page.goto(url)
    return visit
