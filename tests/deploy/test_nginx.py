"""The shipped nginx configuration, in a real nginx, in front of the real service."""

import asyncio
import io
import json
import re
import socket
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import ROW
from tests.deploy.proxy import NGINX, Proxy, replaced
from tests.serving import CONVERSATION, events, serving, text
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="needs the package nginx-light"),
]

BODY = {"messages": [{"role": "user", "content": "Hello"}], "model": "small"}
MEBIBYTE = 1024 * 1024


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path)


@asynccontextmanager
async def fronted(
    proxy: Proxy, upstream: Upstream, configuration: str
) -> AsyncGenerator[aiohttp.ClientSession, None]:
    """A client of nginx, behind which is the service, behind which is the upstream."""
    row = ROW.format(url=upstream.url)
    async with (
        serving(proxy.directory, row, CAUSERIE_SOCKET=str(proxy.socket)),
        proxy.running(configuration),
        aiohttp.ClientSession(proxy.url) as http,
    ):
        yield http


@asynccontextmanager
async def before(
    proxy: Proxy, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncGenerator[aiohttp.ClientSession, None]:
    """A client of the shipped configuration, behind which this handler answers everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, proxy.socket).start()
    try:
        async with proxy.running(proxy.shipped()), aiohttp.ClientSession(proxy.url) as http:
            yield http
    finally:
        await runner.cleanup()


def gated(upstream: Upstream, count: int) -> list[asyncio.Event]:
    """The upstream says `count` + 1 words, each but the first after its gate has been opened."""
    gates = [asyncio.Event() for _ in range(count)]
    later = [step for number, gate in enumerate(gates, 1) for step in (Gate(gate), Say(f"word{number} "))]
    upstream.script(Say("word0 "), *later, Finish(), Usage(), Done())
    return gates


async def step_by_step(gates: list[asyncio.Event], read: Callable[[], Awaitable[bytes]]) -> bytes:
    """Opens the next gate once the word before has arrived; whoever keeps an event back never gets there."""
    seen = b""
    async with asyncio.timeout(20):
        for number, gate in enumerate(gates):
            while f"word{number} ".encode() not in seen:
                seen += await read()
            assert f"word{number + 1} ".encode() not in seen
            gate.set()
    return seen


@pytest.mark.parametrize("configuration", [Proxy.shipped, Proxy.plain])
async def test_every_event_goes_out_by_itself(
    proxy: Proxy, upstream: Upstream, configuration: Callable[[Proxy], str]
) -> None:
    gates = gated(upstream, 10)
    async with fronted(proxy, upstream, configuration(proxy)) as http:
        async with http.post(CONVERSATION, json=BODY) as answer:
            seen = await step_by_step(gates, answer.content.readany)
            whole = events(seen + await answer.read())
        assert text(whole) == "".join(f"word{number} " for number in range(11))
        assert whole[-1]["type"] == "usage"


async def test_the_configuration_needs_no_header_to_know_a_stream(proxy: Proxy) -> None:
    gates = [asyncio.Event() for _ in range(10)]

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number, gate in enumerate(gates):
            await response.write(f"word{number} ".encode())
            await gate.wait()
        return response

    async with before(proxy, stream) as http, http.get("/") as answer:
        await step_by_step(gates, answer.content.readany)


async def test_who_does_not_read_holds_up_the_service_and_fills_no_disk(proxy: Proxy) -> None:
    held_up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(64):
                async with asyncio.timeout(2):
                    await response.write(bytes(MEBIBYTE))
            held_up.set_result(False)
        except TimeoutError:
            held_up.set_result(True)
        return response

    async with before(proxy, flood):
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await asyncio.wait_for(held_up, 60)


async def test_over_http_2_too(proxy: Proxy, upstream: Upstream) -> None:
    gates = gated(upstream, 10)
    async with fronted(proxy, upstream, proxy.with_tls()) as http:
        async with http.get("/?q=1", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "https://127.0.0.1/?q=1")
        command = ["curl", "--http2", "--insecure", "--silent", "--show-error", "--no-buffer", "--include"]
        curl = await asyncio.create_subprocess_exec(
            *command, "--json", json.dumps(BODY), proxy.tls_url + CONVERSATION, stdout=PIPE
        )
        assert curl.stdout
        output = curl.stdout
        seen = await step_by_step(gates, lambda: output.read(4096))
        head, _, stream = (seen + await output.read()).partition(b"\r\n\r\n")
        assert await curl.wait() == 0
    assert head.startswith(b"HTTP/2 200")
    assert b"strict-transport-security: max-age=31536000" in head
    assert text(events(stream)) == "".join(f"word{number} " for number in range(11))


@pytest.mark.parametrize("configuration", [Proxy.shipped, Proxy.plain])
async def test_the_upstream_learns_that_the_client_has_left(
    proxy: Proxy, upstream: Upstream, configuration: Callable[[Proxy], str]
) -> None:
    gates = gated(upstream, 1)
    async with fronted(proxy, upstream, configuration(proxy)) as http:
        async with http.post(CONVERSATION, json=BODY) as answer:
            await answer.content.readuntil(b'"word0 "}\n\n')
            assert not upstream.aborted
        await until(lambda: upstream.aborted)
    assert not gates[0].is_set()


async def test_headers_of_old_clients_pass_beside_another_site(proxy: Proxy, upstream: Upstream) -> None:
    gated(upstream, 0)
    listen = f"listen 127.0.0.1:{proxy.port}"
    other = f"server {{ {listen} default_server; return 404; }}\n"
    named = replaced(proxy.shipped(), "server_name chat.example", "server_name localhost")
    async with fronted(proxy, upstream, other + named) as http:
        old = {"Host": "localhost", "x_user": "ada"}
        async with http.post(CONVERSATION, json=BODY, headers=old) as answer:
            assert answer.status == 200
            await answer.read()
        async with http.get(f"/backend-api/v2/usage/{date.today()}", headers={"Host": "localhost"}) as answer:
            assert json.loads(await answer.text())["user"] == "ada"


async def test_what_a_client_says_of_itself_is_replaced(proxy: Proxy) -> None:
    forged = {
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=10.0.0.1",
        "X-Request-ID": 'a"b',
    }

    async def echo(request: web.Request) -> web.Response:
        return web.json_response(dict(request.headers))

    async with before(proxy, echo) as http:
        async with http.get("/", headers=forged) as answer:
            seen = await answer.json()
        assert seen["X-Forwarded-For"] == "127.0.0.1"
        assert seen["X-Forwarded-Host"] == seen["Host"] == f"127.0.0.1:{proxy.port}"
        assert seen["X-Forwarded-Proto"] == "http"
        assert "Forwarded" not in seen
        assert re.fullmatch("[0-9a-f]{32}", seen["X-Request-ID"])
        async with http.get("/", headers={"X-Request-ID": "mine-1"}) as answer:
            assert (await answer.json())["X-Request-ID"] == "mine-1"


async def test_the_log_has_the_request_and_not_its_query(proxy: Proxy, upstream: Upstream) -> None:
    asking = {"X-Request-ID": "mine-1"}
    async with (
        fronted(proxy, upstream, proxy.shipped()) as http,
        http.get("/health/live?asked=secret", headers=asking) as answer,
    ):
        assert answer.headers["X-Request-ID"] == "mine-1"
    (line,) = (proxy.directory / "access.log").read_text().splitlines()
    assert '"GET /health/live" 200' in line
    assert line.endswith(" mine-1")


@pytest.mark.parametrize(
    ("path", "mebibytes", "refused_by"),
    [
        (CONVERSATION, 2, "the service"),
        (CONVERSATION, 17, "the service"),
        ("/v1/messages", 17, "nginx"),
        ("/v1/files", 17, "nobody"),
        ("/backend-api/v2/files/bucket", 17, "nobody"),
        ("/backend-api/v2/files/bucket", 513, "nginx"),
    ],
)
async def test_how_much_may_be_sent(
    proxy: Proxy, upstream: Upstream, path: str, mebibytes: int, refused_by: str
) -> None:
    async with fronted(proxy, upstream, proxy.shipped()) as http:
        size = mebibytes * MEBIBYTE
        data = io.BytesIO(bytes(size)) if mebibytes < 100 else None
        headers = {} if data else {"Content-Length": str(size), "Expect": "100-continue"}
        async with http.post(path, data=data, headers=headers) as answer:
            said = await answer.text()
    assert (answer.status == 413) is (refused_by != "nobody")
    assert said.startswith("<html>") is (refused_by == "nginx")


async def test_a_socket_that_nobody_listens_on_is_a_bad_gateway(proxy: Proxy) -> None:
    async with (
        proxy.running(proxy.shipped()),
        aiohttp.ClientSession(proxy.url) as http,
        http.get("/") as answer,
    ):
        assert answer.status == 502
