"""No page of another site talks to the service, unless the operator has named it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Service, serving
from tests.upstream import Upstream

VERSION = "/backend-api/v2/version"
CHAT = "https://chat.example"


async def refused(service: Service, path: str = VERSION, method: str = "GET", **headers: str) -> str | None:
    """The reason of a 403; None where the request is answered."""
    async with service.http.request(method, service.url + path, headers=headers) as answer:
        if answer.status != 403:
            return None
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]
        error = (await answer.json())["error"]
        assert error["code"] == "forbidden"
        return str(error["message"])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_the_names_of_the_loopback_are_known(host: str, service: Service) -> None:
    for port in ("", ":8080"):
        assert await refused(service, Host=host + port) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "evil.example?@localhost",
        "localhost@evil.example",
        "192.168.1.5",
        "0.0.0.0",
        "127.0.0.1\xff",
        "[::2]",
        "[",
        " ",
        "",
    ],
)
async def test_another_host_is_refused(host: str, service: Service) -> None:
    assert "server.hosts" in (await refused(service, Host=host) or "")


async def test_a_name_that_was_rebound_to_this_address_is_refused(service: Service) -> None:
    """A page of evil.example whose name now resolves to 127.0.0.1: to the browser it is the same origin."""
    rebound = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
    for path in (VERSION, "/", "/nowhere", "/metrics"):
        assert await refused(service, path, **rebound)
    assert await refused(service, CONVERSATION, "POST", **rebound)


@pytest.mark.parametrize(
    "origin", [CHAT, "http://localhost:3000", "http://127.0.0.1", "null", "file://", "*", "\xff"]
)
async def test_another_origin_is_refused(origin: str, service: Service, upstream: Upstream) -> None:
    for path, method in ((VERSION, "GET"), (CONVERSATION, "POST"), (CONVERSATION, "OPTIONS"), ("/", "GET")):
        assert "server.origins" in (await refused(service, path, method, Origin=origin) or "")
    assert upstream.bill == []


async def test_a_page_of_ours_is_answered(service: Service) -> None:
    assert await refused(service, Origin=service.url) is None
    assert await refused(service, Origin=service.url, **{"Sec-Fetch-Site": "same-origin"}) is None


@pytest.mark.parametrize(
    ("site", "mode", "answered"),
    [
        ("same-origin", "cors", True),
        ("none", "navigate", True),
        ("cross-site", "navigate", True),
        ("cross-site", "no-cors", False),
        ("same-site", "no-cors", False),
        ("cross-site", "cors", False),
    ],
)
async def test_nothing_is_embedded_elsewhere(site: str, mode: str, answered: bool, service: Service) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert (await refused(service, "/web/app.js", **headers) is None) is answered


async def test_no_browser_is_told_of_other_origins(service: Service) -> None:
    async with service.http.get(service.url + VERSION, headers={"Origin": service.url}) as answer:
        assert answer.status == 200
        assert not [name for name in answer.headers if name.startswith("Access-Control-") or name == "Vary"]


async def test_further_hosts_are_known_when_they_are_named(tmp_path: Path) -> None:
    async with serving(tmp_path, '[server]\nhosts = ["chat.example", "Intranet"]') as service:
        for host in ("chat.example", "chat.example:443", "Chat.Example", "intranet"):
            assert await refused(service, Host=host) is None
        assert await refused(service, Host="chat.example", Origin=CHAT) is None
        assert await refused(service, Host="evil.example")
        assert await refused(service, Host="192.168.1.5")


async def test_open_to_the_network_any_address_will_do_and_no_name(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_SERVER_OPEN_TO_NETWORK="true") as service:
        for host in ("192.168.1.5", "192.168.1.5:8080", "[fd00::1]:8080"):
            assert await refused(service, Host=host) is None
        assert await refused(service, Host="evil.example")
        assert await refused(service, Host="192.168.1.5", Origin=CHAT)


# Origins that the operator has named


@pytest.fixture
async def shared(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """A service that pages of chat.example may call."""
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_SERVER_ORIGINS=f"{CHAT},http://localhost:3000") as service:
        yield service


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", VERSION, 200),
        ("GET", "/backend-api/v2/models/Some", 200),
        ("GET", "/backend-api/v2/health/Some", 404),
        ("POST", CONVERSATION, 400),
        ("GET", CONVERSATION, 405),
        ("GET", "/backend-api/v2/quota/Some", 404),
    ],
)
async def test_a_named_origin_reads_every_answer(
    method: str, path: str, status: int, shared: Service
) -> None:
    async with shared.http.request(method, shared.url + path, headers={"Origin": CHAT}) as answer:
        assert answer.status == status
        assert answer.headers.getall("Access-Control-Allow-Origin") == [CHAT]
        exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(",")
        assert {name.strip() for name in exposed} >= {"x-turn-id", "x-request-id"}
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_named_origin_reads_a_stream(shared: Service) -> None:
    async with shared.asking(headers={"Origin": CHAT}) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == CHAT
        assert b"event: usage" in await answer.read()


@pytest.mark.parametrize("origin", [None, CHAT, "https://other.example"])
async def test_no_cache_gives_one_origins_answer_to_another(origin: str | None, shared: Service) -> None:
    headers = {"Origin": origin} if origin else {}
    for path in (VERSION, "/nowhere", "/web/app.js"):
        async with shared.http.get(shared.url + path, headers=headers) as answer:
            assert answer.headers["Vary"] == "Origin"


async def test_an_origin_that_is_not_named_is_refused(shared: Service) -> None:
    for origin in ("https://chat.example.evil.example", "http://chat.example", "null", f"{CHAT}:8443"):
        assert await refused(shared, Origin=origin)


PREFLIGHT = (
    "content-type,accept,x-user,x-api-key,x-ignored,if-none-match,authorization,last-event-id,idempotency-key"
)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", CONVERSATION), ("GET", VERSION), ("POST", "/backend-api/v2/log")]
)
async def test_a_preflight_allows_what_clients_send(method: str, path: str, shared: Service) -> None:
    headers = {
        "Origin": CHAT,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": PREFLIGHT,
    }
    async with shared.http.options(shared.url + path, headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == CHAT
        assert answer.headers["Access-Control-Allow-Methods"] == method
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(",")
        assert {name.strip() for name in allowed} == set(PREFLIGHT.split(","))
        assert answer.headers["Access-Control-Max-Age"] == "600"
        assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_of_another_origin_is_refused(shared: Service) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert await refused(shared, CONVERSATION, "OPTIONS", **headers)


async def test_a_preflight_that_asks_for_nothing_is_told_so(shared: Service) -> None:
    async with shared.http.options(shared.url + CONVERSATION, headers={"Origin": CHAT}) as answer:
        assert answer.status == 403
        assert "CORS preflight request failed" in (await answer.json())["error"]["message"]
