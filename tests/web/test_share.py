"""The page of a shared chat in a real browser: who has the link reads, and nothing in the chat can run."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from service.stores.chats import Chat, Message
from tests.generated import inline, painted
from tests.serving import Json, Service
from tests.web.visit import DESK, PHONE, Visit

pytestmark = pytest.mark.slow

V2 = "/backend-api/v2"
ID = "5b1f0c7e-3a52-4e0e-9a55-0d1b8a2f6c11"
PICTURE = inline(painted(size=(8, 8)))
MARKDOWN = "# Water\n\nIt is **wet**.\n\n```python\nprint('wet')\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"


async def kept(service: Service, user: str, *said: Any) -> str:
    """A chat of the server's, and the id under which it is shared."""
    messages = [
        Message(
            number=place, parent=place - 1 or None, role="user" if place % 2 else "assistant", content=each
        )
        for place, each in enumerate(said, 1)
    ]
    await service.context.chats.add(
        user, Chat(id="c-1", title="The sea", messages=messages, leaf=len(messages))
    )
    return (await service.context.shares.share(user, "c-1", None)).id


async def reading(browser: Browser, service: Service, id: str, **options: Any) -> Visit:
    """The page of a share, in a browser that has seen nothing of the service."""
    context = await browser.new_context(**DESK | options)
    visit = Visit(await context.new_page(), service.url)
    await visit.page.goto(f"{service.url}/share/{id}")
    return visit


@pytest.fixture
async def reader(browser: Browser, service: Service) -> AsyncGenerator[Visit, None]:
    """Somebody without a key, where keys are needed; nothing may go wrong in his browser."""
    await service.context.keys.create("ada", "user")
    id = await kept(service, "ada", "What is the sea?", MARKDOWN)
    visit = await reading(browser, service, id)
    yield visit
    await visit.page.close()
    assert visit.wrongs == []


def counted(page: Page) -> list[int]:
    """The statuses with which the page's questions are answered."""
    statuses: list[int] = []
    page.on(
        "response", lambda answer: statuses.append(answer.status) if answer.url.endswith("/page") else None
    )
    return statuses


async def test_whoever_has_the_link_reads_without_an_account(reader: Visit) -> None:
    page = reader.page
    await expect(page.get_by_role("heading", level=1)).to_have_text("The sea")
    await expect(page).to_have_title("The sea · Causerie")
    await expect(page.locator(".question")).to_have_text("YouWhat is the sea?")
    await expect(page.locator(".answer strong")).to_have_text("wet")
    await expect(page.locator(".answer figure.code pre")).to_contain_text("print('wet')")
    await expect(page.get_by_role("button", name="Copy the code")).to_be_visible()
    await expect(page.locator(".answer table")).to_be_visible()
    await expect(page.locator("#notice")).to_be_empty()
    assert await page.locator("textarea, dialog").count() == 0


async def test_it_is_kept_up_to_date_while_somebody_looks(reader: Visit, service: Service) -> None:
    page = reader.page
    await expect(page.locator(".answer strong")).to_have_text("wet")
    statuses = counted(page)
    first = await page.locator(".question").element_handle()
    chat = await service.context.chats.find("ada", "c-1")
    await service.context.chats.change("ada", "c-1", leaf=chat.messages[0].number, title="The lake")
    await expect(page.get_by_role("heading", level=1)).to_have_text("The lake", timeout=10_000)
    await expect(page.locator(".answer")).to_have_count(0)
    assert await first.evaluate("node => node.isConnected")
    await expect(page.locator("#announcement")).to_have_text("The chat has changed")
    async with asyncio.timeout(15):
        while 304 not in statuses:
            await page.wait_for_timeout(100)


HIDE = """hidden => {
    const value = hidden ? "hidden" : "visible";
    Object.defineProperty(document, "visibilityState", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


async def test_nobody_asks_while_nobody_looks(reader: Visit) -> None:
    await expect(reader.page.locator(".answer strong")).to_have_text("wet")
    await reader.page.evaluate(HIDE, True)
    statuses = counted(reader.page)
    await reader.page.wait_for_timeout(6_000)
    assert statuses == []
    await reader.page.evaluate(HIDE, False)
    async with asyncio.timeout(3):
        while statuses != [304]:
            await reader.page.wait_for_timeout(50)


async def test_what_is_not_shared_any_more_disappears(reader: Visit, service: Service) -> None:
    await expect(reader.page.locator(".answer strong")).to_have_text("wet")
    await service.context.shares.unshare("ada", "c-1")
    await expect(reader.page.locator("#notice")).to_contain_text("not shared any more", timeout=10_000)
    await expect(reader.page.locator("article")).to_have_count(0)
    await expect(reader.page.get_by_text("The sea")).to_have_count(0)


async def test_a_service_that_is_away_for_a_while_costs_nothing(reader: Visit) -> None:
    page = reader.page
    await expect(page.locator(".answer strong")).to_have_text("wet")
    await page.route("**/page", lambda route: route.abort())
    await expect(page.locator("#notice")).to_contain_text("cannot be read now", timeout=10_000)
    await expect(page.locator(".answer strong")).to_have_text("wet")
    await page.unroute("**/page")
    await expect(page.locator("#notice")).to_be_empty(timeout=10_000)


@pytest.mark.parametrize("id", ["nothing", "_"])
async def test_a_link_to_nothing_says_so(id: str, browser: Browser, service: Service) -> None:
    visit = await reading(browser, service, id)
    await expect(visit.page.locator("#notice")).to_contain_text("There is no chat to be read here")
    assert visit.wrongs == []


VECTORS = [
    "<script>window.run = 1</script>",
    "<img src=x onerror='window.run = 1'>",
    "<svg onload=window.run=1>",
    "[x](javascript:window.run=1)",
    "![x](javascript:window.run=1)",
    "<a href='javascript:window.run=1'>x</a>",
    "<iframe srcdoc='<script>parent.run=1</script>'></iframe>",
    "```html\n</code></pre><script>window.run=1</script>\n```",
    '"><script>window.run=1</script>',
    "<math><mtext><table><mglyph><style><img src=x onerror=window.run=1>",
    "[x](data:text/html,<script>window.run=1</script>)",
    "<meta http-equiv=refresh content='0;url=javascript:window.run=1'>",
]


async def test_nothing_in_a_shared_chat_runs(browser: Browser, service: Service) -> None:
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in VECTORS]
    items: list[Json] = [
        {"role": "user", "content": [{"type": "text", "text": v}, *pictures]} for v in VECTORS
    ]
    for vector in VECTORS:
        provider = {"name": vector, "model": vector}
        items.append(
            {"role": "assistant", "content": vector, "provider": provider, "reasoning": {"text": vector}}
        )
    body = {"title": VECTORS[0] + VECTORS[1], "updated": 1, "items": items}
    assert (await service.post(f"{V2}/chat/{ID}", body))[0] == 200
    visit = await reading(browser, service, ID)
    await expect(visit.page.locator(".answer")).to_have_count(len(VECTORS))
    await visit.page.evaluate(
        "document.querySelectorAll('a').forEach((link) => link.href.startsWith('javascript'))"
    )
    assert await visit.page.evaluate("window.run") is None
    assert (
        await visit.page.locator("main :is(script, iframe, svg:not(.icon), meta, style, math)").count() == 0
    )
    assert await visit.page.locator("main img").count() == 0
    assert (
        await visit.page.evaluate(
            "[...document.links].filter(({ protocol }) => !/^https?:$/.test(protocol)).length"
        )
        == 0
    )
    assert visit.wrongs == []


async def test_pictures_in_the_chat_are_shown_and_no_others(browser: Browser, service: Service) -> None:
    urls = (PICTURE, "https://spy.example/x.png", "/media/x.png")
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = {"updated": 1, "items": [{"role": "user", "content": parts}]}
    assert (await service.post(f"{V2}/chat/{ID}", body))[0] == 200
    visit = await reading(browser, service, ID)
    await expect(visit.page.get_by_alt_text("A picture in the chat")).to_have_count(1)
    assert await visit.page.get_by_alt_text("A picture in the chat").get_attribute("src") == PICTURE
    assert visit.wrongs == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_it_fits_a_telephone_and_a_desk(
    scheme: Any, width: int, browser: Browser, service: Service
) -> None:
    long = "A word and averyveryverylongwordwithoutanyspaceinit" * 4
    id = await kept(service, "local", long, MARKDOWN + f"\n\n{long}\n\n```\n{long}\n```")
    device = PHONE if width == 390 else {}
    size = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "locale": "ru-RU"}
    visit = await reading(browser, service, id, **device | size)
    page = visit.page
    await expect(page.locator(".answer strong")).to_have_text("wet")
    await expect(page.get_by_text("Чат по ссылке")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    paper, ink = await page.evaluate(
        "(({ backgroundColor, color }) => [backgroundColor, color])(getComputedStyle(document.body))"
    )
    assert (int(paper[4:].split(",")[0]) > 128) == (scheme == "light") == (int(ink[4:].split(",")[0]) < 128)


async def test_it_speaks_two_languages(reader: Visit) -> None:
    said = await reader.page.evaluate(
        "async () => Object.values((await import('/web/messages.js')).messages).map(Object.keys)"
    )
    assert said[0] == said[1]
