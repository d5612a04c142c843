"""axe-core examines every page, in both themes, on a desk and on a telephone: it finds nothing serious.

axe-core is read from npm and told to the browser by its debugger, which no content security policy hinders.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, expect

from tests import npm
from tests.generated import Show, inline, painted
from tests.serving import Json, Service
from tests.upstream import Done, Finish, Gate, Reason, Say, Status, Upstream, Usage
from tests.web.visit import Visit, opened

pytestmark = pytest.mark.slow

WIDTHS = (1280, 390)
HEIGHT = 844
END = (Finish(), Usage(), Done())
SETTLED = """async () => {
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    await Promise.all(document.getAnimations()
        .filter((animation) => animation.effect.getComputedTiming().endTime !== Infinity)
        .map((animation) => animation.finished.catch(() => {})));
}"""
FINDINGS = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
    ({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.map(({ target, failureSummary }) =>
        [target.join(" "), failureSummary]) }))"""
MUCH = (
    """
# The tide

It **comes** and *goes*, as [the moon](https://example.com/) `wants`.

| Port | High | Low | Height | Remarks |
|:--|--:|--:|:-:|---|
| Saint-Malo | 06:12 | 12:40 | 12.8 m | the highest of the whole coast, twice a month |

> Who waits for it, waits.

1. One
   - and a half

---

```python
def tide(day: int) -> float:
    return 6.2 + 3.1 * cos(day)  # in metres, over the lowest level that was ever seen in this harbour
```

"""
    + "A long text. " * 200
)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script, as package-lock.json has it."""
    directory = tmp_path_factory.mktemp("axe")
    npm.install(Path(__file__).parent, directory)
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
async def visit(browser: Browser, service: Service) -> AsyncGenerator[Visit, None]:
    visit = await opened(browser, service.url, reduced_motion="reduce")
    yield visit
    await visit.page.context.close()
    assert visit.wrongs == []


async def findings(visit: Visit, axe: str, *widths: int) -> list[Json]:
    """What is serious or critical of the page as it stands, in each theme, and at each of these widths."""
    found: list[Json] = []
    await visit.page.evaluate(axe)
    for width in widths or WIDTHS:
        await visit.page.set_viewport_size({"width": width, "height": HEIGHT})
        for theme in ("light", "dark"):
            await visit.page.emulate_media(color_scheme=theme)
            await visit.page.evaluate(SETTLED)
            all_of_it: list[Json] = await visit.page.evaluate(FINDINGS)
            found += [{"at": (width, theme)} | finding for finding in all_of_it]
    return [finding for finding in found if finding["impact"] in {"serious", "critical"}]


async def test_axe_examines_the_page(visit: Visit, axe: str) -> None:
    await visit.page.locator("main").evaluate("node => node.append(document.createElement('img'))")
    found = await findings(visit, axe)
    assert [finding["id"] for finding in found] == ["image-alt"] * 4


async def test_the_welcome(visit: Visit, axe: str) -> None:
    await expect(visit.page.locator("#state")).to_contain_text("Ready")
    assert await findings(visit, axe) == []


async def test_a_chat_with_all_that_a_model_writes(visit: Visit, upstream: Upstream, axe: str) -> None:
    upstream.script(Reason("Let me see."), Say(MUCH), Show(inline(painted())), *END)
    await visit.page.locator("[type=file]").first.set_input_files(
        [
            FilePayload(name="tides.txt", mimeType="text/plain", buffer=b"High at six."),
            FilePayload(name="port.png", mimeType="image/png", buffer=painted("blue")),
        ]
    )
    await expect(visit.page.locator("#attachments [data-state=ready]")).to_have_count(2)
    assert await findings(visit, axe) == []
    await visit.ask("What is the tide?\n" + "And the moon? " * 50)
    await visit.finished()
    await visit.answer.locator("summary").first.click()
    assert await findings(visit, axe) == []


async def test_an_answer_under_way(visit: Visit, upstream: Upstream, axe: str) -> None:
    gate = asyncio.Event()
    upstream.script(Reason("Let me see."), Gate(gate), Say("Yes."), *END)
    await visit.ask("Is it?")
    await visit.says("Let me see.")
    assert await findings(visit, axe) == []
    gate.set()
    await visit.finished()


async def test_an_error_and_variants(visit: Visit, upstream: Upstream, axe: str) -> None:
    await visit.ask("Try")
    await visit.finished()
    upstream.script(Status(401))
    await visit.page.get_by_role("button", name="Answer again").click()
    await expect(visit.answer.locator(".failure")).to_be_visible()
    assert await findings(visit, axe) == []


async def test_the_side_bar(visit: Visit, axe: str) -> None:
    """Full of chats; searched; as a drawer on a telephone; with a menu, and with a title that is changed."""
    page = visit.page
    await visit.ask("What is the tide?")
    await visit.finished()
    await page.get_by_role("button", name="New chat").first.click()
    await visit.ask("What is the moon?")
    await visit.finished()
    more = page.get_by_role("button", name="More about “What is the tide?”")
    await more.click()
    assert await findings(visit, axe, 1280) == []
    await page.get_by_role("menuitem", name="Star").click()
    await expect(page.get_by_role("region", name="Starred")).to_be_visible()
    await page.get_by_role("searchbox").fill("tide")
    await expect(page.locator("#chats mark").first).to_have_text("tide")
    assert await findings(visit, axe, 1280) == []
    await page.set_viewport_size({"width": 390, "height": HEIGHT})
    await page.get_by_role("button", name="Show the chats").click()
    assert await findings(visit, axe, 390) == []
    await more.click()
    assert await findings(visit, axe, 390) == []
    await page.get_by_role("menuitem", name="Rename").click()
    assert await findings(visit, axe, 390) == []


async def test_dialogs(visit: Visit, axe: str) -> None:
    page = visit.page
    await visit.ask("What is the tide?")
    await visit.finished()
    for name in ("Model: Auto", "How this chat is answered", "Share this chat", "Settings"):
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await findings(visit, axe, 390, 1280) == [], name
        if name == "Share this chat":
            await page.get_by_role("button", name="Make a link").click()
            await expect(page.get_by_role("textbox", name="Link")).to_be_visible()
            assert await findings(visit, axe, 390, 1280) == []
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("Control+/")
    assert await findings(visit, axe, 390, 1280) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Edit").click()
    assert await findings(visit, axe, 390, 1280) == []
    await page.get_by_role("button", name="More about").click()
    await page.get_by_role("menuitem", name="Delete").click()
    assert await findings(visit, axe, 1280) == []


async def test_a_picture_that_is_opened(visit: Visit, upstream: Upstream, axe: str) -> None:
    upstream.script(Show(inline(painted()), inline(painted("blue"))), *END)
    await visit.ask("A bus")
    await visit.finished()
    await visit.answer.get_by_role("button", name="Enlarge").first.click()
    await expect(visit.page.get_by_role("dialog", name="Picture")).to_be_visible()
    assert await findings(visit, axe) == []


async def test_a_chat_that_is_not_there(visit: Visit, axe: str) -> None:
    await visit.page.goto(f"{visit.url}/chat/nobodys")
    await expect(visit.page.locator("#notice")).to_be_visible()
    assert await findings(visit, axe) == []


async def test_a_shared_chat(visit: Visit, service: Service, upstream: Upstream, axe: str) -> None:
    upstream.script(Reason("Let me see."), Say(MUCH), *END)
    await visit.ask("What is the tide?")
    await visit.finished()
    chat = visit.page.url.rpartition("/")[2]
    async with service.http.put(f"{service.url}/backend-api/v2/chats/{chat}/share", json={}) as answer:
        await visit.page.goto(service.url + (await answer.json())["url"])
    await expect(visit.page.locator(".answer table")).to_be_visible()
    await visit.page.locator("summary").click()
    assert await findings(visit, axe) == []
    await visit.page.goto(f"{service.url}/share/nothing-is-shared-here")
    await expect(visit.page.locator("#notice")).not_to_contain_text("…")
    assert await findings(visit, axe) == []


async def test_statistics(visit: Visit, axe: str) -> None:
    await visit.page.goto(f"{visit.url}/stats/")
    await expect(visit.page.locator("#empty")).to_be_visible()
    assert await findings(visit, axe) == []
    await visit.page.goto(visit.url)
    await visit.ask("What is the tide?")
    await visit.finished()
    await visit.page.goto(f"{visit.url}/stats/")
    await expect(visit.page.get_by_role("table", name="Models")).to_be_visible()
    await visit.page.get_by_text("As a table").first.click()
    assert await findings(visit, axe) == []


async def test_keys_and_the_form_that_asks_for_one(visit: Visit, service: Service, axe: str) -> None:
    page = visit.page
    await page.goto(f"{visit.url}/keys/")
    await expect(page.locator("#make")).to_be_visible()
    assert await findings(visit, axe) == []
    await page.locator("#make").click()
    assert await findings(visit, axe) == []
    await page.keyboard.press("Escape")
    await service.context.keys.create("ada", "admin")
    await service.context.keys.create("bob", "user")
    for path in ("/", "/stats/", "/keys/"):
        await page.goto(visit.url + path)
        await expect(page.get_by_label("Key", exact=True)).to_be_visible()
        assert await findings(visit, axe) == [], path
