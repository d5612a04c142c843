"""The connection breaks, the page is reloaded, the service is started anew: the answer is read on."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from tests.conftest import ROW
from tests.process import address, started
from tests.proxy import Proxy
from tests.serving import Service, ids, serving
from tests.upstream import Done, Finish, Gate, Reason, Say, Silent, Step, Upstream, Usage, until, words
from tests.web.visit import Visit, opened

pytestmark = pytest.mark.slow

END = (Finish(), Usage(), Done())
STORY = "Grüße aus 東京: once upon a time there was a **very** long answer 👩‍👩‍👧 which nobody could stop."
TURNS = "**/backend-api/v2/turns/*"

ANNOUNCED = """() => {
    window.announced = [];
    const place = document.querySelector("#announcement");
    new MutationObserver(() => announced.push(place.textContent)).observe(place, { childList: true });
}"""


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Service, None]:
    """It does not wait long for answers that are still running at the end of a test."""
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_SERVER_SHUTDOWN_TIMEOUT="0.1") as service:
        yield service


@pytest.fixture
async def proxy(service: Service) -> AsyncGenerator[Proxy, None]:
    async with Proxy(service.url) as proxy:
        yield proxy


@pytest.fixture
async def visit(browser: Browser, proxy: Proxy) -> AsyncGenerator[Visit, None]:
    """The page, as it comes through the proxy."""
    visit = await opened(browser, proxy.url)
    yield visit
    assert visit.wrongs == []


def gated(*texts: str) -> tuple[list[Step], list[asyncio.Event]]:
    """A script that says each of these and then waits for its gate."""
    gates = [asyncio.Event() for _ in texts]
    steps = [step for text, gate in zip(texts, gates, strict=True) for step in (Say(text), Gate(gate))]
    return steps, gates


async def broken(visit: Visit) -> None:
    """Waits until the page has noticed, and holds its clock: it does not come back by itself."""
    await visit.says("reading on…")
    await paused(visit)


async def paused(visit: Visit) -> None:
    """Stops the page's clock, which must have been installed before the page needs it."""
    await visit.page.clock.pause_at(await visit.page.evaluate("Date.now()"))


async def kept(visit: Visit) -> Any:
    """The last message of the open chat as the service has kept it."""
    chat = visit.page.url.rpartition("/")[2]
    answer = await visit.page.request.get(f"{visit.url}/backend-api/v2/chats/{chat}")
    return (await answer.json())["tree"][-1]


async def test_after_a_reload_the_answer_is_read_on(visit: Visit, upstream: Upstream) -> None:
    steps, gates = gated("As **far** as", " here", " and on.")
    upstream.script(Reason("Let me see."), *steps, *END)
    await visit.ask("Go on")
    await visit.says("As far as")
    for gate, text in zip(gates, ("As far as here", "As far as here and on."), strict=False):
        await visit.page.reload()
        await expect(visit.page.get_by_role("button", name="Stop")).to_be_visible()
        gate.set()
        await visit.says(text)
    gates[-1].set()
    await visit.finished()
    await expect(visit.answer.locator(".markup")).to_have_text("As far as here and on.")
    await expect(visit.answer.locator(".reasoning")).to_have_text("Let me see.")
    await expect(visit.answer.locator("footer")).to_contain_text("small · 4 tokens")
    await expect(visit.page.locator(".answer")).to_have_count(1)
    assert (await kept(visit))["content"] == "As **far** as here and on."
    assert len(upstream.bill) == 1


async def test_what_ended_while_nobody_looked_is_there_after_a_reload(
    visit: Visit, service: Service, upstream: Upstream
) -> None:
    steps, gates = gated("As far as")
    upstream.script(*steps, Say(" the end."), *END)
    await visit.ask("Go on")
    await visit.says("As far as")
    chat = visit.page.url
    await visit.page.goto("about:blank")
    gates[0].set()
    await until(lambda: not service.context.turns.running(None))
    await visit.page.goto(chat)
    await visit.finished()
    await expect(visit.answer.locator(".markup")).to_have_text("As far as the end.")


async def test_a_cut_connection_is_told_once_and_read_on(
    visit: Visit, proxy: Proxy, upstream: Upstream
) -> None:
    steps, gates = gated("One,", " two,", " three.")
    upstream.script(*steps, *END)
    await visit.page.evaluate(ANNOUNCED)
    await visit.ask("Count")
    for gate, text in zip(gates, ("One,", "One, two,", "One, two, three."), strict=True):
        await visit.says(text)
        proxy.cut()
        await visit.says("The connection broke; reading on…")
        gate.set()
    await visit.finished()
    await expect(visit.answer.locator(".markup")).to_have_text("One, two, three.")
    await expect(visit.answer.locator(".waiting")).to_be_hidden()
    announced = ["Causerie is answering", "The connection broke; reading on…", "The answer is complete"]
    await expect(visit.page.locator("#announcement")).to_have_text(announced[-1])
    assert await visit.page.evaluate("announced") == announced
    assert len(upstream.bill) == 1


@pytest.mark.parametrize("cuts", [[600, 330, 270, 400], [95, 1, 500]])
async def test_wherever_it_is_cut_nothing_is_lost_or_doubled(
    visit: Visit, proxy: Proxy, upstream: Upstream, cuts: list[int]
) -> None:
    upstream.script(*words(STORY), *END)
    proxy.cuts = list(cuts)
    await visit.ask("Tell me a story")
    await expect(visit.answer).to_have_attribute("aria-busy", "false", timeout=20_000)
    assert (await kept(visit))["content"] == STORY
    assert (proxy.cuts, proxy.streams, len(upstream.bill)) == ([], len(cuts) + 1, 1)


async def test_it_comes_back_as_soon_as_there_is_hope(visit: Visit, proxy: Proxy, upstream: Upstream) -> None:
    steps, gates = gated("As far as")
    upstream.script(*steps, Say(" the end."), *END)
    await visit.page.clock.install()
    await visit.ask("Go on")
    await visit.says("As far as")
    async with proxy.away():
        await broken(visit)
    assert proxy.streams == 1
    await visit.page.evaluate("dispatchEvent(new Event('online'))")
    await until(lambda: proxy.streams == 2)  # and no second has passed in the page
    gates[0].set()
    await visit.page.clock.resume()
    await visit.says("As far as the end.")


async def test_it_gives_up_in_the_end_and_offers_to_ask_again(
    visit: Visit, proxy: Proxy, upstream: Upstream
) -> None:
    tries = 0

    async def refused(route: Route) -> None:
        nonlocal tries
        tries += 1
        await route.abort()

    await visit.page.clock.install()
    await visit.page.route(TURNS, refused)
    upstream.enqueue((Say("As far as here"), Silent()))
    await visit.ask("Go on")
    await visit.says("As far as here")
    proxy.cut()
    await visit.says("The connection broke; reading on…")
    for _ in range(500):
        if tries == 22:
            break
        await visit.page.clock.run_for(15_000)  # of timers that the page has set by now
        await asyncio.sleep(0.01)
    await expect(visit.answer.locator(".failure")).to_contain_text("before the answer was complete")
    await visit.says("As far as here")
    await visit.page.get_by_role("button", name="Try again").click()
    await visit.says("Hello from the upstream.")


async def test_what_is_gone_is_said_and_the_text_kept(visit: Visit, proxy: Proxy, upstream: Upstream) -> None:
    upstream.enqueue((Say("As far as here"), Silent()))
    await visit.page.route(TURNS, lambda route: route.fulfill(status=404, json={"error": {"message": "No."}}))
    await visit.ask("Go on")
    await visit.says("As far as here")
    proxy.cut()
    await expect(visit.answer.locator(".failure")).to_contain_text("no longer there")
    await visit.says("As far as here")
    await visit.page.get_by_role("button", name="Try again").click()
    await visit.says("Hello from the upstream.")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_the_service_is_started_anew(
    browser: Browser, tmp_path: Path, upstream: Upstream, end: signal.Signals
) -> None:
    file = tmp_path / "causerie.toml"
    file.write_text(ROW.format(url=upstream.url))
    variables = {"CAUSERIE_CONFIG": str(file), "CAUSERIE_SERVER_SHUTDOWN_TIMEOUT": "0.2"}
    variables["CAUSERIE_SCRIPTED_ENABLED"] = "false"
    upstream.script(Reason("Hm."), *words("As far as here"), Silent())
    async with started(tmp_path, **variables) as process, Proxy(await address(process)) as proxy:
        visit = await opened(browser, proxy.url)
        await visit.ask("Go on for ever")
        await visit.says("As far as here")
        await asyncio.sleep(0.6)  # what is older than that survives whatever happens
        process.send_signal(end)
        await visit.says("reading on…")
        await process.wait()
        async with started(tmp_path, **variables) as successor:
            proxy.target = await address(successor)
            await expect(visit.answer).to_contain_text("was interrupted", timeout=15_000)
            await expect(visit.answer.locator(".markup")).to_have_text("As far as here")
            await expect(visit.answer.locator(".reasoning")).to_have_text("Hm.")
            upstream.script(*words("Here again."), *END)
            await visit.page.get_by_role("button", name="Try again").click()
            await visit.says("Here again.")
    assert visit.wrongs == []


async def test_stop_reaches_the_upstream_while_the_connection_is_broken(
    visit: Visit, proxy: Proxy, upstream: Upstream
) -> None:
    upstream.script(Say("As far as here"), Silent())
    await visit.page.clock.install()
    await visit.ask("Go on for ever")
    await visit.says("As far as here")
    proxy.cut()
    await broken(visit)
    assert not upstream.aborted
    await visit.page.get_by_role("button", name="Stop").click()
    await until(lambda: upstream.aborted)
    await visit.page.clock.resume()
    await visit.says("Stopped")
    await visit.says("As far as here")


async def test_stop_before_the_first_byte_ends_the_turn(
    visit: Visit, service: Service, upstream: Upstream
) -> None:
    late = asyncio.Event()

    async def held(route: Route) -> None:
        await late.wait()
        await route.continue_()

    upstream.script(Say("Too late"), Silent())
    await visit.page.route("**/conversation", held)
    await visit.page.clock.install()
    await visit.ask("Go on for ever")
    await paused(visit)
    await visit.page.get_by_role("button", name="Stop").click()
    late.set()
    await visit.says("Stopped")  # by the service's word, for no time passes in the page
    turn = (await kept(visit))["turn"]
    assert await service.post(f"/backend-api/v2/turns/{turn}/stop", b"") == (
        200,
        {"id": turn, "ending": "stopped"},
    )


async def test_a_new_chat_lets_the_answer_go_on(visit: Visit, upstream: Upstream) -> None:
    steps, gates = gated("As far as")
    upstream.script(*steps, Say(" the end."), *END)
    await visit.ask("Remember me")
    await visit.says("As far as")
    await visit.page.get_by_role("button", name="New chat").click()
    await expect(visit.button).to_have_attribute("aria-label", "Send")
    gates[0].set()
    await visit.page.get_by_role("link", name="Remember me").click()
    await visit.says("As far as the end.")
    assert not upstream.aborted


async def test_leaving_stops_nothing(visit: Visit, service: Service, upstream: Upstream) -> None:
    upstream.script(Say("As far as here"), Silent())
    await visit.ask("Go on for ever")
    await visit.says("As far as here")
    await visit.page.close()
    await until(lambda: not service.context.turns.running(None)[0].readers)
    assert not upstream.aborted


async def test_a_question_whose_answer_got_lost_is_sent_again_and_asked_once(
    visit: Visit, upstream: Upstream
) -> None:
    keys: list[str] = []

    async def lost(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return await route.continue_()
        await route.fetch()
        return await route.abort()

    await visit.page.route("**/conversation", lost)
    await visit.page.evaluate(ANNOUNCED)
    await visit.ask("Hello?")
    await visit.finished()
    await expect(visit.answer.locator(".markup")).to_have_text("Hello from the upstream.")
    assert (await visit.page.evaluate("announced"))[1] == "The service does not answer; trying again…"
    assert keys == [keys[0]] * 2
    assert len(upstream.bill) == 1


async def test_whoever_sends_it_again_it_is_asked_once(
    visit: Visit, proxy: Proxy, upstream: Upstream
) -> None:
    """On connections that were used before, the browser itself sends a POST again that got no byte back."""
    proxy.cuts = [0, 0, 0]
    await visit.ask("Hello?")
    await expect(visit.answer).to_have_attribute("aria-busy", "false", timeout=20_000)
    await expect(visit.answer.locator(".markup")).to_have_text("Hello from the upstream.")
    assert (proxy.streams, len(upstream.bill)) == (4, 1)


EVENT_SOURCE = """(url) => new Promise((resolve) => {
    const [source, read] = [new EventSource(url), []];
    let opened = 0;
    const kinds = ["turn", "provider", "reasoning", "content", "finish", "usage", "reset", "resume"];
    for (const kind of kinds) {
        source.addEventListener(kind, ({ lastEventId, data }) => read.push([lastEventId, JSON.parse(data)]));
    }
    source.onopen = () => opened++;
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve({ opened, read });
})"""


async def test_an_event_source_reads_every_event_once(
    visit: Visit, proxy: Proxy, service: Service, upstream: Upstream
) -> None:
    """The browser's own reader: it comes back by itself, with Last-Event-ID, until there is nothing left."""
    upstream.script(Reason("Hm."), *words(STORY), *END)
    async with service.asking() as answer:
        turn, whole = answer.headers["X-Turn-Id"], await answer.read()
    proxy.cuts = [600, 500, 260]
    async with asyncio.timeout(60):
        found = await visit.page.evaluate(EVENT_SOURCE, f"/backend-api/v2/turns/{turn}")
    assert [id for id, _ in found["read"]] == ids(whole)
    assert "".join(event.get("content", "") for _, event in found["read"]) == STORY
    assert (found["opened"], proxy.cuts) == (4, [])
