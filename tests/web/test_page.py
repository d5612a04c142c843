"""The page in a real browser, in front of the real service and a scripted upstream."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, expect

from tests.serving import Service
from tests.upstream import (
    Done,
    ErrorChunk,
    Finish,
    Gate,
    Reason,
    Say,
    Silent,
    Status,
    Upstream,
    Usage,
    until,
    words,
)
from tests.web.visit import PHONE, Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())


async def test_an_answer_streams_in_and_is_rendered(visit: Visit, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("The **sea**"), Gate(gate), Say(" is `wide`."), *END)
    await expect(visit.page.get_by_text("Ready to answer: The upstream")).to_be_visible()
    await visit.ask("What is the sea?")
    await expect(visit.answer.locator("strong")).to_have_text("sea")
    await expect(visit.answer).to_have_attribute("aria-busy", "true")
    await expect(visit.page.locator("#announcement")).to_have_text("Causerie is answering")
    gate.set()
    await visit.finished()
    await expect(visit.answer.locator("code")).to_have_text("wide")
    await expect(visit.answer.locator("footer")).to_contain_text("small · 2 tokens")
    await expect(visit.page.locator("#announcement")).to_have_text("The answer is complete")
    await expect(visit.page).to_have_title("What is the sea? · Causerie")


async def test_the_model_reads_the_whole_chat(visit: Visit, upstream: Upstream) -> None:
    for question in ("One", "Two"):
        await visit.ask(question)
        await visit.finished()
    assert [message["content"] for message in upstream.requests[-1].body["messages"]] == [
        "One",
        "Hello from the upstream.",
        "Two",
    ]


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_stop_reaches_the_provider_and_keeps_what_came(
    visit: Visit, upstream: Upstream, how: str
) -> None:
    upstream.script(Say("As far as here"), Silent())
    await visit.ask("Go on for ever")
    await visit.says("As far as here")
    if how == "button":
        await visit.page.get_by_role("button", name="Stop").click()
    else:
        await visit.page.keyboard.press(how)
    await until(lambda: upstream.aborted)
    await visit.says("Stopped")
    await visit.says("As far as here")
    await expect(visit.page.get_by_role("button", name="Send")).to_be_visible()


async def test_an_error_stands_where_the_answer_would_and_can_be_retried(
    visit: Visit, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.enqueue((Say("Half of it"), Gate(gate), ErrorChunk("The model stumbled.")))
    await visit.ask("Try")
    await visit.says("Half of it")
    gate.set()
    await expect(visit.answer.locator(".failure")).to_contain_text("The model stumbled.")
    await visit.page.get_by_role("button", name="Try again").click()
    await visit.says("Hello from the upstream.")
    await expect(visit.page.locator(".failure")).to_have_count(0)
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": "Try"}]


async def test_a_missing_key_leads_to_other_models(visit: Visit, upstream: Upstream) -> None:
    upstream.script(Status(401))
    await visit.ask("Try")
    await expect(visit.answer.locator(".failure")).to_contain_text("key")
    await visit.page.get_by_role("button", name="Choose another model").click()
    await expect(visit.page.get_by_role("dialog")).to_be_visible()


async def test_a_refusal_is_shown_in_the_service_s_words(visit: Visit, upstream: Upstream) -> None:
    choice = '{"provider": "Nobody", "model": null, "label": "Nobody"}'
    await visit.page.evaluate("choice => localStorage.setItem('causerie.choice', choice)", choice)
    await visit.page.reload()
    await visit.ask("Anybody there?")
    await expect(visit.answer.locator(".failure")).to_contain_text("Nobody")


async def test_what_comes_without_the_id_of_a_turn_cannot_be_read_on(visit: Visit) -> None:
    frame = 'event: content\r\ndata: {"type": "content", "content": "As far as"}\r\n\r\n'
    await visit.page.route("**/conversation", lambda route: route.fulfill(body=frame), times=1)
    await visit.ask("Try")
    await visit.says("The connection broke")
    await visit.says("As far as")
    await visit.page.get_by_role("button", name="Try again").click()
    await visit.says("Hello from the upstream.")


async def test_nobody_there(visit: Visit) -> None:
    await visit.page.route("**/conversation", lambda route: route.abort(), times=4)
    await visit.ask("Try")
    await visit.says("The service does not answer; trying again…")
    await expect(visit.answer).to_contain_text("The service cannot be reached", timeout=20_000)
    await visit.page.get_by_role("button", name="Try again").click()
    await visit.says("Hello from the upstream.")


async def test_the_chat_survives_a_reload(visit: Visit, upstream: Upstream) -> None:
    upstream.enqueue((Say("A **whole** answer"), *END), (Say("Another"), *END))
    for question in ("First", "Second"):
        await visit.ask(question)
        await visit.finished()
    await visit.page.reload()
    await visit.says("Another")
    await expect(visit.page.locator(".answer").first.locator("strong")).to_have_text("whole")
    await expect(visit.page.locator(".question > p")).to_have_text(["First", "Second"])


async def test_the_last_answer_can_be_asked_for_again(visit: Visit, upstream: Upstream) -> None:
    upstream.enqueue((Say("The first"), *END), (Say("The second"), *END))
    await visit.ask("Choose")
    await visit.says("The first")
    await visit.page.get_by_role("button", name="Answer again").click()
    await visit.says("The second")
    await expect(visit.page.locator(".answer")).to_have_count(1)


async def test_nothing_in_an_answer_runs_or_calls_out(visit: Visit, upstream: Upstream) -> None:
    attacks = (
        '<script>window.ran = 1</script> <img src=x onerror="window.ran = 1"> [x](javascript:window.ran=1)\n'
        "\n![cat](https://evil.example/cat.png)\n\n```html\n<img src=x onerror='window.ran = 1'>\n```\n"
    )
    upstream.script(*words(attacks), *END)
    await visit.ask("Attack")
    await visit.finished()
    await visit.says("<script>window.ran = 1</script>")
    await expect(
        visit.answer.locator("script, img, [onerror], [style], a[href^='javascript']")
    ).to_have_count(0)
    await expect(visit.answer.get_by_role("link", name="cat")).to_have_attribute(
        "rel", re.compile("noopener")
    )
    assert await visit.page.evaluate("window.ran") is None


async def test_a_question_is_plain_text(visit: Visit) -> None:
    await visit.ask("<b>bold?</b>\n  **no**")
    await expect(visit.page.locator(".question p")).to_have_text("<b>bold?</b>\n  **no**")


async def test_reasoning_is_open_while_it_grows_and_folds_when_the_answer_begins(
    visit: Visit, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Reason("Let me see."), Gate(gate), Say("Yes."), *END)
    await visit.ask("Is it?")
    thoughts = visit.answer.locator("details")
    await expect(thoughts).to_have_attribute("open", "")
    await expect(thoughts).to_contain_text("Let me see.")
    gate.set()
    await visit.says("Yes.")
    await expect(thoughts).not_to_have_attribute("open", "")
    await expect(thoughts.locator("summary")).to_have_text(re.compile("Thought for"))


async def test_all_by_keyboard(visit: Visit, upstream: Upstream) -> None:
    keyboard = visit.page.keyboard
    await expect(visit.field).to_be_focused()
    await keyboard.press("Shift+Tab")
    await keyboard.press("Shift+Tab")
    while not await visit.page.locator("#choice").evaluate("node => node === document.activeElement"):
        await keyboard.press("Shift+Tab")
    await keyboard.press("Enter")
    await expect(visit.page.get_by_role("option", name="large")).to_be_visible()
    await keyboard.type("upstream LAR")
    await expect(visit.page.get_by_role("option")).to_have_count(1)
    await keyboard.press("Enter")
    await expect(visit.page.get_by_role("dialog")).to_be_hidden()
    await expect(visit.field).to_be_focused()
    await keyboard.type("Two")
    await keyboard.press("Shift+Enter")
    await keyboard.type("lines")
    await keyboard.press("Enter")
    await visit.finished()
    assert upstream.requests[-1].body["model"] == "large"
    assert upstream.requests[-1].body["messages"][-1]["content"] == "Two\nlines"
    await keyboard.press("Shift+Tab")
    await keyboard.press("Shift+Tab")
    await expect(visit.page.get_by_role("button", name="Answer again")).to_be_focused()


async def test_the_chosen_model_is_kept(visit: Visit) -> None:
    await visit.page.get_by_role("button", name="Model: Auto").click()
    await visit.page.get_by_role("option", name="large").click()
    await visit.page.reload()
    await visit.page.get_by_role("button", name="Model: large").click()
    await expect(visit.page.get_by_role("option", name="large")).to_have_attribute("aria-selected", "true")
    await visit.page.keyboard.press("Escape")
    await expect(visit.page.get_by_role("dialog")).to_be_hidden()


async def test_it_follows_the_end_until_the_reader_scrolls_up(visit: Visit, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(*(Say(f"Line {line}\n\n") for line in range(60)), Gate(gate), Say("The end"), *END)
    await visit.ask("Much")
    await expect(visit.page.get_by_text("Line 59")).to_be_in_viewport()
    await visit.page.mouse.move(500, 300)
    await visit.page.mouse.wheel(0, -900)
    await expect(visit.page.get_by_role("button", name="Jump to the latest")).to_be_visible()
    gate.set()
    await visit.finished()
    await expect(visit.page.get_by_text("The end")).not_to_be_in_viewport()
    await visit.page.get_by_role("button", name="Jump to the latest").click()
    await expect(visit.page.get_by_text("The end")).to_be_in_viewport()
    await expect(visit.page.get_by_role("button", name="Jump to the latest")).to_be_hidden()


async def test_code_is_coloured_and_copied_as_it_is(visit: Visit, upstream: Upstream) -> None:
    await visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upstream.script(Say("```python\ndef f():\n    return 1 < 2\n```"), *END)
    await visit.ask("Code")
    await visit.finished()
    await expect(visit.answer.locator(".code .k").first).to_have_text("def")
    await visit.page.get_by_role("button", name="Copy the code").click()
    await expect(visit.page.get_by_role("button", name="Copied")).to_be_visible()
    assert await visit.page.evaluate("navigator.clipboard.readText()") == "def f():\n    return 1 < 2\n"


async def test_a_new_chat_and_back(visit: Visit) -> None:
    await visit.ask("Remember me")
    await visit.finished()
    await visit.page.get_by_role("button", name="New chat").click()
    await expect(visit.page.locator("article")).to_have_count(0)
    await expect(visit.page).to_have_url(f"{visit.url}/")
    await visit.page.get_by_role("link", name="Remember me").click()
    await visit.says("Hello from the upstream.")


async def test_an_example_is_asked_at_a_click(visit: Visit, upstream: Upstream) -> None:
    example = visit.page.locator("#prompts button").first
    text = await example.text_content()
    await example.click()
    await visit.finished()
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": text}]


async def test_without_the_renderer_the_words_are_shown_as_they_are(visit: Visit, upstream: Upstream) -> None:
    await visit.page.route("**/render", lambda route: route.abort())
    upstream.script(Say("**plain** <b>"), *END)
    await visit.ask("Try")
    await visit.finished()
    await visit.says("**plain** <b>")


async def test_it_says_that_the_embedded_model_still_loads(browser: Browser, service: Service) -> None:
    visit = await opened(browser, service.url)
    loading = [{"name": "Embedded", "label": "Embedded", "live": 0, "active_by_default": True}]
    await visit.page.route("**/providers", lambda route: route.fulfill(json=loading), times=1)
    await visit.page.reload()
    await expect(visit.page.locator("#state")).to_contain_text("still loading")
    await expect(visit.page.locator("#state")).to_contain_text("Ready to answer")


async def test_who_needs_no_key_is_asked_for_none_and_finds_the_statistics(visit: Visit) -> None:
    await visit.ask("Anybody there?")
    await visit.finished()
    await expect(visit.page.get_by_role("dialog")).to_have_count(0)
    await expect(visit.page.get_by_role("button", name="Log out")).to_be_hidden()
    await visit.page.get_by_role("link", name="Statistics").click()
    await expect(visit.page).to_have_url(f"{visit.url}/stats/")
    await visit.page.goto(f"{visit.url}/stats")
    await expect(visit.page).to_have_url(f"{visit.url}/stats/")


async def test_russian(browser: Browser, service: Service, upstream: Upstream) -> None:
    visit = await opened(browser, service.url, locale="ru-RU")
    await expect(visit.page.locator("html")).to_have_attribute("lang", "ru")
    await expect(visit.page.get_by_text("О чём поговорим?")).to_be_visible()
    upstream.script(*words("Столица Франции — **Париж**."), *END)
    await visit.ask("Какая столица у Франции?")
    await visit.finished()
    await expect(visit.answer.locator("strong")).to_have_text("Париж")
    await expect(visit.answer.locator("footer")).to_contain_text("4 токена")
    await expect(visit.page.get_by_role("button", name="Ответить заново")).to_be_visible()


async def test_telephone(browser: Browser, service: Service, upstream: Upstream) -> None:
    visit = await opened(browser, service.url, **PHONE)
    wide = (
        "| a | b | c | d |\n|-|-|-|-|\n| one | two | three | four |\n\n```\n"
        + "x" * 300
        + "\n```\n"
        + "y" * 300
    )
    upstream.script(Say(wide), *END)
    await visit.field.fill("One")
    await visit.field.press("Enter")
    await visit.field.press_sequentially("Two")
    assert await visit.field.input_value() == "One\nTwo"
    await visit.button.tap()
    await visit.finished()
    assert await visit.page.evaluate("document.documentElement.scrollWidth") == 360
    assert await visit.field.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") >= 16
