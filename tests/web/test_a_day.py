"""A day with the page, from the first start until the last chat is deleted: one visitor, one story."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, Locator, expect

from tests.conftest import ROW
from tests.documents.made import pdf
from tests.serving import Service, serving
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until
from tests.web.visit import Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())
FIRST = "Why is there a tide?"
PAGES = [f"The tide number {number} rises in the harbour of place{number}." for number in range(150)]
TIDES: FilePayload = {"name": "tides.pdf", "mimeType": "application/pdf", "buffer": pdf(PAGES)}


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Service, None]:
    """Of a long document it sends passages."""
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_FILES_CONTEXT_TOKENS="1024") as service:
        yield service


async def test_a_day(
    visit: Visit, browser: Browser, service: Service, upstream: Upstream, tmp_path: Path
) -> None:
    await begins(visit, upstream)
    await asks_about_a_document(visit, upstream)
    await listens(visit)
    guest = await shares(visit, browser)
    await goes_on_while_the_guest_reads(visit, guest, upstream)
    await reloads_in_mid_answer(visit, upstream)
    await reads_one_answer_in_two_tabs(visit, upstream)
    await stops(visit, upstream)
    await asks_again(visit, upstream)
    await searches(visit, upstream)
    kept = await exports(visit, tmp_path / "chats.json")
    await deletes(visit, guest)
    await imports(visit, kept)
    assert guest.wrongs == []
    await the_books_add_up(service, upstream)


async def begins(visit: Visit, upstream: Upstream) -> None:
    await expect(visit.page.get_by_text("What shall we talk about?")).to_be_visible()
    await expect(visit.page.locator("#chats")).to_contain_text("Your chats will be here.")
    upstream.script(Say("Because of the **moon**, "), Say("twice a day."), *END)
    await visit.ask(FIRST)
    await visit.finished()
    await expect(visit.answer.locator("strong")).to_have_text("moon")
    await expect(in_the_list(visit, FIRST)).to_be_visible()


async def asks_about_a_document(visit: Visit, upstream: Upstream) -> None:
    await visit.page.locator("[type=file]").first.set_input_files(TIDES)
    await expect(visit.page.locator("#attachments [data-state=ready]")).to_contain_text("150 pages")
    upstream.script(Say("The one with the number 77."), *END)
    await visit.ask("Which tide rises in place77?")
    await visit.finished()
    await visit.answer.get_by_text("passages from the documents").click()
    passage = visit.answer.locator(".sources").get_by_role("listitem").filter(has_text="page 78")
    await expect(passage).to_contain_text("place77")


async def listens(visit: Visit) -> None:
    await visit.answer.get_by_role("button", name="Listen to the answer").click()
    voice = visit.answer.locator(".speak")
    await expect(voice).to_have_attribute("data-state", "speaking", timeout=15_000)
    await voice.click()
    await expect(voice).to_have_attribute("data-state", "silent")


async def shares(visit: Visit, browser: Browser) -> Visit:
    """The guest, who has the link and nothing else."""
    await visit.page.get_by_role("button", name="Share this chat").click()
    await visit.page.get_by_role("button", name="Make a link").click()
    link = await visit.page.get_by_role("textbox", name="Link").input_value()
    await visit.page.keyboard.press("Escape")
    guest = await opened(browser, visit.url)
    await guest.page.goto(link)
    await expect(guest.page.get_by_role("heading", level=1)).to_have_text(FIRST)
    await expect(guest.page.locator(".answer")).to_have_count(2)
    await expect(guest.page.get_by_role("list", name="Attached files")).to_have_text("PDFtides.pdf")
    return guest


async def goes_on_while_the_guest_reads(visit: Visit, guest: Visit, upstream: Upstream) -> None:
    upstream.script(Say("At sea, hardly."), *END)
    await visit.ask("Is it felt at sea?")
    await visit.finished()
    await expect(guest.page.locator(".answer").last).to_contain_text("At sea, hardly.", timeout=15_000)


async def reloads_in_mid_answer(visit: Visit, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("It pulls "), Gate(gate), Say("the water."), *END)
    await visit.ask("How does the moon do it?")
    await visit.says("It pulls")
    await visit.page.reload()
    await visit.says("It pulls")
    gate.set()
    await visit.says("It pulls the water.")
    await visit.finished()
    await expect(visit.page.locator(".answer")).to_have_count(4)


async def reads_one_answer_in_two_tabs(visit: Visit, upstream: Upstream) -> None:
    gate, asked = asyncio.Event(), len(upstream.requests)
    upstream.script(Say("Yes, "), Gate(gate), Say("half as much."), *END)
    await visit.ask("And the sun?")
    await visit.says("Yes,")
    second = Visit(await visit.page.context.new_page(), visit.url)
    await second.page.goto(visit.page.url)
    await second.says("Yes,")
    gate.set()
    for tab in (visit, second):
        await tab.says("Yes, half as much.")
        await tab.finished()
    assert len(upstream.requests) == asked + 1
    assert second.wrongs == []
    await second.page.close()


async def stops(visit: Visit, upstream: Upstream) -> None:
    aborted = len(upstream.aborted)
    upstream.script(Say("Once upon a time"), Gate(asyncio.Event()))
    await visit.ask("Tell me a long story of the sea")
    await visit.says("Once upon a time")
    await visit.page.get_by_role("button", name="Stop", exact=True).click()
    await visit.finished()
    await visit.says("Once upon a time")
    await until(lambda: len(upstream.aborted) == aborted + 1)


async def asks_again(visit: Visit, upstream: Upstream) -> None:
    upstream.script(Say("A boat went out. It came back."), *END)
    await visit.answer.get_by_role("button", name="Answer again").click()
    await visit.says("It came back.")
    await visit.finished()
    await expect(visit.answer.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
    await visit.answer.get_by_role("button", name="Previous variant").click()
    await visit.says("Once upon a time")
    await visit.answer.get_by_role("button", name="Next variant").click()
    await visit.says("It came back.")


async def searches(visit: Visit, upstream: Upstream) -> None:
    await visit.page.get_by_role("button", name="New chat").first.click()
    upstream.script(Say("Flour, water and yeast."), *END)
    await visit.ask("What is bread made of?")
    await visit.finished()
    await visit.page.get_by_role("searchbox", name="Search the chats").fill("boat")
    await expect(visit.page.locator("#chats mark")).to_have_text("boat")
    await expect(visit.page.locator("#chats li")).to_have_count(1)
    await visit.page.get_by_role("link", name=FIRST).click()
    await visit.says("A boat went out.")
    await visit.page.get_by_role("searchbox", name="Search the chats").fill("")
    await expect(visit.page.locator("#chats li")).to_have_count(2)


async def exports(visit: Visit, file: Path) -> Path:
    await visit.page.get_by_role("button", name="Settings").click()
    async with visit.page.expect_download() as everything:
        await settings(visit).get_by_role("link", name="Export all").click()
    await (await everything.value).save_as(file)
    return file


async def deletes(visit: Visit, guest: Visit) -> None:
    """With the chats goes what was shared of them."""
    await settings(visit).get_by_role("button", name="Delete all chats").click()
    await visit.page.get_by_role("button", name="Delete", exact=True).click()
    await expect(settings(visit).locator(".status")).to_have_text("All chats were deleted.")
    await expect(visit.page.locator("#chats")).to_contain_text("Your chats will be here.")
    await expect(guest.page.locator("#notice")).to_contain_text("not shared any more", timeout=15_000)


async def imports(visit: Visit, kept: Path) -> None:
    await settings(visit).get_by_label("Import a file").last.set_input_files(kept)
    await expect(settings(visit).locator(".status")).to_have_text("2 chats were imported.")
    await visit.page.keyboard.press("Escape")
    await in_the_list(visit, FIRST).click()
    await expect(visit.page.locator(".answer")).to_have_count(6)
    await expect(visit.answer.get_by_role("group", name="Variant 2 of 2")).to_be_visible()


async def the_books_add_up(service: Service, upstream: Upstream) -> None:
    """One record for each question, with what the provider billed; an estimate where it was stopped."""
    records = [record for record in await service.records() if record["kind"] == "turn"]
    assert sorted(record["ending"] for record in records) == ["done"] * 7 + ["stopped"]
    told = [record for record in records if record["usage_source"] == "provider"]
    billed = Counter(upstream.bill)
    assert len(told) == 7 == billed.total() - 1
    assert not Counter((record["prompt_tokens"], record["completion_tokens"]) for record in told) - billed


def in_the_list(visit: Visit, title: str) -> Locator:
    return visit.page.locator("#chats").get_by_role("link", name=re.compile(re.escape(title)))


def settings(visit: Visit) -> Locator:
    return visit.page.get_by_role("dialog", name="Settings")
