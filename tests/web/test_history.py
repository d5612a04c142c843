"""The side bar: chats that the service keeps, on whichever device they were begun."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from service.stores.chats import Chat, Message
from tests.serving import Service
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())
DAY = 86_400
CHATS = "/backend-api/v2/chats"


async def add(service: Service, title: str, *said: str, days: float = 0, user: str = "local") -> None:
    """Keeps a chat: questions and answers by turns, last used so many days ago."""
    messages = [
        Message(role="assistant" if place % 2 else "user", content=text, parent=place or None)
        for place, text in enumerate(said)
    ]
    chat = Chat(id=title.replace(" ", "-"), title=title, messages=messages)
    chat.updated_at = chat.created_at = chat.created_at - days * DAY
    chat.leaf = len(messages)
    await service.context.chats.add(user, chat)


def row(visit: Visit, title: str) -> Locator:
    return visit.page.locator("#chats li", has_text=title)


async def choose(visit: Visit, title: str, act: str) -> None:
    """Opens the menu of a chat, and chooses from it."""
    await row(visit, title).hover()
    await visit.page.get_by_role("button", name=f"More about “{title}”").click()
    await visit.page.get_by_role("menuitem", name=act, exact=True).click()


async def titles(visit: Visit) -> list[str]:
    return await visit.page.locator("#chats .title").all_inner_texts()


async def test_chats_stand_by_their_days_and_have_addresses(
    visit: Visit, service: Service, browser: Browser
) -> None:
    await add(service, "Bread", "Why does bread rise?", "**Yeast** eats sugar.", days=1)
    await add(service, "Tides", "Whence tides?", "The moon.", days=20)
    await visit.ask("What is the sea?")
    await visit.finished()
    await expect(visit.page.locator("#chats h3")).to_have_text(["Today", "Yesterday", "Previous 30 days"])
    assert await titles(visit) == ["What is the sea?", "Bread", "Tides"]
    first = visit.page.url
    assert re.fullmatch(rf"{visit.url}/chat/[0-9a-f]{{32}}", first)
    await visit.page.get_by_role("link", name="Bread").click()
    await expect(visit.answer.locator("strong")).to_have_text("Yeast")
    await expect(visit.page).to_have_url(f"{visit.url}/chat/Bread")
    await expect(visit.page).to_have_title("Bread · Causerie")
    await expect(visit.page.get_by_role("link", name="Bread")).to_have_attribute("aria-current", "page")
    await visit.page.go_back()
    await visit.says("Hello from the upstream.")
    await expect(visit.page).to_have_url(first)
    await visit.page.go_forward()
    await visit.says("Yeast eats sugar.")
    await visit.page.reload()
    await visit.says("Yeast eats sugar.")


async def test_another_device_sees_a_chat_and_reads_its_answer(
    visit: Visit, browser: Browser, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("As far as"), Gate(gate), Say(" the end."), *END)
    await visit.ask("Go on")
    await visit.says("As far as")
    other = await opened(browser, visit.url)
    await expect(row(other, "Go on").locator(".running")).to_be_visible()
    await other.page.get_by_role("link", name="Go on").click()
    await other.says("As far as")
    await expect(other.button).to_have_attribute("aria-label", "Stop")
    gate.set()
    for one in (visit, other):
        await one.says("As far as the end.")
        await one.finished()
    await expect(row(other, "Go on").locator(".running")).to_have_count(0)
    upstream.script(Say("Another answer."), *END)
    await other.ask("And then?")
    await other.finished()
    await visit.page.evaluate("dispatchEvent(new Event('focus'))")
    await visit.says("Another answer.")
    assert visit.wrongs + other.wrongs == []


async def test_several_answers_at_once(visit: Visit, upstream: Upstream) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    for name, gate in zip(("One", "Two"), gates, strict=True):
        upstream.script(Say(f"{name} begins,"), Gate(gate), Say(f" {name} ends."), *END)
        await visit.page.get_by_role("button", name="New chat").click(force=name == "One")
        await visit.ask(name)
        await visit.says(f"{name} begins,")
    await expect(visit.page.locator("#chats .running")).to_have_count(2)
    gates[0].set()
    await expect(row(visit, "One").locator(".unread")).to_be_visible()
    await expect(row(visit, "Two").locator(".running")).to_be_visible()
    await visit.page.get_by_role("link", name="One").click()
    await visit.says("One begins, One ends.")
    await expect(visit.page.locator("#chats .unread")).to_have_count(0)
    await visit.page.get_by_role("link", name="Two").click()
    await visit.says("Two begins,")
    gates[1].set()
    await visit.says("Two begins, Two ends.")
    assert not upstream.aborted


async def test_what_was_said_is_found_and_shown_where_it_stands(visit: Visit, service: Service) -> None:
    long = [text for place in range(30) for text in (f"Question {place}", f"Answer {place}\n\n" * 8)]
    await add(service, "Long", *long[:4], "Is there a <b>needle</b>?", "Yes.", *long[4:])
    await add(service, "Short", "Hay", "Straw")
    search = visit.page.get_by_role("searchbox", name="Search the chats")
    await visit.page.keyboard.press("Control+k")
    await expect(search).to_be_focused()
    await search.fill("needle")
    await expect(visit.page.locator("#chats mark")).to_have_text("needle")
    await expect(row(visit, "Long").locator("small")).to_contain_text("<b>needle</b>")
    await expect(row(visit, "Short")).to_have_count(0)
    await search.press("ArrowDown")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_text("Is there a <b>needle</b>?", exact=True)).to_be_in_viewport()
    await search.fill("nothing like it")
    await expect(visit.page.locator("#chats")).to_contain_text("Nothing was found")
    await search.press("Escape")
    await expect(row(visit, "Short")).to_be_visible()


async def test_renamed_starred_archived_and_deleted(visit: Visit, service: Service) -> None:
    await add(service, "Bread", "Why?", "Yeast.")
    await add(service, "Tides", "Whence?", "The moon.")
    await visit.page.reload()
    await choose(visit, "Bread", "Rename")
    await visit.page.get_by_role("textbox", name="Title of the chat").fill("Sourdough")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_role("link", name="Sourdough")).to_be_focused()
    await choose(visit, "Sourdough", "Star")
    await expect(visit.page.get_by_role("region", name="Starred").locator(".title")).to_have_text("Sourdough")
    await choose(visit, "Tides", "Archive")
    await expect(row(visit, "Tides")).to_have_count(0)
    await visit.page.get_by_role("button", name="Archived").click()
    await expect(row(visit, "Tides")).to_be_visible()
    await choose(visit, "Tides", "Put back into the list")
    await expect(row(visit, "Tides")).to_have_count(0)
    await visit.page.get_by_role("button", name="Archived").click()
    await visit.page.get_by_role("link", name="Tides").click()
    await visit.says("The moon.")
    await choose(visit, "Tides", "Delete")
    dialog = visit.page.get_by_role("dialog", name="Delete this chat?")
    await expect(dialog).to_contain_text("“Tides”")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(visit.page).to_have_url(f"{visit.url}/")
    await expect(row(visit, "Tides")).to_have_count(0)
    listed = await service.get(CHATS)
    assert [(chat["title"], chat["starred"]) for chat in listed["chats"]] == [("Sourdough", True)]


async def test_older_chats_come_as_one_scrolls(visit: Visit, service: Service) -> None:
    for place in range(70):
        await add(service, f"Chat {place}", "Hm?", "Hm.", days=place / 100)
    await visit.page.reload()
    await expect(row(visit, "Chat 0")).to_be_visible()
    await visit.page.locator("#chats").evaluate("node => node.scrollTo(0, node.scrollHeight)")
    await expect(visit.page.locator("#chats li")).to_have_count(70)


async def test_exported_deleted_and_imported_again(visit: Visit, service: Service, tmp_path: Path) -> None:
    await add(service, "Bread", "Why?", "Yeast.")
    await visit.page.reload()
    async with visit.page.expect_download() as markdown:
        await choose(visit, "Bread", "Export as Markdown")
    await (await markdown.value).save_as(file := tmp_path / "Bread.md")
    assert "Yeast." in file.read_text()
    await visit.page.get_by_role("button", name="Settings").click()
    dialog = visit.page.get_by_role("dialog", name="Settings")
    async with visit.page.expect_download() as everything:
        await dialog.get_by_role("link", name="Export all").click()
    file = tmp_path / "chats.json"
    await (await everything.value).save_as(file)
    await dialog.get_by_role("button", name="Delete all chats").click()
    await visit.page.get_by_role("button", name="Delete", exact=True).click()
    await expect(dialog.locator(".status")).to_have_text("All chats were deleted.")
    await expect(visit.page.locator("#chats")).to_contain_text("Your chats will be here.")
    await dialog.get_by_label("Import a file").last.set_input_files(file)
    await expect(dialog.locator(".status")).to_have_text("1 chat was imported.")
    await visit.page.keyboard.press("Escape")
    await visit.page.get_by_role("link", name="Bread").click()
    await visit.says("Yeast.")


async def test_a_private_chat_is_kept_nowhere(visit: Visit, service: Service, upstream: Upstream) -> None:
    await visit.page.get_by_role("button", name="Private chat").click()
    await visit.ask("A secret")
    await visit.finished()
    await expect(visit.page.locator("#is-private")).to_be_visible()
    await expect(visit.page).to_have_url(f"{visit.url}/")
    await visit.ask("Another one")
    await visit.finished()
    assert len(upstream.requests[-1].body["messages"]) == 3
    assert (await service.get(CHATS))["chats"] == []
    assert "secret" not in str(await visit.page.evaluate("JSON.stringify({ ...localStorage })"))
    await visit.page.get_by_role("button", name="New chat").click()
    await expect(visit.page.locator("#is-private")).to_be_hidden()
    await expect(visit.page.locator("article")).to_have_count(0)


OLD = {
    "id": "old",
    "title": "From before",
    "messages": [
        {"role": "user", "content": "Who was here?"},
        {"role": "assistant", "content": "**I** was.", "reasoning": "", "name": "small", "state": "done"},
    ],
}


async def test_a_chat_that_only_the_device_had_is_taken_over(visit: Visit) -> None:
    await visit.page.evaluate("chat => localStorage.setItem('causerie.chat', chat)", json.dumps(OLD))
    await visit.page.reload()
    await visit.page.get_by_role("link", name="From before").click()
    await expect(visit.answer.locator("strong")).to_have_text("I")
    assert await visit.page.evaluate("localStorage.getItem('causerie.chat')") is None


async def test_shared_and_not_any_more(visit: Visit, browser: Browser, service: Service) -> None:
    await add(service, "Bread", "Why?", "Yeast.")
    await visit.page.goto(f"{visit.url}/chat/Bread")
    await visit.page.get_by_role("button", name="Share this chat").click()
    dialog = visit.page.get_by_role("dialog", name="Share this chat")
    await dialog.get_by_role("button", name="Make a link").click()
    link = await dialog.get_by_role("textbox", name="Link").input_value()
    assert link.startswith(f"{visit.url}/share/")
    stranger = await (await browser.new_context()).new_page()
    await stranger.goto(f"{visit.url}/chat/#{link.rpartition('/')[2]}")
    await expect(stranger).to_have_url(link)
    await expect(stranger.get_by_text("Yeast.")).to_be_visible()
    await dialog.get_by_role("button", name="Stop sharing").click()
    await expect(dialog.locator(".status")).to_have_text("The chat is not shared any more.")
    await stranger.reload()
    await expect(stranger.locator("main")).to_be_visible()
    await expect(stranger.get_by_text("Yeast.")).to_have_count(0)


async def test_a_chat_that_is_not_there_says_so(visit: Visit, service: Service) -> None:
    await add(service, "Hers", "Whose?", "Ann's.", user="ann")
    await visit.page.goto(f"{visit.url}/chat/Hers")
    await expect(visit.page.get_by_text("This chat is not there")).to_be_visible()


async def test_the_drawer_of_a_telephone(browser: Browser, service: Service) -> None:
    await add(service, "Хлеб", "Почему?", "Дрожжи.", days=1)
    visit = await opened(browser, service.url, locale="ru-RU", **PHONE)
    show = visit.page.get_by_role("button", name="Показать чаты")
    await show.tap()
    await expect(visit.page.get_by_role("heading", name="Вчера")).to_be_in_viewport()
    await expect(visit.page.get_by_role("button", name="Скрыть чаты")).to_be_focused()
    await visit.page.keyboard.press("Escape")
    await expect(visit.page.get_by_role("link", name="Хлеб")).to_be_hidden()
    await expect(show).to_be_focused()
    await show.tap()
    await visit.page.get_by_role("link", name="Хлеб").tap()
    await visit.says("Дрожжи.")
    await expect(visit.page.locator("#curtain")).to_be_hidden()
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    assert visit.wrongs == []
