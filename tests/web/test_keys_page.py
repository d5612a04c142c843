"""The page of keys: made, told once, given a new secret, ended."""

import re

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.access import bearer
from tests.serving import Service
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

KEY = re.compile(r"ck-[a-z0-9]{8}-[\w-]{43}")


@pytest.fixture
async def visit(browser: Browser, service: Service) -> Visit:
    visit = await opened(browser, service.url)
    await visit.page.goto(f"{service.url}/keys")
    return visit


async def make(visit: Visit, user: str, **fields: str) -> str:
    """Makes a key, and returns its text."""
    await visit.page.get_by_role("button", name="New key").click()
    form = visit.page.get_by_role("dialog", name="New key")
    await form.get_by_label("User", exact=True).fill(user)
    if fields:
        await form.get_by_text("Limits").click()
    for label, value in fields.items():
        await form.get_by_label(label.replace("_", " ")).fill(value)
    await form.get_by_role("button", name="Make the key").click()
    dialog = visit.page.get_by_role("dialog", name="The key is made")
    text = (await dialog.locator("code").text_content()) or ""
    await expect(dialog.get_by_role("button", name="Copy the key")).to_be_focused()
    await visit.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert KEY.fullmatch(text)
    return text


def line(visit: Visit, user: str) -> Locator:
    return visit.page.locator("#keys > li", has_text=user)


async def test_the_first_key_closes_the_service_and_keeps_its_maker_inside(
    visit: Visit, service: Service
) -> None:
    await expect(visit.page).to_have_url(f"{service.url}/keys/")
    await expect(visit.page.get_by_text("The first key closes it.")).to_be_visible()
    text = await make(visit, "ada")
    await expect(visit.page.get_by_text("The first key closes it.")).to_be_hidden()
    await expect(line(visit, "ada")).to_contain_text("Operator")
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_visible()
    async with service.http.get(f"{service.url}/backend-api/v2/keys") as answer:
        assert answer.status == 401
    (key,) = await service.get("/backend-api/v2/keys", headers=bearer(text))
    assert (key["user"], key["role"]) == ("ada", "admin")
    assert text not in await visit.page.content()


async def test_a_key_has_limits_and_an_end(visit: Visit, service: Service) -> None:
    admin = await make(visit, "ada")
    text = await make(visit, "bob", Requests_a_minute="5", **{"US$_a_day": "0.5"})
    await expect(line(visit, "bob")).to_contain_text("Requests a minute: 5")
    key = (await service.get("/backend-api/v2/keys", headers=bearer(admin)))[-1]
    assert (key["limits"], key["budget"]) == ({"requests_per_minute": 5}, {"day": 0.5})
    await line(visit, "bob").get_by_role("button", name="New secret").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="New secret", exact=True).click()
    secret = visit.page.get_by_role("dialog", name="The key is made").locator("code")
    await expect(secret).to_have_text(KEY)
    assert await secret.text_content() != text
    await visit.page.keyboard.press("Escape")
    await line(visit, "bob").get_by_role("button", name="Revoke").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(line(visit, "bob")).not_to_contain_text("revoked")
    await line(visit, "bob").get_by_role("button", name="Revoke").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    await expect(line(visit, "bob")).to_contain_text("revoked")
    await expect(line(visit, "bob").get_by_role("button")).to_have_count(0)


async def test_only_operators_see_keys(browser: Browser, service: Service) -> None:
    await service.context.keys.create("ada", "admin")
    _, text = await service.context.keys.create("bob", "user")
    visit = await opened(browser, service.url, locale="ru-RU", color_scheme="dark", **PHONE)
    await visit.page.goto(f"{service.url}/keys/")
    await visit.page.get_by_label("Ключ", exact=True).fill(text)
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("alert")).to_contain_text("Ключи видит только администратор")
    await expect(visit.page.get_by_role("button", name="Новый ключ")).to_be_hidden()
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    await visit.page.goto(service.url)
    await visit.page.get_by_role("button", name="Показать чаты").tap()
    await expect(visit.page.get_by_role("link", name="Ключи")).to_be_hidden()
    assert visit.wrongs == []
