"""Answers and names that try to run something: nothing runs, nothing is reported, and all can be read."""

import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from playwright.async_api import Browser, FilePayload, expect

from service.documents import markdown
from tests import conftest
from tests.serving import Json, Service, serving
from tests.upstream import Done, ErrorChunk, Finish, Reason, Say, Status, Upstream, Usage, failure
from tests.web.guarded import Guarded, guarded
from tests.web.vectors import ANSWERS, NAMES

pytestmark = pytest.mark.slow

V2 = "/backend-api/v2"
END = (Finish(), Usage(), Done())
THOUGHT = "<img src=x onerror=window.ran=1> Let me see."
PIECE = 9
"""Characters that arrive at once: cut where nobody would cut."""


@pytest.fixture
async def visit(browser: Browser, service: Service) -> AsyncGenerator[Guarded, None]:
    visit = await guarded(browser, service.url)
    yield visit
    await visit.page.context.close()
    assert visit.wrongs == []


async def reads(visit: Guarded, texts: Sequence[str]) -> None:
    """All of it is there, and none of it is more than text."""
    for kind in (".question", ".answer"):
        await expect(visit.page.locator(kind)).to_have_count(len(texts))
        await expect(visit.page.locator(kind)).to_contain_text(["tide"] * len(texts))
    await expect(visit.answer.locator(".reasoning")).to_have_text(THOUGHT)
    assert await visit.foreign() == []


async def share(visit: Guarded, service: Service) -> str:
    """The path of the shared chat that is open."""
    chat = visit.page.url.rpartition("/")[2]
    async with service.http.put(f"{service.url}{V2}/chats/{chat}/share", json={}) as answer:
        assert answer.status == 200, await answer.text()
        path: str = (await answer.json())["url"]
    return path


async def test_the_wire_is_live(browser: Browser, service: Service) -> None:
    visit = await guarded(browser, service.url)
    await visit.page.evaluate("window.ran = 1; setTimeout(alert)")
    await visit.page.locator("main").evaluate("node => node.innerHTML = '<img src=x onerror=window.ran=1>'")
    await expect(visit.page.locator("main img")).to_have_count(1)
    told = " ".join(visit.wrongs)
    assert all(word in told for word in ("A script ran", "The policy reports script-src-attr", "A dialog"))
    assert len(await visit.foreign()) == 1


async def test_no_beginning_of_an_answer_is_rendered_as_more_than_text(visit: Guarded) -> None:
    texts = [text for texts in ANSWERS.values() for text in texts]
    beginnings = {text[:end] for text in texts for end in range(1, len(text) + 1)}
    assert await visit.parsed([markdown.html(text) for text in beginnings]) == []


@pytest.mark.parametrize("kind", ANSWERS)
async def test_nothing_of_an_answer_runs(
    visit: Guarded, browser: Browser, service: Service, upstream: Upstream, kind: str
) -> None:
    """As it streams in, after a reload, and for those with whom it is shared."""
    texts = ANSWERS[kind]
    for text in texts:
        pieces = [Say(text[at : at + PIECE]) for at in range(0, len(text), PIECE)]
        upstream.script(Reason(THOUGHT), *pieces, *END)
        await visit.ask(text)
        await visit.finished()
    await reads(visit, texts)
    await visit.page.reload()
    await visit.finished()
    await reads(visit, texts)
    stranger = await guarded(browser, service.url, await share(visit, service))
    await reads(stranger, texts)
    assert stranger.wrongs == []


async def test_titles_of_chats(visit: Guarded, browser: Browser, service: Service) -> None:
    items = [{"role": "user", "content": "The tide?"}, {"role": "assistant", "content": "Turns."}]
    for title in NAMES:
        chat: Json = {"id": title, "title": title, "items": items}
        assert (await service.post(f"{V2}/chats/import", chat))[1]["imported"] == 1
    await visit.page.reload()
    listed = visit.page.get_by_role("navigation", name="Chats").get_by_role("listitem")
    await expect(listed).to_contain_text([*reversed(NAMES)])
    for title in NAMES:
        await visit.page.get_by_role("link", name=title, exact=True).click()
        await expect(visit.page).to_have_title(f"{title} · Causerie")
        await visit.says("Turns.")
        await visit.page.get_by_role("button", name=f"More about “{title}”").click()
        await visit.page.get_by_role("menuitem", name="Delete").click()
        await expect(visit.page.get_by_role("dialog")).to_contain_text(title)
        assert await visit.foreign() == []
        await visit.page.keyboard.press("Escape")
    stranger = await guarded(browser, service.url, await share(visit, service))
    await expect(stranger.page.get_by_role("heading", name=NAMES[-1])).to_be_visible()
    await visit.page.get_by_role("searchbox").fill("tide")
    await expect(listed.locator("mark").first).to_have_text("tide")
    assert await visit.foreign() + await stranger.foreign() + stranger.wrongs == []


ROW = """
[[providers]]
name = "Tide"
label = {label}
url = "{url}"
local = true
"""


async def test_names_of_models_and_who_offers_them(browser: Browser, tmp_path: Path) -> None:
    async with Upstream(NAMES) as upstream:
        row = ROW.format(label=json.dumps(NAMES[0]), url=upstream.url)
        async with serving(tmp_path, row) as service:
            visit = await guarded(browser, service.url)
            await expect(visit.page.locator("#state")).to_contain_text(NAMES[0])
            for model in NAMES:
                await visit.page.locator("#choice").click()
                await visit.page.get_by_role("option").filter(has_text=model).click()
                await visit.ask("Hello")
                await visit.finished()
                await expect(visit.answer.locator("footer")).to_contain_text(model)
                assert await visit.foreign() == []
            await visit.page.goto(f"{service.url}/stats/")
            for model in NAMES:
                await expect(visit.page.get_by_role("table", name="Models")).to_contain_text(model)
            assert await visit.foreign() == []
            assert visit.wrongs == []


@pytest.mark.parametrize("name", NAMES)
async def test_errors(visit: Guarded, upstream: Upstream, name: str) -> None:
    upstream.enqueue((Status(400, failure(name)),), (Say("tide"), ErrorChunk(name)))
    for _ in range(2):
        await visit.ask(name)
        await visit.finished()
        await expect(visit.answer.locator(".failure")).to_contain_text(name)
    assert await visit.foreign() == []


async def test_names_of_files_and_of_sources(browser: Browser, upstream: Upstream, tmp_path: Path) -> None:
    """More is uploaded than the model can read at once, so that it is told passages."""
    row = conftest.ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_FILES_CONTEXT_TOKENS="1024") as service:
        visit = await guarded(browser, service.url)
        text = b"".join(b"The tide of day %d comes at noon.\n\n" % day for day in range(200))
        names = [f"{name.replace('/', '')}.txt" for name in NAMES]
        files = [FilePayload(name=name, mimeType="text/plain", buffer=text) for name in names]
        await visit.page.locator("[type=file]").first.set_input_files(files)
        await expect(visit.page.locator("#attachments [data-state=ready]")).to_contain_text(names)
        assert await visit.foreign() == []
        await visit.ask("When does the tide come?")
        for _ in range(2):
            await visit.finished()
            await expect(visit.page.locator(".question .chip")).to_contain_text(names)
            await visit.answer.locator(".sources summary").click()
            await expect(visit.answer.locator(".sources h3").first).to_contain_text("tide")
            assert await visit.foreign() == []
            await visit.page.reload()
        stranger = await guarded(browser, service.url, await share(visit, service))
        await expect(stranger.page.locator(".question")).to_contain_text("When does the tide come?")
        assert await stranger.foreign() == []
        assert visit.wrongs + stranger.wrongs == []


EVENTS: tuple[Json, ...] = tuple(
    event
    for name in NAMES
    for event in (
        {"type": "provider", "provider": {"name": name, "url": name, "label": name, "model": name}},
        {"type": "title", "title": name},
        {"type": "reasoning", "token": name, "status": name, "label": name, "is_thinking": name},
        {"type": "content", "content": "", "urls": [name, "javascript:window.ran=1"], "alt": name},
        {"type": "content", "content": "", "data": name, "urls": ["//evil.example/tide.png"]},
        {"type": "preview", "preview": name, "urls": ["data:text/html,<script>1</script>"], "alt": name},
        {
            "type": "sources",
            "sources": [{"file": name, "bucket": name, "id": name, "snippet": name, "title": name}],
        },
        {"type": "synthesize", "synthesize": {"provider": name, "data": {"text": name}}},
        {"type": "suggestions", "suggestions": [name]},
        {"type": "parameters", "parameters": {"__proto__": {"ran": 1}, "constructor": name}},
        {"type": "message", "message": name, "error": name},
        {"type": "__proto__", "__proto__": name},
        {"type": "auth", "auth": name, "message": name},
    )
)
"""What no provider of ours says: a service that has been taken over would."""


async def test_events_that_nobody_sends(visit: Guarded) -> None:
    frames = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS)
    await visit.page.route("**/conversation", lambda route: route.fulfill(body=frames), times=1)
    await visit.ask("Hello")
    await visit.finished()
    for text in NAMES:
        await visit.says(text)
    for details in await visit.answer.locator("summary").all():
        await details.click()
    assert await visit.foreign() == []


async def test_chats_from_elsewhere(visit: Guarded, browser: Browser, service: Service) -> None:
    for number, name in enumerate(NAMES):
        image = {"type": "image_url", "image_url": {"url": name}}
        file = {
            "bucket_id": name,
            "name": f"{name}.png",
            "url": f"/files/{name}/media/x",
            "width": 9,
            "height": 9,
        }
        sound = {"bucket_id": "tide", "name": "tide.mp3", "url": "javascript:window.ran=1", "title": name}
        asked = {"role": "user", "content": [image, file, sound, {"type": "text", "text": name}]}
        said = {
            "role": "assistant",
            "content": name,
            "reasoning": {"text": name},
            "provider": {"model": name},
        }
        more = {"sources": [{"title": name, "url": name}], "error": name, "finish": {"reason": name}}
        chat: Json = {
            "id": f"tide-{number}",
            "title": "The tide",
            "items": [asked, said | more],
            "system": name,
        }
        assert (await service.post(f"{V2}/chats/import", chat))[1]["imported"] == 1
        await visit.page.goto(f"{service.url}/chat/tide-{number}")
        stranger = await guarded(browser, service.url, await share(visit, service))
        for reader in (visit, stranger):
            await reader.says(name if not name.startswith(("[", "tide&")) else "tide")
            await expect(reader.page.locator(".question p").last).to_contain_text(name)
            assert await reader.foreign() == []
        assert stranger.wrongs == []
        await stranger.page.context.close()
