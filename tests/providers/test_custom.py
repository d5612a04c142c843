"""`Custom`, the upstream that a client names: no key of ours reaches it, it reaches no private address."""

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from service.errors import Forbidden
from service.events import Content, Event
from service.messages import Ask, Message
from service.providers.custom import Custom
from service.providers.sse import LIMIT
from service.providers.upstream import Deadlines
from service.tasks import Tasks
from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, events, kinds, serving, text
from tests.upstream import Close, Done, Say, Status, Upstream, failure, until

OURS, THEIRS = "sk-ours-5d41402abc", "sk-theirs-7d793037a0"
HELLO = "Hello from the upstream."
QUESTION = [{"role": "user", "content": "Hello"}]
MODELS = "/backend-api/v2/models/Custom"
PUBLIC = "93.184.216.34"


class Listener:
    """Counts who connects to a port of this machine."""

    def __init__(self) -> None:
        self.connections = 0

    async def __aenter__(self) -> "Listener":
        self._servers = [await asyncio.start_server(self._connected, "127.0.0.1")]
        self.port = self._servers[0].sockets[0].getsockname()[1]
        with suppress(OSError):  # not every machine has IPv6
            self._servers.append(await asyncio.start_server(self._connected, "::1", self.port))
        return self

    async def __aexit__(self, *raised: object) -> None:
        for server in self._servers:
            server.close()

    async def _connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener() as listener:
        yield listener


@asynccontextmanager
async def offering(directory: Path, *hosts: str, rows: str = "") -> AsyncIterator[Service]:
    """A service whose clients may name upstreams, and these on hosts of this machine."""
    variables = {
        "CAUSERIE_CLIENTS_UPSTREAMS": "true",
        "CAUSERIE_CLIENTS_UPSTREAM_HOSTS": ",".join(hosts),
        "CAUSERIE_SERVER_LEGACY": "off",
        "OUR_KEY": OURS,
    }
    async with serving(directory, rows, **variables) as service:
        yield service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Clients may name public upstreams, and no others."""
    async with offering(tmp_path) as service:
        yield service


@pytest.fixture
async def near(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """Clients may name the scripted upstream; a key of ours is for it as well, under another name."""
    row = ROW.format(url=upstream.url) + f'key = "OUR_KEY"\nheaders = {{ X-Ours = "{OURS}" }}\n'
    async with offering(tmp_path, upstream.url[7:-3], rows=row) as service:
        yield service


async def asked(service: Service, sent: Any = None, /, **body: Any) -> list[Json]:
    """The events of an answer by Custom; a refusal before the stream as the one event it would be."""
    body = {"messages": QUESTION, "provider": "Custom", "model": "small", **body}
    async with service.http.post(service.url + CONVERSATION, json=body, headers=sent) as answer:
        if answer.status == 200:
            return events(await answer.read())[1:]
        error = (await answer.json())["error"]
        return [{"type": "error", "error": error["code"], "message": error["message"]}]


def questions(upstream: Upstream) -> list[Any]:
    """What of it the client asked; the service's own look at the models comes with our key."""
    return [request for request in upstream.requests if request.method == "POST"]


# Where it is offered


async def test_it_is_not_offered_as_things_are_shipped(tmp_path: Path, listener: Listener) -> None:
    base = f"http://127.0.0.1:{listener.port}/v1"
    async with serving(tmp_path, CAUSERIE_CLIENTS_UPSTREAM_HOSTS="127.0.0.1") as service:
        names = [offer["name"] for offer in await service.get("/backend-api/v2/providers")]
        assert "Custom" not in names
        for body in ({"provider": "Custom", "base_url": base}, {"provider": "Custom"}, {"provider": base}):
            status, answer = await service.post(CONVERSATION, {"messages": QUESTION, **body})
            assert (status, answer["error"]["code"]) == (403, "forbidden")
            assert "clients.upstreams" in answer["error"]["message"]
        assert await service.get(MODELS, headers={"x-api-base": base}) == []
    assert listener.connections == 0


async def test_where_it_is_offered_clients_can_choose_it(service: Service) -> None:
    offers = {offer["name"]: offer for offer in await service.get("/backend-api/v2/providers")}
    assert offers["Custom"].items() >= {"label": "Custom Provider", "active_by_default": True}.items()
    assert offers["AnyProvider"]["live"] == 0, "the service itself never chooses it"
    status, answer = await service.post(CONVERSATION, {"messages": QUESTION})
    assert (status, answer["error"]["code"]) == (503, "unavailable")


WAYS: dict[str, Any] = {
    "base_url": lambda base: ({}, {"base_url": base}),
    "api_base": lambda base: ({}, {"api_base": base, "base_url": None}),
    "header": lambda base: ({"x-api-base": base}, {}),
    "header with underscores": lambda base: ({"x_api_base": base}, {}),
    "provider": lambda base: ({}, {"provider": base}),
    "with a slash": lambda base: ({}, {"base_url": base + "/"}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_it_asks_where_the_client_says(way: str, near: Service, upstream: Upstream) -> None:
    headers, body = WAYS[way](upstream.url)
    answer = await asked(near, headers, **body)
    assert text(answer) == HELLO
    named = {"name": "Custom", "url": None, "label": "Custom Provider", "model": "small"}
    assert answer[0] == {"type": "provider", "provider": named}
    (question,) = questions(upstream)
    assert "authorization" not in question.headers


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"x-api-key": THEIRS}, {}), ({}, {"api_key": THEIRS}), ({}, {"api_key": {"Custom": THEIRS}})],
    ids=str,
)
async def test_it_uses_the_clients_key_alone(
    headers: Json, body: Json, near: Service, upstream: Upstream
) -> None:
    assert text(await asked(near, headers, base_url=upstream.url, **body)) == HELLO
    (question,) = questions(upstream)
    assert question.headers["authorization"] == f"Bearer {THEIRS}"
    assert OURS not in str(question)


async def test_it_lists_the_models_there(near: Service, upstream: Upstream) -> None:
    headers = {"x-api-base": upstream.url, "x-api-key": THEIRS}
    models = await near.get(MODELS, headers=headers)
    assert [model["id"] for model in models] == ["small", "large"]
    assert upstream.requests[-1].headers["authorization"] == f"Bearer {THEIRS}"
    assert await near.get(MODELS) == []
    upstream.script_models(Status(401, failure(f"No such key: {THEIRS}.")))
    async with near.http.get(near.url + MODELS, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (502, "provider_auth")
        assert THEIRS not in await answer.text()


async def test_create_asks_it_as_well(near: Service, upstream: Upstream) -> None:
    address = near.url + "/backend-api/v2/create?prompt=Hello&provider=Custom&model=small"
    async with near.http.get(address, headers={"x-api-base": upstream.url}) as answer:
        assert await answer.text() == HELLO
    async with near.http.get(address + f"&base_url={upstream.url}&api_base={upstream.url}") as answer:
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, "base_url")


async def test_another_provider_is_not_led_elsewhere(near: Service, upstream: Upstream) -> None:
    async with Upstream() as other:
        body = dict.fromkeys(("base_url", "api_base", "api_endpoint", "url", "proxy"), other.url)
        nested = {"headers": {"Host": "other"}, "extra_headers": {"X-Evil": "1"}, "extra_body": body}
        for provider in ("Upstream", None):
            answer = await asked(near, {"x-api-base": other.url}, provider=provider, **body, **nested)
            assert text(answer) == HELLO
        assert other.requests == []
    for question in questions(upstream):
        assert question.headers["authorization"] == f"Bearer {OURS}"
        assert question.headers["host"] == upstream.url[7:-3]
        assert "x-evil" not in question.headers and "x-api-base" not in question.headers
        assert question.body.keys() == {"model", "messages", "stream", "stream_options"}


async def test_nothing_else_of_a_request_reaches_it(near: Service, upstream: Upstream) -> None:
    async with Upstream() as proxy:
        fields = {"proxy": proxy.url, "headers": {"X-Evil": "1"}, "api_endpoint": proxy.url, "timeout": 1}
        assert text(await asked(near, base_url=upstream.url, **fields)) == HELLO
        assert proxy.requests == []
    (question,) = questions(upstream)
    assert question.body.keys() == {"model", "messages", "stream", "stream_options"}
    assert "x-evil" not in question.headers


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_it_takes_no_proxy(
    variable: str, tmp_path: Path, upstream: Upstream, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{listener.port}")
    monkeypatch.setenv("no_proxy", "")
    async with offering(tmp_path, "127.0.0.1") as service:
        assert text(await asked(service, base_url=upstream.url)) == HELLO
    assert listener.connections == 0


async def test_one_clients_trouble_is_not_anothers(near: Service, upstream: Upstream) -> None:
    for _ in range(5):
        assert refused(await asked(near, base_url="http://models.invalid/v1"))
    upstream.enqueue([Status(429, headers={"Retry-After": "3600"})])
    await asked(near, base_url=upstream.url)
    offers = {offer["name"]: offer for offer in await near.get("/backend-api/v2/providers")}
    assert offers["Custom"].items() >= {"live": 1, "reason": None, "circuit": "closed"}.items()
    assert text(await asked(near, base_url=upstream.url)) == HELLO


# Where it does not go

HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0",
    "0.0.0.0",
    "0x7f000001",
    "0x7f.0.0.1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "[fe80::1%25lo]",
    "[fd00::]",
    "[ff02::1]",
    "169.254.169.254",
    "168.63.129.16",
    "10.0.0.1",
    "192.168.0.1",
    "172.16.0.1",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "a@127.0.0.1",
    "a:b@127.0.0.1",
    "@127.0.0.1",
    "127.0.0.1\\@x",
    "x\\@127.0.0.1",
    "x#@127.0.0.1",
    "x?@127.0.0.1",
    "127.0.0.1%00",
    "127.0.0.1%2f@x",
    "127.0.0.1\t",
    " 127.0.0.1",
    "127.0.0.1\r\nX: y",
    "127.0.0.1\0.example",
]


@pytest.mark.parametrize("host", HOSTS)
async def test_no_private_address_is_reached(host: str, service: Service, listener: Listener) -> None:
    base = f"http://{host}:{listener.port}/v1"
    assert refused(await asked(service, base_url=base, api_key=THEIRS))
    assert refused(await asked(service, api_base=base.replace("http:", "https:"), api_key=THEIRS))
    assert refused(await asked(service, provider=base)) or not base.startswith("http://")
    with suppress(ValueError):  # what no header can hold
        async with service.http.get(service.url + MODELS, headers={"x-api-base": base}) as answer:
            assert answer.status in {400, 403, 502}
    assert listener.connections == 0


def refused(answer: list[Json]) -> bool:
    """Whether nothing was said but that it could not be asked; names that are none fail in other words."""
    return kinds(answer)[-1] == "error" and answer[-1]["error"] in {
        "Forbidden",
        "ProviderError",
        "invalid_request",
    }


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0",
        "2130706433",
        "0x7f000001",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
async def test_who_is_refused_is_told_why(host: str, service: Service) -> None:
    (*_, last) = await asked(service, base_url=f"http://{host}:9/v1")
    assert last["error"] == "Forbidden"
    assert "no public address" in last["message"] and "clients.upstream_hosts" in last["message"]


@pytest.mark.parametrize(
    "base", [None, "", "models.example/v1", "ftp://models.example", "http://models.example?a=b"]
)
async def test_what_is_no_address_is_refused_before_the_stream(base: str | None, service: Service) -> None:
    body = {"messages": QUESTION, "provider": "Custom", "base_url": base}
    status, answer = await service.post(CONVERSATION, body)
    assert (status, answer["error"]["param"]) == (400, "base_url")


async def test_a_host_that_is_named_opens_no_other(tmp_path: Path, listener: Listener) -> None:
    async with offering(tmp_path, "localhost:9", "models.intranet") as service:
        for host in ("localhost", "127.0.0.1", "models.intranet@localhost", "[::1]"):
            assert refused(await asked(service, base_url=f"http://{host}:{listener.port}/v1"))
    assert listener.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    status: int, near: Service, upstream: Upstream, listener: Listener
) -> None:
    inside = {"Location": f"http://127.0.0.1:{listener.port}/v1/chat/completions"}
    upstream.script(Status(status, b"", headers=inside))
    upstream.script_models(Status(status, b"", headers=inside))
    answer = await asked(near, base_url=upstream.url, api_key=THEIRS)
    assert "redirects elsewhere" in answer[-1]["message"]
    async with near.http.get(near.url + MODELS, headers={"x-api-base": upstream.url}) as models:
        assert models.status == 502
    assert listener.connections == 0


# Names


class Names(AbstractResolver):
    """Answers each question with the next of these lists; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def knowing(*answers: Sequence[str]) -> AsyncIterator[Custom]:
    """Custom, with names that resolve to these addresses."""
    custom, tasks = Custom((), Deadlines(connect=5), 10, Names(*answers)), Tasks()
    await custom.open(tasks)
    try:
        yield custom
    finally:
        await custom.close()
        await tasks.close()


async def said(custom: Custom, port: int) -> str:
    """What is answered by whoever a name stands for."""
    told: list[Event] = []
    base = f"http://models.example:{port}/v1"
    ask = Ask(messages=[Message("user", "Hello")], model="small", base_url=base)
    await custom.pump(ask, told.extend)
    return "".join(event.content for event in told if isinstance(event, Content))


@pytest.fixture
def outside(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> int:
    """The port of the scripted upstream, which answers at a public address: nothing leaves this machine."""
    port = int(upstream.url.split(":")[2].removesuffix("/v1"))

    class Routed(socket.socket):
        def connect(self, address: Any) -> None:
            super().connect(("127.0.0.1", port) if address[0] == PUBLIC else address)

    monkeypatch.setattr(socket, "socket", Routed)
    return port


async def test_a_name_of_a_public_address_is_asked(outside: int, upstream: Upstream) -> None:
    async with knowing([PUBLIC]) as custom:
        assert await said(custom, outside) == HELLO


async def test_a_name_that_moves_inside_is_not_followed(
    outside: int, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is public and holds for no time, the next one is not."""
    monkeypatch.setattr("aiohttp.connector._DNSCacheTable.expired", lambda *_: True)
    upstream.script(Say(HELLO), Done(), Close())
    async with knowing([PUBLIC], ["127.0.0.1"]) as custom:
        assert await said(custom, outside) == HELLO
        await until(lambda: not upstream.open)
        with pytest.raises(Forbidden):
            await said(custom, outside)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1", "127.0.0.1"], ["10.0.0.1", "169.254.169.254", "fd00::1"], ["::ffff:7f00:1"]],
    ids=str,
)
async def test_a_name_of_private_addresses_is_refused(addresses: list[str], listener: Listener) -> None:
    async with knowing(addresses) as custom:
        with pytest.raises(Forbidden, match="no public address"):
            await said(custom, listener.port)
    assert listener.connections == 0


async def test_of_several_addresses_only_public_ones_are_tried(outside: int, listener: Listener) -> None:
    async with knowing(["127.0.0.1", PUBLIC, "::1"]) as custom:
        assert await said(custom, outside) == HELLO
    assert listener.connections == 0


async def test_a_name_that_stands_for_nothing_is_no_refusal(service: Service) -> None:
    (*_, last) = await asked(service, base_url="http://models.invalid/v1")
    assert (last["error"], "cannot be reached" in last["message"]) == ("ProviderError", True)


# What it may send

BOMB = gzip.compress(b"data: " + bytes(16 * LIMIT))
BOMBS = {
    "a stream": (200, "text/event-stream"),
    "a whole answer": (200, "application/json"),
    "an error": (500, "application/json"),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_small_answer_that_unpacks_to_a_large_one_is_let_go(
    name: str, near: Service, upstream: Upstream
) -> None:
    status, kind = BOMBS[name]
    packed = {"Content-Encoding": "gzip", "Content-Type": kind}
    upstream.script(Status(status, BOMB, headers=packed))
    upstream.script_models(Status(status, BOMB, headers=packed))
    tracemalloc.start()
    try:
        answer = await asked(near, base_url=upstream.url)
        async with near.http.get(near.url + MODELS, headers={"x-api-base": upstream.url}) as models:
            assert models.status == 502
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kinds(answer)[-1] == "error"
    assert most < 8 * LIMIT, "half of what it unpacks to"
