"""What is set for a chat is the service's to keep, what is set for the page this device's."""

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.serving import Service
from tests.upstream import Upstream
from tests.web.visit import Visit, opened

pytestmark = pytest.mark.slow


async def settings(visit: Visit) -> Locator:
    await visit.page.get_by_role("button", name="Settings").click()
    return visit.page.get_by_role("dialog", name="Settings")


async def test_a_chat_is_answered_as_it_is_set(visit: Visit, upstream: Upstream) -> None:
    await visit.page.get_by_role("button", name="Model: Auto").click()
    await visit.page.get_by_role("option", name="large").click()
    await visit.page.get_by_role("button", name="How this chat is answered").click()
    dialog = visit.page.get_by_role("dialog", name="How this chat is answered")
    await dialog.get_by_label("Instructions").fill("Answer in rhyme.")
    await dialog.get_by_label("Temperature").fill("0.5")
    await dialog.get_by_label("Longest answer").fill("64")
    await dialog.get_by_label("Reasoning").select_option("Low")
    await visit.page.keyboard.press("Escape")
    await visit.ask("What is the sea?")
    await visit.finished()
    asked = upstream.requests[-1].body
    assert asked["messages"][0] == {"role": "system", "content": "Answer in rhyme."}
    assert (asked["temperature"], asked["reasoning_effort"], asked["model"]) == (0.5, "low", "large")
    assert 64 in (asked.get("max_tokens"), asked.get("max_completion_tokens"))
    await visit.page.wait_for_load_state("networkidle")
    await visit.page.reload()
    await expect(visit.page.get_by_role("button", name="Model: large")).to_be_visible()
    await visit.page.get_by_role("button", name="How this chat is answered").click()
    await expect(dialog.get_by_label("Instructions")).to_have_value("Answer in rhyme.")
    await expect(dialog.get_by_label("Temperature")).to_have_value("0.5")
    await dialog.get_by_role("button", name="Back to the usual").click()
    await visit.page.keyboard.press("Escape")
    await visit.ask("And the sky?")
    await expect(visit.page.locator(".answer")).to_have_count(2)
    await visit.finished()
    asked = upstream.requests[-1].body
    assert [message["role"] for message in asked["messages"]] == ["user", "assistant", "user"]
    assert "temperature" not in asked
    await visit.page.get_by_role("button", name="New chat").click()
    await visit.page.get_by_role("button", name="How this chat is answered").click()
    await expect(dialog.get_by_label("Instructions")).to_have_value("")


async def test_what_cannot_be_is_not_taken(visit: Visit, upstream: Upstream) -> None:
    await visit.page.get_by_role("button", name="How this chat is answered").click()
    dialog = visit.page.get_by_role("dialog", name="How this chat is answered")
    await dialog.get_by_label("Temperature").fill("7")
    await visit.page.keyboard.press("Tab")
    assert not await dialog.get_by_label("Temperature").evaluate("node => node.checkValidity()")
    await visit.page.keyboard.press("Escape")
    await visit.page.keyboard.press("Escape")
    await visit.ask("What is the sea?")
    await visit.finished()
    assert "temperature" not in upstream.requests[-1].body


async def test_the_theme_is_kept_on_the_device(visit: Visit) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await visit.page.evaluate(paper)
    await (await settings(visit)).get_by_label("Theme").select_option("Dark")
    dark = await visit.page.evaluate(paper)
    assert dark != light
    for path in ("/", "/stats/", "/keys/"):
        await visit.page.goto(visit.url + path)
        assert await visit.page.evaluate(paper) == dark


async def test_the_language_is_kept_on_the_device(visit: Visit) -> None:
    await (await settings(visit)).get_by_label("Language").select_option("Русский")
    await expect(visit.page.get_by_text("О чём поговорим?")).to_be_visible()
    await visit.page.reload()
    await expect(visit.page.locator("html")).to_have_attribute("lang", "ru")
    await expect(visit.page.get_by_role("button", name="Новый чат")).to_be_visible()


async def test_enter_can_break_the_line(visit: Visit, upstream: Upstream) -> None:
    await (await settings(visit)).get_by_label("Enter sends the message").uncheck()
    await visit.page.keyboard.press("Escape")
    await expect(visit.page.locator("#hint")).to_have_text("Ctrl+Enter sends, Enter breaks the line")
    await visit.field.press_sequentially("One")
    await visit.field.press("Enter")
    await visit.field.press_sequentially("Two")
    assert upstream.bill == []
    await visit.field.press("Control+Enter")
    await visit.finished()
    assert upstream.requests[-1].body["messages"][-1]["content"] == "One\nTwo"


async def test_the_keys_are_listed_and_work(visit: Visit, service: Service) -> None:
    keyboard = visit.page.keyboard
    await keyboard.press("Control+/")
    listed = visit.page.get_by_role("dialog", name="Keyboard")
    await expect(listed).to_contain_text("Search the chats")
    await keyboard.press("Escape")
    await expect(listed).to_have_count(0)
    await keyboard.press("Control+b")
    await expect(visit.page.get_by_role("searchbox", name="Search the chats")).to_be_hidden()
    await visit.page.reload()
    await expect(visit.page.get_by_role("searchbox", name="Search the chats")).to_be_hidden()
    await keyboard.press("Control+k")
    await expect(visit.page.get_by_role("searchbox", name="Search the chats")).to_be_focused()
    await visit.ask("What is the sea?")
    await visit.finished()
    await keyboard.press("Control+Shift+o")
    await expect(visit.page.locator("article")).to_have_count(0)
    await expect(visit.field).to_be_focused()


async def test_a_dark_system_is_followed(browser: Browser, service: Service) -> None:
    papers = []
    for scheme in ("light", "dark"):
        visit = await opened(browser, service.url, color_scheme=scheme)
        papers.append(await visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert papers[0] != papers[1]
