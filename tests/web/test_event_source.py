"""A browser that has logged in reads with its own EventSource, which can send no header, but a cookie."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.access import bearer
from tests.serving import Service, ids
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until
from tests.web.visit import opened

pytestmark = pytest.mark.slow

LOG_IN = """(key) => fetch("/backend-api/v2/session", {
    method: "POST", body: JSON.stringify({ key }), headers: { "Content-Type": "application/json" },
}).then((answer) => answer.status)"""
READ = """(url) => new Promise((resolve) => {
    const [source, read] = [new EventSource(url), []];
    let opened = false;
    for (const kind of ["turn", "provider", "content", "finish", "usage", "reset"]) {
        source.addEventListener(kind, ({ lastEventId }) => read.push(lastEventId));
    }
    source.onopen = () => (opened = true);
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve({ opened, read });
})"""
STOP = '(url) => fetch(`${url}/stop`, { method: "POST" }).then((answer) => answer.status)'


async def read_by(browser: Browser, service: Service, key: str | None, url: str) -> Any:
    """What a page of ours gets from an EventSource, logged in with this key or not."""
    visit = await opened(browser, service.url)
    if key:
        assert await visit.page.evaluate(LOG_IN, key) == 200
        assert "causerie_session" not in await visit.page.evaluate("document.cookie")
    found = await visit.page.evaluate(READ, url)
    await visit.page.context.close()
    return found


async def test_only_whose_turn_it_is_reads_it_with_a_cookie(
    browser: Browser, service: Service, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Half"), Gate(gate), Say(" and half."), Finish(), Usage(), Done())
    (_, ada), (_, bob) = [await service.context.keys.create(user, "user") for user in ("ada", "bob")]
    async with asyncio.timeout(60), service.asking(headers=bearer(ada)) as answer:
        url = f"/backend-api/v2/turns/{answer.headers['X-Turn-Id']}"
        for key in (None, bob):
            assert await read_by(browser, service, key, url) == {"opened": False, "read": []}
        visit = await opened(browser, service.url)
        assert await visit.page.evaluate(LOG_IN, bob) == 200
        assert await visit.page.evaluate(STOP, url) == 404
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_by(browser, service, ada, url))
            group.create_task(_let_go(service, gate))
        assert reading.result() == {"opened": True, "read": ids(await answer.read())}


async def _let_go(service: Service, gate: asyncio.Event) -> None:
    """Once the page reads, beside the request that asked."""
    await until(lambda: [turn.readers for turn in service.context.turns.running("ada")] == [2])
    gate.set()
