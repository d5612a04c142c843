"""The page of statistics in a real browser: what it shows is what the service has counted."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, expect

from service.stores.ledger import Record
from tests.serving import Json, Service
from tests.upstream import Say, Silent, Status, Upstream, until
from tests.web.visit import DESK, PHONE, Visit

pytestmark = pytest.mark.slow

V2 = "/backend-api/v2"


@asynccontextmanager
async def opened(
    browser: Browser, service: Service, query: str = "", **options: Any
) -> AsyncGenerator[Visit, None]:
    """The page, in which nothing may go wrong."""
    context = await browser.new_context(**DESK | options)
    context.set_default_timeout(10_000)
    visit = Visit(await context.new_page(), service.url)
    visit.page.on("console", lambda said: visit.wrongs.extend([said.text] if _is_wrong(said) else []))
    await visit.page.goto(f"{service.url}/stats/{query}")
    try:
        yield visit
    finally:
        await context.close()
    assert visit.wrongs == []


def _is_wrong(said: ConsoleMessage) -> bool:
    """A key that is not valid is a 401, which the browser tells by itself."""
    return said.type in {"error", "warning"} and "401" not in said.text


async def use(service: Service, upstream: Upstream) -> None:
    """Real turns: of two people with two models, one of them failed, and one without a price."""
    for user, model in (("ann", "small"), ("ann", "large"), ("bob", "small")):
        headers = {"x-user": user}
        async with service.asking("Hello there", headers, model=model, provider="Upstream") as answer:
            await answer.read()
    upstream.enqueue((Status(500),))
    async with service.asking(provider="Upstream", model="small") as answer:
        await answer.read()
    unpriced = Record(id="x", user="ann", model="other", provider="Elsewhere", ending="done", attempts=1)
    unpriced.prompt_tokens, unpriced.completion_tokens, unpriced.price = 1_000, 234, "unpriced"
    priced = Record(id="y", user="ann", model="dear", provider="Elsewhere", ending="done", attempts=1)
    priced.prompt_tokens, priced.cost, priced.price = 10, 12_340_000_000, "settings"
    await asyncio.gather(*(service.context.ledger.settle(record) for record in (unpriced, priced)))


async def tiles(visit: Visit) -> dict[str, str]:
    """The sums at a glance, by their names."""
    await expect(visit.page.locator("#sums")).to_have_attribute("aria-busy", "false")
    names = await visit.page.get_by_role("term").all_inner_texts()
    values = await visit.page.get_by_role("definition").all_inner_texts()
    return dict(zip(names, values, strict=True))


async def cells(table: Locator) -> list[list[str]]:
    """What a table says, row by row."""
    rows = await table.get_by_role("row").all()
    return [[text.strip() for text in await row.locator("th, td").all_inner_texts()] for row in rows]


def number(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text))


async def test_the_numbers_are_the_services(browser: Browser, service: Service, upstream: Upstream) -> None:
    await use(service, upstream)
    stats = await service.get(f"{V2}/stats")
    totals = stats["totals"]
    assert totals["requests"] == 6
    async with opened(browser, service) as visit:
        shown = await tiles(visit)
        assert number(shown["Requests"]) == totals["requests"]
        assert number(shown["Tokens"].split("\n")[0]) == totals["total_tokens"]
        assert shown["Cost"].split("\n") == ["$12.34", "1 without a price"]
        assert number(shown["Tokens a second"].split("\n")[0]) == pytest.approx(
            totals["tokens_per_second"], abs=0.051
        )
        for title, part in (("Models", "models"), ("Providers", "providers"), ("Users", "users")):
            head, *rows = await cells(visit.page.get_by_role("table", name=title, exact=True))
            assert head[1:5] == ["Requests", "Tokens", "Cost", "Unpriced"]
            told = {row[0]: (number(row[1]), number(row[2]), number(row[4])) for row in rows}
            assert list(told) == list(stats[part])
            assert told == {
                name: (sums["requests"], sums["total_tokens"], sums["unpriced"])
                for name, sums in stats[part].items()
            }
        costs = {row[0]: row[3] for row in await cells(visit.page.get_by_role("table", name="Models"))}
        assert (costs["other"], costs["dear"], costs["small"]) == ("–", "$12.34", "$0.00")
        endings = visit.page.get_by_role("img", name="How answers ended")
        await expect(endings).to_have_accessible_name("How answers ended: Done: 5, Failed: 1")


async def test_a_chart_says_in_words_and_in_a_table_what_it_shows(
    browser: Browser, service: Service, upstream: Upstream
) -> None:
    await use(service, upstream)
    async with opened(browser, service) as visit:
        chart = visit.page.get_by_role("img", name="Requests a day over 30 days, split by Model: 6 in all")
        await expect(chart.locator(".bar")).to_have_count(30)
        await expect(chart.locator(".bar title").last).to_contain_text("small: 3")
        await expect(chart.locator(".bar").last.locator("[class^=part]")).to_have_count(4)
        await visit.page.get_by_text("As a table").click()
        table = visit.page.get_by_role("table", name="Requests a day")
        pieces = await service.get(f"{V2}/stats/series?days=30&by=model")
        (head, row) = await cells(table)
        assert (head[0], head[-1], row[-1]) == ("Day", "Total", "6")
        assert dict(zip(head[1:-1], map(number, row[1:-1]), strict=True)) == {
            piece["name"]: piece["requests"] for piece in pieces
        }


async def test_what_is_chosen_is_shown_and_stands_in_the_address(
    browser: Browser, service: Service, upstream: Upstream
) -> None:
    await use(service, upstream)
    async with opened(browser, service) as visit:
        page = visit.page
        await page.get_by_role("group", name="Range").get_by_role("radio", name="30 days").focus()
        await page.keyboard.press("ArrowLeft")
        await expect(page.get_by_role("img", name="Requests a day over 7 days")).to_be_visible()
        await expect(page.get_by_role("radio", name="7 days")).to_be_focused()
        await page.get_by_role("radio", name="Cost").check(force=True)
        await page.get_by_role("radio", name="Provider").check(force=True)
        await expect(
            page.get_by_role("img", name="Cost a day over 7 days, split by Provider")
        ).to_be_visible()
        await page.get_by_role("combobox", name="User").select_option("bob")
        await expect(page.get_by_role("term").first.locator("..")).to_contain_text("Requests1")
        await page.reload()
        await expect(page.get_by_role("combobox", name="User")).to_have_value("bob")
        await expect(page.get_by_role("radio", name="Cost")).to_be_checked()
        await page.get_by_role("radio", name="Tokens a second").check(force=True)
        await expect(page.get_by_role("img", name="Tokens a second, day by day")).to_be_visible()
        await expect(page.get_by_role("radio", name="Model")).to_be_disabled()


async def test_it_speaks_russian(browser: Browser, service: Service, upstream: Upstream) -> None:
    await use(service, upstream)
    async with opened(browser, service, locale="ru-RU", color_scheme="dark", **PHONE) as visit:
        assert list(await tiles(visit))[:3] == ["Запросы", "Токены", "Стоимость"]
        await expect(visit.page).to_have_title("Статистика · Causerie")
        await expect(visit.page.locator("html")).to_have_attribute("lang", "ru")
        await expect(visit.page.get_by_role("img", name="Запросы по дням")).to_be_visible()
        assert not re.search(r"\{\w+\}", await visit.page.locator("body").inner_text())
        assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360


SHAPES = """async () => {
    const { words } = await import("/web/stats.words.js");
    const names = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort();
    const shape = (said) => names(typeof said === "string" ? said : said.other);
    return Object.values(words).map((all) => Object.keys(all).map((key) => [key, shape(all[key])]));
}"""


async def test_both_languages_say_the_same_and_change_no_word_of_the_chat(
    browser: Browser, service: Service
) -> None:
    async with opened(browser, service) as visit:
        english, russian = await visit.page.evaluate(SHAPES)
        assert english == russian
        source = (await (await visit.page.request.get(f"{service.url}/web/messages.js")).text()).split(
            "ru: {"
        )[0]
        chat = set(re.findall(r"^    (\w+):", source, re.MULTILINE))
        assert chat & {key for key, _ in english} == set()


async def test_where_nothing_was_used_it_says_so(browser: Browser, service: Service) -> None:
    async with opened(browser, service) as visit:
        await expect(visit.page.get_by_text("Nothing was used in this time.")).to_be_visible()
        await expect(visit.page.get_by_text("Nothing runs.")).to_be_visible()
        await expect(visit.page.get_by_role("img")).to_have_count(0)


async def test_what_runs_is_seen_and_stopped(browser: Browser, service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Half"), Silent())
    async with opened(browser, service) as visit, service.asking(headers={"x-user": "ann"}) as answer:
        stop = visit.page.get_by_role("button", name="Stop the turn of ann with small")
        await stop.click()
        assert b'"reason":"stopped"' in await answer.read()
        await until(lambda: upstream.aborted)
        await expect(stop).to_have_count(0)


async def test_the_ledger_is_exported_as_it_is_shown(
    browser: Browser, service: Service, upstream: Upstream
) -> None:
    await use(service, upstream)
    async with opened(browser, service, "?days=7&user=ann") as visit:
        lines: dict[str, list[str]] = {}
        for name, file in (("Ledger as CSV", "ledger.csv"), ("Ledger as JSON lines", "ledger.jsonl")):
            async with visit.page.expect_download() as download:
                await visit.page.get_by_role("link", name=name).click()
            saved = await download.value
            assert saved.suggested_filename == file
            lines[file] = (await saved.path()).read_text().splitlines()
        found: list[Json] = [json.loads(line) for line in lines["ledger.jsonl"]]
        assert len(lines["ledger.csv"]) == 1 + len(found) == 5
        assert {line["user"] for line in found} == {"ann"}


async def test_with_keys_one_logs_in_and_sees_what_is_ones_own(
    browser: Browser, service: Service, upstream: Upstream
) -> None:
    await use(service, upstream)
    key, text = await service.context.keys.create("bob", "user")
    async with opened(browser, service) as visit:
        page = visit.page
        field = page.get_by_label("Key")
        await expect(field).to_be_focused()
        await field.fill("ck-nothing")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("This key is not valid here.")
        await field.fill(text)
        await page.get_by_role("button", name="Log in").click()
        assert number((await tiles(visit))["Requests"]) == 1
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.get_by_role("table", name="Users")).to_have_count(0)
        async with page.expect_download() as download:
            await page.get_by_role("link", name="All that is kept of me").click()
        kept = (await (await download.value).path()).read_text()
        assert [json.loads(line)["type"] for line in kept.splitlines()] == ["turn", "record", "key"]
        assert text not in await page.content() + str(await page.evaluate("JSON.stringify(localStorage)"))
        await service.context.keys.revoke(key.id)
        await expect(field).to_be_visible()
        await expect(page.get_by_role("term")).to_have_count(0)
