"""Answers that are asked for again and questions that are changed: what was there before stays, beside it."""

import pytest
from playwright.async_api import expect

from tests.serving import Service
from tests.upstream import Done, Finish, Say, Upstream, Usage
from tests.web.visit import Visit

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())


async def converse(visit: Visit, upstream: Upstream, question: str, answer: str) -> None:
    upstream.script(Say(answer), *END)
    await visit.ask(question)
    await visit.says(answer)
    await visit.finished()


async def test_an_answer_has_variants_which_a_reload_keeps(visit: Visit, upstream: Upstream) -> None:
    await converse(visit, upstream, "Choose", "The first")
    for answer in ("The second", "The third"):
        upstream.script(Say(answer), *END)
        await visit.page.get_by_role("button", name="Answer again").click()
        await visit.says(answer)
        await visit.finished()
    await expect(visit.answer.get_by_role("group", name="Variant 3 of 3")).to_have_text("3 / 3")
    await expect(visit.page.get_by_role("button", name="Next variant")).to_be_disabled()
    await visit.page.get_by_role("button", name="Previous variant").click()
    await visit.says("The second")
    await expect(visit.page.get_by_role("button", name="Next variant")).to_be_focused()
    await visit.page.get_by_role("button", name="Previous variant").click()
    await visit.says("The first")
    await expect(visit.page.locator(".answer")).to_have_count(1)
    await visit.page.wait_for_load_state("networkidle")
    await visit.page.reload()
    await expect(visit.answer.get_by_role("group", name="Variant 1 of 3")).to_be_visible()
    await visit.says("The first")


async def test_the_model_reads_the_variant_that_is_shown(visit: Visit, upstream: Upstream) -> None:
    await converse(visit, upstream, "Choose", "The first")
    upstream.script(Say("The second"), *END)
    await visit.page.get_by_role("button", name="Answer again").click()
    await visit.says("The second")
    await visit.finished()
    await visit.page.get_by_role("button", name="Previous variant").click()
    await converse(visit, upstream, "And then?", "The end")
    said = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert said == ["Choose", "The first", "And then?"]
    await visit.page.get_by_role("button", name="Next variant").click()
    await expect(visit.page.locator("article")).to_have_count(2)
    await visit.page.get_by_role("button", name="Previous variant").click()
    await visit.says("The end")


async def test_a_question_is_changed_and_the_old_branch_stays(
    visit: Visit, service: Service, upstream: Upstream
) -> None:
    await converse(visit, upstream, "Red?", "A warm colour")
    await converse(visit, upstream, "And more?", "Wine")
    question = visit.page.locator(".question").first
    await question.hover()
    await question.get_by_role("button", name="Edit").click()
    field = question.get_by_role("textbox", name="Edit the question")
    await expect(field).to_have_value("Red?")
    await field.fill("Blue?")
    upstream.script(Say("A cold colour"), *END)
    await field.press("Control+Enter")
    await visit.says("A cold colour")
    await visit.finished()
    await expect(visit.page.locator(".question > p")).to_have_text(["Blue?"])
    await expect(visit.page.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
    await visit.page.get_by_role("button", name="Previous variant").click()
    await expect(visit.page.locator(".question > p")).to_have_text(["Red?", "And more?"])
    await visit.says("Wine")
    chats = (await service.get("/backend-api/v2/chats"))["chats"]
    assert [chat["messages"] for chat in chats] == [6]


async def test_editing_can_be_left_by_the_keyboard(visit: Visit, upstream: Upstream) -> None:
    await converse(visit, upstream, "Red?", "A warm colour")
    await visit.field.press("ArrowUp")
    field = visit.page.get_by_role("textbox", name="Edit the question")
    await expect(field).to_be_focused()
    await field.fill("Something else")
    await field.press("Escape")
    await expect(visit.page.locator(".question > p")).to_have_text("Red?")
    await expect(visit.page.get_by_role("button", name="Edit")).to_be_focused()
    assert len(upstream.bill) == 1


async def test_the_same_question_again_is_no_variant(visit: Visit, upstream: Upstream) -> None:
    await converse(visit, upstream, "Red?", "A warm colour")
    await visit.field.press("ArrowUp")
    upstream.script(Say("The colour of wine"), *END)
    await visit.page.keyboard.press("Control+Enter")
    await visit.says("The colour of wine")
    await visit.finished()
    await expect(visit.page.get_by_role("group", name="Variant 2 of 2")).to_have_count(1)
    await visit.page.reload()
    await expect(visit.answer.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
    await expect(visit.page.locator(".question .variants")).to_have_count(0)
