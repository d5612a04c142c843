"""The chat page asks for a key once the operator has made one."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, expect

from tests.access import bearer
from tests.serving import Json, Service
from tests.upstream import Done, Finish, Gate, Say, Silent, Upstream, Usage, until
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())


@pytest.fixture
async def text(service: Service) -> str:
    """A key of Ada's: from now on the service knows nobody without one."""
    _, text = await service.context.keys.create("ada", "user")
    return text


@pytest.fixture
async def visit(browser: Browser, service: Service, text: str) -> AsyncGenerator[Visit, None]:
    """The page; its console may say nothing but what the browser says of a 401."""
    visit = await opened(browser, service.url)
    visit.page.on("console", lambda said: visit.wrongs.extend([said.text] if _is_wrong(said) else []))
    yield visit
    await visit.page.close()
    assert visit.wrongs == []


def _is_wrong(said: ConsoleMessage) -> bool:
    return said.type in {"error", "warning"} and "401" not in said.text


def form(visit: Visit) -> Locator:
    return visit.page.get_by_role("dialog", name=re.compile("asks for a key|нужен ключ"))


async def log_in(visit: Visit, text: str) -> None:
    await form(visit).get_by_label(re.compile("^(Key|Ключ)$")).fill(text)
    await visit.page.keyboard.press("Enter")


async def test_one_logs_in_asks_reloads_and_logs_out(visit: Visit, upstream: Upstream, text: str) -> None:
    gate = asyncio.Event()
    upstream.script(Say("As far as"), Gate(gate), Say(" the **end**."), *END)
    await expect(form(visit).get_by_label("Key")).to_be_focused()
    await log_in(visit, "ck-nothing")
    await expect(form(visit).get_by_role("alert")).to_have_text("This key is not valid here.")
    await log_in(visit, text)
    await expect(form(visit)).to_be_hidden()
    await expect(visit.field).to_be_focused()
    await visit.ask("Go on")
    await visit.says("As far as")
    await expect(visit.answer).to_have_attribute("aria-busy", "true")
    await visit.page.reload()
    await expect(visit.page.get_by_role("button", name="Stop")).to_be_visible()
    gate.set()
    await visit.finished()
    await visit.says("As far as the end.")
    await expect(visit.answer.locator("strong")).to_have_text("end")
    await expect(form(visit)).to_be_hidden()
    assert text not in await visit.page.content() + str(
        await visit.page.evaluate("JSON.stringify(localStorage)")
    )
    await visit.page.get_by_role("button", name="Log out").click()
    await expect(form(visit)).to_be_visible()
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_hidden()
    await visit.page.reload()
    await expect(form(visit)).to_be_visible()


async def test_stop_works_with_the_session(visit: Visit, upstream: Upstream, text: str) -> None:
    upstream.script(Say("As far as here"), Silent())
    await log_in(visit, text)
    await visit.ask("Go on for ever")
    await visit.says("As far as here")
    await visit.page.get_by_role("button", name="Stop").click()
    await until(lambda: upstream.aborted)
    await visit.says("Stopped")


async def test_a_question_waits_for_the_key_and_is_answered_then(
    visit: Visit, service: Service, text: str
) -> None:
    await log_in(visit, text)
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_visible()
    await visit.page.context.clear_cookies()
    await visit.ask("Still there?")
    await expect(form(visit)).to_be_visible()
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_hidden()
    await log_in(visit, text)
    await visit.says("Hello from the upstream.")
    await visit.finished()
    await expect(visit.page.locator(".question")).to_have_count(1)
    assert [record["user"] for record in await _records(service, text)] == ["ada"]


async def _records(service: Service, text: str) -> list[Json]:
    path = "/backend-api/v2/persons/ada/export"
    async with service.http.get(service.url + path, headers=bearer(text)) as answer:
        lines = (await answer.text()).splitlines()
    return [found for found in map(json.loads, lines) if found["type"] == "record"]


async def test_what_was_answered_meanwhile_is_read_on_after_logging_in_again(
    visit: Visit, upstream: Upstream, text: str
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("As far as"), Gate(gate), Say(" the end."), *END)
    await log_in(visit, text)
    await visit.ask("Go on")
    await visit.says("As far as")
    await visit.page.get_by_role("button", name="Log out").click()
    await expect(form(visit)).to_be_visible()
    gate.set()
    await log_in(visit, text)
    await visit.says("As far as the end.")
    await visit.finished()
    assert len(upstream.bill) == 1


async def test_a_key_that_was_revoked_is_asked_for_again(visit: Visit, service: Service, text: str) -> None:
    await log_in(visit, text)
    await visit.ask("First")
    await visit.finished()
    await visit.page.wait_for_load_state("networkidle")  # the list of chats is read, which could ask as well
    key = service.context.keys.find(text)
    assert key
    await service.context.keys.create("bob", "user")
    await service.context.keys.revoke(key.id)
    await visit.ask("Second")
    await log_in(visit, text)
    await expect(form(visit).get_by_role("alert")).to_have_text("This key is not valid here.")


async def test_escape_does_not_lead_past_the_form(visit: Visit) -> None:
    await expect(form(visit)).to_be_visible()
    for _ in range(3):
        await visit.page.keyboard.press("Escape")
    await expect(form(visit)).to_be_visible()
    await expect(form(visit).get_by_label("Key")).to_be_focused()


async def test_the_form_says_when_the_service_is_not_there(visit: Visit, text: str) -> None:
    await expect(form(visit)).to_be_visible()
    await visit.page.route("**/session", lambda route: route.fulfill(status=502, body="<html>"), times=1)
    await log_in(visit, text)
    await expect(form(visit).get_by_role("alert")).to_contain_text("cannot be reached")
    visit.wrongs = [wrong for wrong in visit.wrongs if "502" not in wrong]
    await log_in(visit, text)
    await expect(form(visit)).to_be_hidden()


async def test_russian_on_a_telephone(browser: Browser, service: Service, text: str) -> None:
    visit = await opened(browser, service.url, locale="ru-RU", **PHONE)
    await log_in(visit, "ck-nothing")
    await expect(form(visit).get_by_role("alert")).to_have_text("Этот ключ здесь не действует.")
    await log_in(visit, text)
    await visit.page.get_by_role("button", name="Показать чаты").tap()
    await expect(visit.page.get_by_role("button", name="Выйти")).to_be_in_viewport()
    await expect(visit.page.get_by_role("link", name="Статистика")).to_be_in_viewport()
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    await visit.page.get_by_role("button", name="Выйти").tap()
    await expect(form(visit)).to_be_visible()
    assert visit.wrongs == []
