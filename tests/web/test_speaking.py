"""Answers that are read aloud: by the real local voice, and by a server that speaks edge's protocol."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.conftest import ROW
from tests.edge_server import edge_server
from tests.serving import Service, serving
from tests.upstream import Done, Finish, Say, Upstream, Usage, until
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())
LONG = "The tide rises with the moon, and it falls with the moon as well. " * 20
NOTED = """
    window.heard = [];
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
        const note = ({ type }) => window.heard.push([type, this.currentTime]);
        if (window.played !== this)
            for (const type of ["playing", "ended"]) this.addEventListener(type, note);
        window.played = this;
        return play.call(this);
    };
"""


@asynccontextmanager
async def listening(
    browser: Browser, url: str, script: str = "", **options: object
) -> AsyncGenerator[Visit, None]:
    """A page that notes what is heard in it (`window.heard`), in which nothing may go wrong."""
    visit = await opened(browser, "about:blank", **options)
    visit.url = url
    visit.wrongs.clear()
    await visit.page.add_init_script(NOTED + script)
    await visit.page.goto(url)
    yield visit
    await visit.page.close()
    assert visit.wrongs == []


@pytest.fixture
async def visit(browser: Browser, service: Service) -> AsyncGenerator[Visit, None]:
    async with listening(browser, service.url) as visit:
        yield visit


def button(visit: Visit, state: str = "") -> Locator:
    """What starts and stops the voice of the last answer, in this state."""
    return visit.answer.locator(f".speak[data-state={state}]" if state else ".speak")


async def answered(visit: Visit, upstream: Upstream, text: str) -> None:
    upstream.script(Say(text), *END)
    await visit.ask("Say it")
    await visit.finished()


async def heard(visit: Visit) -> list[str]:
    """What the browser has told of the sound, in its order."""
    found: list[str] = await visit.page.evaluate("window.heard.map(([kind]) => kind)")
    return found


async def spoken(service: Service) -> list[str]:
    return [record["wire"] for record in await service.records() if record["kind"] == "speech"]


async def test_an_answer_is_heard_to_its_end(visit: Visit, upstream: Upstream, service: Service) -> None:
    await answered(visit, upstream, "The **sea** is wide. `It` is deep.")
    await visit.answer.get_by_role("button", name="Listen to the answer").click()
    await expect(button(visit, "speaking")).to_have_accessible_name("Stop speaking")
    await expect(button(visit, "silent")).to_have_text("Listen", timeout=15_000)
    assert (await heard(visit))[-1] == "ended"
    assert await visit.page.evaluate("window.heard.at(-1)[1]") > 1


async def test_it_is_stopped_by_its_button_and_by_escape(visit: Visit, upstream: Upstream) -> None:
    await answered(visit, upstream, LONG)
    for stop in ("click", "Escape"):
        await button(visit).click()
        await expect(button(visit, "speaking")).to_be_visible()
        await (button(visit).click() if stop == "click" else visit.page.keyboard.press(stop))
        await expect(button(visit, "silent")).to_be_visible()
        assert await visit.page.evaluate("window.played.paused")
    assert "ended" not in await heard(visit)
    await expect(visit.answer.get_by_role("alert")).to_have_count(0)


async def test_only_one_answer_is_heard_at_a_time(visit: Visit, upstream: Upstream) -> None:
    await answered(visit, upstream, LONG)
    await answered(visit, upstream, LONG.replace("moon", "sun"))
    first, second = visit.page.locator(".answer .speak").first, visit.page.locator(".answer .speak").last
    await first.click()
    await expect(first).to_have_attribute("data-state", "speaking")
    await second.click()
    await expect(first).to_have_attribute("data-state", "silent")
    await expect(second).to_have_attribute("data-state", "speaking")


async def test_an_answer_longer_than_any_address_is_heard(visit: Visit, upstream: Upstream) -> None:
    await answered(visit, upstream, LONG * 15)
    await button(visit).click()
    await expect(button(visit, "speaking")).to_be_visible()


async def test_the_voice_goes_on_while_another_question_is_asked(visit: Visit, upstream: Upstream) -> None:
    await answered(visit, upstream, LONG)
    first = visit.page.locator(".answer .speak").first
    await first.click()
    await expect(first).to_have_attribute("data-state", "speaking")
    await answered(visit, upstream, "Yes.")
    await expect(first).to_have_attribute("data-state", "speaking")
    await visit.page.get_by_role("button", name="New chat").first.click()
    await until_silent(visit)


async def until_silent(visit: Visit) -> None:
    for _ in range(100):
        if await visit.page.evaluate("window.played.paused"):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError("It still speaks.")


async def test_voice_and_speed_are_chosen_and_kept_on_the_device(visit: Visit, upstream: Upstream) -> None:
    await answered(visit, upstream, LONG)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.post_data or ""))
    for _ in range(2):
        await open_voices(visit)
        voices = visit.page.get_by_role("combobox", name="Voice")
        await expect(voices.locator("optgroup").first).to_have_attribute("label", "British English")
        await voices.select_option("en-GB")
        await visit.page.get_by_role("combobox", name="Speed").select_option("1.5")
        await visit.page.keyboard.press("Escape")
        await visit.page.reload()
    await button(visit).click()
    await expect(button(visit, "speaking")).to_be_visible()
    assert '"voice":"en-GB"' in "".join(asked)
    assert await visit.page.evaluate("window.played.playbackRate") == 1.5


async def open_voices(visit: Visit) -> None:
    await visit.page.get_by_role("button", name="Settings", exact=True).click()


async def test_a_voice_can_be_tried(visit: Visit) -> None:
    await open_voices(visit)
    await visit.page.get_by_role("button", name="Try it").click()
    speaking = visit.page.get_by_role("dialog").locator(".speak[data-state=speaking]")
    await expect(speaking).to_be_visible()
    await visit.page.keyboard.press("Escape")
    await until_silent(visit)


async def test_where_nobody_speaks_the_language_the_service_s_words_are_shown(
    visit: Visit, upstream: Upstream
) -> None:
    await answered(visit, upstream, "Столица Франции — Париж, и это всем давно известно.")
    await button(visit).click()
    await expect(visit.answer.get_by_role("alert")).to_contain_text("voice")
    await expect(button(visit, "silent")).to_be_visible()
    await button(visit).focus()
    await expect(button(visit)).to_be_focused()


async def test_what_has_no_words_says_so(visit: Visit, upstream: Upstream) -> None:
    await answered(visit, upstream, "🙂🙂")
    await button(visit).click()
    await expect(visit.answer.get_by_role("alert")).to_contain_text("nothing to say")
    await expect(button(visit, "silent")).to_be_visible()


async def test_the_first_sentence_is_heard_before_the_last_is_made_and_stopping_ends_the_work(
    browser: Browser, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROW.format(url=upstream.url)
    async with (
        edge_server(monkeypatch) as edge,
        serving(tmp_path, row, CAUSERIE_SPEECH_ORDER="edge") as service,
    ):
        edge.gate, edge.gated_from = asyncio.Event(), 60
        async with listening(browser, service.url) as visit:
            await answered(visit, upstream, LONG)
            await button(visit).click()
            await expect(button(visit, "speaking")).to_be_visible()
            assert edge.open == 1
            await button(visit).click()
            await until(lambda: edge.open == 0, 3)


async def test_what_breaks_off_is_heard_as_far_as_it_came(
    browser: Browser, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROW.format(url=upstream.url)
    async with (
        edge_server(monkeypatch) as edge,
        serving(tmp_path, row, CAUSERIE_SPEECH_ORDER="edge") as service,
    ):
        edge.cut_after = 8
        async with listening(browser, service.url) as visit:
            await answered(visit, upstream, LONG)
            await button(visit).click()
            await expect(visit.answer.get_by_role("alert")).to_contain_text("broke off", timeout=15_000)
            assert "playing" in await heard(visit)


async def test_a_browser_without_media_sources_plays_as_it_arrives(
    browser: Browser, service: Service, upstream: Upstream
) -> None:
    async with listening(browser, service.url, "delete window.MediaSource;") as visit:
        asked: list[str] = []
        visit.page.on("request", lambda request: asked.append(request.url))
        await answered(visit, upstream, "The sea is wide.")
        await button(visit).click()
        await expect(button(visit, "speaking")).to_be_visible()
        await expect(button(visit, "silent")).to_be_visible(timeout=15_000)
        assert (await heard(visit))[-1] == "ended"
        assert any(re.search(r"/synthesize/default\?turn=", url) for url in asked)
        await visit.page.route("**/synthesize/**", lambda route: route.fulfill(status=404))
        await button(visit).click()
        await expect(button(visit, "speaking")).to_be_visible()


async def test_who_has_logged_in_is_heard_to(browser: Browser, service: Service, upstream: Upstream) -> None:
    _, key = await service.context.keys.create("ada", "user")
    async with listening(browser, service.url) as visit:
        await visit.page.get_by_role("textbox", name="Key").fill(key)
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_role("dialog")).to_be_hidden()
        await answered(visit, upstream, "The sea is wide.")
        await button(visit).click()
        await expect(button(visit, "speaking")).to_be_visible()


async def test_on_a_telephone_in_russian(browser: Browser, service: Service, upstream: Upstream) -> None:
    async with listening(browser, service.url, **PHONE | {"locale": "ru-RU"}) as visit:
        await answered(visit, upstream, LONG)
        await visit.answer.get_by_role("button", name="Прослушать ответ").tap()
        await expect(visit.answer.get_by_role("button", name="Остановить чтение")).to_be_visible()
        assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
