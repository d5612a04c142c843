"""Files that go with a question: chosen, dropped and pasted in a real browser, read by the real service."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, FilePayload, Locator, expect

from tests.conftest import ROW
from tests.documents.made import pdf
from tests.generated import painted
from tests.serving import Service, serving
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

V2 = "/backend-api/v2"
NOTES = b"The launch code word is PINEAPPLE-42.\n"
END = (Finish(), Usage(), Done())
BY_HAND = """([kind, files]) => {
    const data = new DataTransfer();
    for (const [name, text, type] of files) data.items.add(new File([text], name, { type }));
    const at = kind === "paste" ? document.activeElement : document.body;
    const how = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
    return at.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, how) : new DragEvent(kind, how));
}"""


def file(name: str, content: bytes | str, kind: str = "text/plain") -> FilePayload:
    return {
        "name": name,
        "mimeType": kind,
        "buffer": content.encode() if isinstance(content, str) else content,
    }


def chips(visit: Visit, state: str = "ready") -> Locator:
    """The files above the field, in this state."""
    return visit.page.locator(f"#attachments [data-state={state}]")


async def attach(visit: Visit, *files: FilePayload) -> None:
    """By the button, and waits until they have been read."""
    async with visit.page.expect_file_chooser() as chooser:
        await visit.page.get_by_role("button", name="Attach files").click()
    await (await chooser.value).set_files(list(files))
    await expect(chips(visit)).to_have_count(len(files))


def sent(upstream: Upstream) -> Any:
    """What the model was told last."""
    return upstream.requests[-1].body["messages"][-1]["content"]


async def buckets(service: Service) -> list[str]:
    found: list[str] = await service.get(f"{V2}/buckets")
    return found


async def slowly(visit: Visit, rate: int) -> None:
    """From now on no more than so many bytes a second leave the browser."""
    session = await visit.page.context.new_cdp_session(visit.page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    await session.send("Network.emulateNetworkConditions", limits)


@pytest.fixture
async def small(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Service, None]:
    """A service whose limits are soon met."""
    limits = {"CAUSERIE_FILES_FILE_LIMIT": "100000", "CAUSERIE_FILES_CONTEXT_TOKENS": "1024"}
    async with serving(tmp_path, ROW.format(url=upstream.url), **limits) as service:
        yield service


async def test_documents_and_pictures_reach_the_model_and_stay_in_the_chat(
    visit: Visit, upstream: Upstream
) -> None:
    tides = pdf(["High tide is at six.", "Low tide is at noon."])
    picture = file("lighthouse.png", painted(), "image/png")
    await attach(visit, file("My notes.txt", NOTES), file("tides.pdf", tides, "application/pdf"), picture)
    await expect(chips(visit).nth(0)).to_contain_text("38 bytes")
    await expect(chips(visit).nth(1)).to_contain_text("2 pages")
    await visit.ask("What do you see?")
    await visit.finished()
    told = str(sent(upstream))
    assert "PINEAPPLE-42" in told and "Low tide is at noon" in told
    kinds = [part["type"] for part in sent(upstream)]
    assert kinds == ["text", "text", "image_url", "text"]
    await expect(visit.page.locator("#attachments")).to_be_hidden()
    for _ in range(2):
        question = visit.page.locator(".question")
        await expect(question.locator(".chip")).to_have_text(
            [re.compile("My notes.txt"), re.compile("tides.pdf")]
        )
        await expect(question.get_by_role("link", name="My notes.txt")).to_have_attribute(
            "href", re.compile("^/files/.*/media/My_notes.txt$")
        )
        await is_seen(question.get_by_role("img", name="lighthouse.png"))
        await visit.page.reload()
    await visit.ask("And again?")
    await visit.finished()
    assert str(upstream.requests[-1].body["messages"]).count("PINEAPPLE-42") == 1


async def is_seen(image: Locator) -> None:
    """It has arrived, and is a picture."""
    await expect(image).to_be_visible()
    await expect(image).to_have_js_property("complete", True)
    assert await image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


async def test_a_question_may_be_a_file_alone(visit: Visit, upstream: Upstream) -> None:
    await expect(visit.button).to_be_disabled()
    await attach(visit, file("notes.txt", NOTES))
    await visit.button.click()
    await visit.finished()
    assert "PINEAPPLE-42" in str(sent(upstream))
    await expect(visit.page).to_have_title(re.compile("notes.txt"))


async def test_files_are_dropped_anywhere(visit: Visit) -> None:
    files = [["one.txt", "One.", "text/plain"], ["two.md", "# Two", "text/markdown"]]
    sheet = visit.page.get_by_text("Drop files to attach them")
    await visit.page.evaluate(BY_HAND, ["dragenter", files])
    await expect(sheet).to_be_visible()
    await visit.page.evaluate(BY_HAND, ["dragleave", files])
    await expect(sheet).to_be_hidden()
    await visit.page.evaluate(BY_HAND, ["dragenter", files])
    assert not await visit.page.evaluate(BY_HAND, ["drop", files]), "the page would be left for the file"
    await expect(sheet).to_be_hidden()
    await expect(chips(visit)).to_have_count(2)


async def test_pictures_are_pasted_and_text_stays_text(visit: Visit) -> None:
    await visit.field.focus()
    assert not await visit.page.evaluate(BY_HAND, ["paste", [["image.txt", "A picture", "text/plain"]]])
    await expect(chips(visit)).to_have_count(1)
    both = BY_HAND.replace("return at", 'data.setData("text/plain", "A cell"); return at')
    assert await visit.page.evaluate(both, ["paste", [["cells.png", "A picture of it", "image/png"]]])
    await expect(visit.page.locator("#attachments li")).to_have_count(1)


async def test_the_sending_is_seen_and_can_be_cancelled(visit: Visit, service: Service) -> None:
    await slowly(visit, 200_000)
    await visit.page.locator("[type=file]").set_input_files([file("long.txt", "word " * 400_000)])
    bar = visit.page.get_by_role("progressbar", name="long.txt")
    await expect(bar).to_have_attribute("value", re.compile(r"^0\.[1-9]"))
    await expect(chips(visit, "sending")).to_contain_text("%")
    await visit.field.fill("Too early")
    await expect(visit.button).to_be_disabled()
    await visit.field.press("Enter")
    await expect(visit.page.locator("#announcement")).to_contain_text("have not arrived yet")
    async with visit.page.expect_event("requestfailed"):
        await visit.page.get_by_role("button", name="Cancel long.txt").click()
    await expect(visit.page.locator("#attachments li")).to_have_count(0)
    await expect(visit.button).to_be_enabled()
    await visit.ask("Without it")
    await visit.finished()
    assert await buckets(service) == []


async def test_what_is_removed_is_forgotten_by_the_service(visit: Visit, service: Service) -> None:
    await attach(visit, file("one.txt", "One."), file("two.txt", "Two."))
    assert len(await buckets(service)) == 2
    await visit.page.get_by_role("button", name="Remove one.txt").click()
    await expect(chips(visit)).to_have_text([re.compile("two.txt")])
    await expect(visit.page.get_by_role("button", name="Remove two.txt")).to_be_focused()
    await expect(visit.page.locator("#announcement")).to_have_text("one.txt is removed")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("button", name="Attach files")).to_be_focused()
    await expect(visit.page.locator("#attachments")).to_be_hidden()
    await visit.page.wait_for_timeout(300)
    assert await buckets(service) == []


async def test_what_cannot_be_attached_says_why_and_is_not_sent(
    browser: Browser, small: Service, upstream: Upstream
) -> None:
    visit = await opened(browser, small.url)
    files = [
        file("large.txt", "x" * 200_000),
        file("program.exe", b"MZ\0\0", "application/octet-stream"),
        file("empty.txt", ""),
        file("broken.png", painted()[:200], "image/png"),
        file("notes.txt", NOTES),
    ]
    await visit.page.locator("[type=file]").set_input_files(files)
    await expect(chips(visit, "failed")).to_have_count(4)
    for place, words in enumerate(
        ("100000 bytes", "neither read nor shown", "no text", "no picture that can be shown")
    ):
        await expect(chips(visit, "failed").nth(place)).to_contain_text(words)
    await expect(chips(visit)).to_have_count(1)
    await visit.ask("Which word?")
    await visit.finished()
    assert [part["type"] for part in sent(upstream)] == ["text", "text"]
    assert visit.wrongs == []


async def test_a_broken_connection_is_tried_again_by_hand(visit: Visit) -> None:
    await visit.page.route("**/files/*", lambda route: route.abort(), times=1)
    await visit.page.locator("[type=file]").set_input_files([file("notes.txt", NOTES)])
    await expect(chips(visit, "failed")).to_contain_text("The connection broke")
    await expect(visit.page.locator("#announcement")).to_contain_text("notes.txt was not attached")
    await visit.page.get_by_role("button", name="Try again: notes.txt").click()
    await expect(chips(visit)).to_contain_text("notes.txt")


async def test_many_files_are_sent_a_few_at_a_time(visit: Visit, upstream: Upstream) -> None:
    await visit.page.locator("[type=file]").set_input_files(
        [file(f"{n}.txt", f"Note {n}.") for n in range(12)]
    )
    await expect(chips(visit)).to_have_count(12)
    await visit.ask("All of them?")
    await visit.finished()
    assert all(f"Note {n}." in str(sent(upstream)) for n in range(12))


async def test_files_can_be_attached_while_an_answer_runs(visit: Visit, upstream: Upstream) -> None:
    import asyncio

    gate = asyncio.Event()
    upstream.enqueue((Say("Wait"), Gate(gate), *END))
    await visit.ask("First")
    await visit.says("Wait")
    await attach(visit, file("notes.txt", NOTES))
    await expect(visit.page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    gate.set()
    await visit.finished()
    await visit.ask("Second")
    await visit.finished()
    assert "PINEAPPLE-42" in str(sent(upstream))


async def test_an_answer_says_which_passages_it_rests_on(
    browser: Browser, small: Service, upstream: Upstream
) -> None:
    visit = await opened(browser, small.url)
    pages = [f"The tide number {number} rises in the harbour of place{number}." for number in range(150)]
    await attach(visit, file("tides.pdf", pdf(pages), "application/pdf"))
    await visit.ask("Which tide rises in place77?")
    await visit.finished()
    for _ in range(2):
        sources = visit.answer.locator(".sources")
        await expect(sources.locator("ol")).to_be_hidden()
        await sources.get_by_text("passages from the documents").focus()
        await visit.page.keyboard.press("Enter")
        await expect(sources.get_by_role("listitem").filter(has_text="page 78")).to_contain_text("place77")
        page = sources.get_by_role("link", name="page 78")
        await expect(page).to_have_attribute("href", re.compile("^/files/.*/media/tides.pdf#page=78$"))
        await visit.page.reload()
    assert visit.wrongs == []


async def test_a_file_s_name_is_only_a_name(visit: Visit, upstream: Upstream) -> None:
    name = '<img src=x onerror="window.ran=1">"\'.txt'
    await attach(visit, file(name, NOTES))
    await expect(chips(visit)).to_contain_text("<img src=x")
    await visit.ask("Attack")
    await visit.finished()
    await visit.page.reload()
    await expect(visit.page.locator(".question .chip")).to_contain_text("<img src=x")
    assert await visit.page.evaluate("window.ran") is None


async def test_all_by_keyboard(visit: Visit) -> None:
    await expect(visit.page.get_by_text("Ready to answer")).to_be_visible()
    async with visit.page.expect_file_chooser() as chooser:
        await visit.field.focus()
        await visit.page.keyboard.press("Shift+Tab")
        await expect(visit.page.get_by_role("button", name="Attach files")).to_be_focused()
        await visit.page.keyboard.press("Enter")
    await (await chooser.value).set_files([file("notes.txt", NOTES)])
    await expect(visit.page.locator("#announcement")).to_have_text("notes.txt is attached")


async def test_who_has_logged_in_sees_his_pictures(browser: Browser, service: Service) -> None:
    _, key = await service.context.keys.create("ada", "user")
    visit = await opened(browser, service.url)
    await visit.page.get_by_role("textbox", name="Key").fill(key)
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("dialog")).to_be_hidden()
    await attach(visit, file("lighthouse.png", painted(), "image/png"), file("notes.txt", NOTES))
    await visit.ask("What is it?")
    await visit.finished()
    await is_seen(visit.page.locator(".question").get_by_role("img", name="lighthouse.png"))
    href = await visit.page.locator(".question .chip").get_attribute("href")
    assert (await visit.page.request.get(f"{service.url}{href}")).status == 200
    async with service.http.get(f"{service.url}{href}") as answer:
        assert answer.status == 401
    assert visit.wrongs == []


async def test_on_a_telephone_in_russian(browser: Browser, service: Service) -> None:
    visit = await opened(browser, service.url, **PHONE | {"locale": "ru-RU"})
    files = [file(f"Заметки {number}.txt", NOTES) for number in range(4)]
    await visit.page.locator("[type=file]").set_input_files(files)
    await expect(chips(visit)).to_have_count(4)
    await expect(visit.page.get_by_role("button", name="Убрать Заметки 1.txt")).to_be_visible()
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    await visit.ask("Что это?")
    await visit.finished()
    await expect(visit.page.locator(".question .chip")).to_have_count(4)
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360


async def test_a_file_that_is_gone_leaves_its_name(visit: Visit, service: Service) -> None:
    await attach(visit, file("lighthouse.png", painted(), "image/png"))
    await visit.ask("What is it?")
    await visit.finished()
    (bucket,) = await buckets(service)
    async with service.http.delete(f"{service.url}{V2}/files/{bucket}") as answer:
        assert answer.status == 200
    await visit.page.reload()
    await expect(visit.page.locator(".question")).to_contain_text("lighthouse.png")
    await expect(visit.page.locator(".question img")).to_have_count(0)
