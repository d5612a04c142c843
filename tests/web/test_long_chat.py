"""A chat of 50 000 words: it opens, grows and takes a question as a short one does."""

import pytest
from playwright.async_api import expect

from tests.serving import Service
from tests.upstream import Done, Finish, Say, Upstream, Usage, Wait
from tests.web.test_history import add
from tests.web.visit import Visit

pytestmark = pytest.mark.slow

ANSWER = (
    "The tide **comes** and *goes*, as the moon `wants`. " * 20
    + "\n\n```python\ndef tide(day: int) -> float:\n    return 6.2 + 3.1 * cos(day)\n```\n"
    + "\n| Port | High |\n|:--|--:|\n| Saint-Malo | 06:12 |\n"
)
WORDS = [step for _ in range(100) for step in (Say("word **and** more "), Wait(0.02))]


async def work(visit: Visit, service: Service, upstream: Upstream, count: int) -> tuple[float, float]:
    """Seconds in which the page was busy while a chat of so many answers was opened, and while it grew."""
    await add(service, f"Chat-{count}", *(["What of the tide?", ANSWER] * count))
    devtools = await visit.page.context.new_cdp_session(visit.page)
    await devtools.send("Performance.enable")

    async def busy() -> float:
        metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    await visit.page.goto(visit.url)
    begun = await busy()
    await visit.page.get_by_role("link", name=f"Chat-{count}").click()
    await expect(visit.page.locator(".answer")).to_have_count(count)
    await visit.page.wait_for_load_state("networkidle")
    opened = await busy()
    upstream.script(*WORDS, Finish(), Usage(), Done())
    await visit.ask("Go on")
    await expect(visit.answer).to_have_attribute("aria-busy", "false", timeout=30_000)
    return opened - begun, await busy() - opened


async def test_it_costs_little_more_than_a_short_one(
    visit: Visit, service: Service, upstream: Upstream
) -> None:
    """A hundred times the words are far from a hundred times the work: what is out of sight is left out."""
    opened, grown = await work(visit, service, upstream, 3)
    opened_long, grown_long = await work(visit, service, upstream, 300)
    assert opened_long < 30 * opened
    assert grown_long < 8 * grown
