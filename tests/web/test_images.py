"""Pictures and sounds of an answer: seen, opened large, saved; with a key, too, and when they are gone."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.edge_server import tone
from tests.generated import Show, inline, painted
from tests.serving import Service
from tests.upstream import Done, Finish, Say, Step, Upstream, Usage, words
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())
RED, BLUE = inline(painted("red")), inline(painted("blue", size=(300, 500)))


async def draw(visit: Visit, upstream: Upstream, *steps: Step) -> Locator:
    """The pictures of the answer."""
    upstream.script(*steps, *END)
    await visit.ask("A <red> bus")
    await visit.finished()
    return visit.answer.get_by_role("img")


async def pixels(image: Locator) -> tuple[int, int]:
    """Of what is shown, once it has arrived."""
    await expect(image).to_have_js_property("complete", True)
    width, height = await image.evaluate(
        "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    )
    return width, height


async def test_pictures_are_seen_with_their_words_now_and_after_a_reload(
    visit: Visit, upstream: Upstream
) -> None:
    pictures = await draw(visit, upstream, Say("Here **it** is:"), Show(RED, BLUE), Say(" Done."))
    for _ in range(2):
        await expect(pictures).to_have_count(2)
        await expect(pictures.first).to_have_attribute("alt", "A <red> bus")
        assert await pixels(pictures.first) > (0, 0)
        box = await pictures.nth(1).bounding_box()
        assert box and (round(box["width"]), round(box["height"])) == (240, 400)
        await expect(visit.answer.locator("strong")).to_have_text("it")
        await expect(visit.answer).not_to_contain_text("<img")
        await visit.page.reload()


async def test_a_picture_opens_large_and_leads_to_the_next(visit: Visit, upstream: Upstream) -> None:
    pictures = await draw(visit, upstream, Show(RED, BLUE))
    keyboard = visit.page.keyboard
    await visit.answer.get_by_role("button", name="Enlarge").first.focus()
    await keyboard.press("Enter")
    dialog = visit.page.get_by_role("dialog", name="Picture")
    large = dialog.get_by_role("img", name="A <red> bus")
    assert await pixels(large) == (800, 600)
    await expect(dialog).to_contain_text("A <red> bus")
    await expect(dialog.get_by_role("button", name="Previous picture")).to_be_disabled()
    await keyboard.press("ArrowRight")
    await expect(dialog.get_by_role("button", name="Next picture")).to_be_disabled()
    assert await pixels(large) == (300, 500)
    await keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(visit.answer.get_by_role("button", name="Enlarge").first).to_be_focused()
    await pictures.first.click()
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_be_hidden()


async def test_a_picture_can_be_saved(visit: Visit, upstream: Upstream, tmp_path: Path) -> None:
    await draw(visit, upstream, Show(RED))
    async with visit.page.expect_download() as saving:
        await visit.answer.get_by_role("link", name="Download: A <red> bus").click()
    saved = await saving.value
    assert re.fullmatch(r"\d+_.*red_bus.*\.png", saved.suggested_filename)
    await saved.save_as(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == painted("red")


async def test_what_lies_elsewhere_is_a_link_and_not_asked_for(visit: Visit, upstream: Upstream) -> None:
    pictures = await draw(visit, upstream, Show("https://pictures.invalid/bus.png"))
    await expect(pictures).to_have_count(0)
    link = visit.answer.get_by_role("link", name="open it at pictures.invalid")
    await expect(link).to_have_attribute("href", "https://pictures.invalid/bus.png")
    await expect(link).to_have_attribute("rel", re.compile("noreferrer"))


async def test_a_picture_that_is_gone_says_so(visit: Visit, upstream: Upstream, service: Service) -> None:
    await draw(visit, upstream, Show(RED))
    listed = await service.get("/v1/files", params={"purpose": "generated"})
    for file in listed["data"]:
        async with service.http.delete(f"{service.url}/v1/files/{file['id']}") as answer:
            assert answer.status == 200
    await visit.page.evaluate("caches.keys()")
    session = await visit.page.context.new_cdp_session(visit.page)
    await session.send("Network.clearBrowserCache")
    await visit.page.reload()
    await expect(visit.answer).to_contain_text("no longer there")


async def test_sounds_are_heard(visit: Visit, upstream: Upstream) -> None:
    sound = inline(b"".join(tone(3)), "audio/mpeg")
    await draw(visit, upstream, Show(sound), Say("Three words."))
    audio = visit.answer.locator("audio")
    await expect(audio).to_have_attribute("src", re.compile(r"^/media/.*\.mp3$"))
    await audio.evaluate("audio => { audio.playbackRate = 4; return audio.play(); }")
    await expect(audio).to_have_js_property("ended", True)
    await expect(visit.answer).to_contain_text("Three words.")
    await expect(visit.answer.get_by_role("link", name="Download")).to_be_visible()


async def test_what_only_looks_like_media_harms_nobody(visit: Visit, upstream: Upstream) -> None:
    attacks = (
        '<a href="javascript:window.ran=1" x><img src="https://evil.example/a.png" alt="a" onerror="1"></a>\n'
        '<a href="//evil.example/b" x><img src="//evil.example/b.png" alt="&lt;b onclick=1&gt;" ></a>\n'
        '<a href="data:text/html,<script>1</script>" x><img src="x" alt="c"></a>\n'
        '<audio controls src="https://evil.example/d.mp3"></audio>\n'
        '<a href="/backend-api/v2/chats" x><img src="/backend-api/v2/chats" alt="e"></a>\n'
    )
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    await draw(visit, upstream, *words(attacks))
    await expect(
        visit.answer.locator("img, audio, [onerror], a[href^='javascript'], a[href^='data']")
    ).to_have_count(0)
    await visit.says("<b onclick=1>")
    assert not [url for url in asked if "evil" in url or url.endswith("/chats")]
    assert await visit.page.evaluate("window.ran") is None


async def test_only_words_are_copied_and_counted_as_an_answer(visit: Visit, upstream: Upstream) -> None:
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await draw(visit, upstream, Show(RED), Say("A **bus**."))
    await visit.answer.get_by_role("button", name="Copy the answer").click()
    await expect(visit.page.get_by_role("button", name="Copied")).to_be_visible()
    assert await visit.page.evaluate("navigator.clipboard.readText()") == "A **bus**."
    await draw(visit, upstream, Show(RED))
    await expect(visit.answer.get_by_role("button", name="Copy the answer")).to_have_count(0)
    await expect(visit.answer).not_to_contain_text("nothing to say")


async def test_who_has_logged_in_sees_them(browser: Browser, service: Service, upstream: Upstream) -> None:
    _, key = await service.context.keys.create("ada", "user")
    visit = await opened(browser, service.url)
    await visit.page.get_by_role("textbox", name="Key").fill(key)
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("dialog")).to_be_hidden()
    pictures = await draw(visit, upstream, Show(RED))
    assert await pixels(pictures.first) > (0, 0)
    await pictures.first.click()
    assert await pixels(visit.page.get_by_role("dialog").get_by_role("img")) == (800, 600)
    assert visit.wrongs == []


async def test_on_a_telephone(browser: Browser, service: Service, upstream: Upstream) -> None:
    visit = await opened(browser, service.url, **PHONE | {"locale": "ru-RU"})
    pictures = await draw(visit, upstream, Show(inline(painted(size=(1600, 400))), BLUE))
    assert await pixels(pictures.first) > (0, 0)
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    await pictures.first.tap()
    dialog = visit.page.get_by_role("dialog", name="Изображение")
    box = await dialog.get_by_role("img").bounding_box()
    assert box and box["width"] <= 360
    await dialog.get_by_role("button", name="Закрыть").tap()
    await expect(dialog).to_be_hidden()
