"""What a row says of its provider: models and their names, parameters, deadlines, connections, proxies."""

import asyncio
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from service.errors import ModelNotFound
from service.events import Event, Finished
from service.messages import Ask, Message
from service.providers.compatible import Compatible
from service.providers.roster import roster
from service.settings import ProviderRow
from service.sources import load
from service.tasks import Tasks
from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, kinds, serving, text
from tests.upstream import (
    Data,
    Done,
    Finish,
    Gate,
    Html,
    Redirect,
    Say,
    Silent,
    Stall,
    Status,
    Step,
    Upstream,
    Wait,
    failure,
    until,
)

HELLO = "Hello from the upstream."
KEYED = ROW.replace("local = true", 'key = "UPSTREAM_KEY"')
KEY = {"UPSTREAM_KEY": "canary-key"}


@pytest.fixture(params=["openai", "anthropic", "ollama"])
def kind(request: pytest.FixtureRequest) -> str:
    """What the provider speaks."""
    return str(request.param)


def row(upstream: Upstream, kind: str, *more: str, table: str = ROW) -> str:
    url = upstream.root if kind == "ollama" else upstream.url
    return "\n".join([f'{table.format(url=url)}kind = "{kind}"', *more])


def questions(upstream: Upstream) -> list[Json]:
    return [request.body for request in upstream.requests if request.method == "POST"]


async def test_models_have_our_names(tmp_path: Path, upstream: Upstream, kind: str) -> None:
    rows = row(upstream, kind, 'renamed = { fast = "small", best = "unlisted" }')
    async with serving(tmp_path, rows) as service:
        cards = await service.get("/backend-api/v2/models/Upstream")
        assert [card["id"] for card in cards] == ["fast", "best", "large"]
        answer = await service.ask(model="fast")
        assert (text(answer), questions(upstream)[-1]["model"]) == (HELLO, "small")
        assert [event["provider"]["model"] for event in answer if event["type"] == "provider"] == ["fast"]
        assert answer[-1]["model"] == "fast"
        status, error = await service.post(CONVERSATION, {"prompt": "Hi", "model": "small"})
        assert (status, error["error"]["code"]) == (404, "model_not_found")


async def test_a_renamed_model_keeps_its_name_whatever_the_upstream_calls_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    chunk = {"model": "small-2026-01-01", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    upstream.script(Data(chunk), Finish(), Done())
    async with serving(tmp_path, row(upstream, "openai", 'renamed = { fast = "small" }')) as service:
        answer = await service.ask(model="fast")
        assert kinds(answer) == ["provider", "content", "finish", "usage"]
        assert answer[-1]["model"] == "fast"


async def test_only_what_is_allowed_is_asked_for(tmp_path: Path, upstream: Upstream, kind: str) -> None:
    async with serving(tmp_path, row(upstream, kind, 'models = ["large"]')) as service:
        cards = await service.get("/backend-api/v2/models/Upstream")
        assert [card["id"] for card in cards] == ["large"]
        for named in ({}, {"provider": "Upstream"}):
            status, error = await service.post(CONVERSATION, {"prompt": "Hi", "model": "small", **named})
            assert (status, error["error"]["code"]) == (404, "model_not_found")
        assert questions(upstream) == []
        assert text(await service.ask(model="large")) == HELLO


async def test_what_is_not_allowed_is_refused_before_any_list_was_read(upstream: Upstream) -> None:
    provider = Compatible(ProviderRow("Upstream", upstream.url, models=("large",)))
    ask = Ask(messages=[Message("user", "Hello")], model="small")
    with pytest.raises(ModelNotFound):
        await provider.check(ask)


async def test_options_hold_where_the_client_is_silent(tmp_path: Path, upstream: Upstream) -> None:
    options = "options = { temperature = 0.2, max_tokens = 9, provider = { sort = 'price' } }"
    async with serving(tmp_path, row(upstream, "openai", options)) as service:
        await service.ask()
        await service.ask(temperature=0.7, max_completion_tokens=5)
    first, second = (
        {name: body.get(name) for name in ("temperature", "max_tokens", "max_completion_tokens", "provider")}
        for body in questions(upstream)
    )
    price = {"sort": "price"}
    assert first == {
        "temperature": 0.2,
        "max_tokens": 9,
        "max_completion_tokens": None,
        "provider": price,
    }
    assert second == {
        "temperature": 0.7,
        "max_tokens": None,
        "max_completion_tokens": 5,
        "provider": price,
    }


async def test_headers_and_the_key_go_along(tmp_path: Path, upstream: Upstream, kind: str) -> None:
    upstream.key = "canary-key"
    rows = row(upstream, kind, 'headers = { X-Department = "sales" }', table=KEYED)
    async with serving(tmp_path, rows, **KEY) as service:
        assert text(await service.ask(provider="Upstream", model="small")) == HELLO
        name = "x-api-key" if kind == "anthropic" else "authorization"
        assert {request.headers["x-department"] for request in upstream.requests} == {"sales"}
        assert all("canary-key" in request.headers[name] for request in upstream.requests)


async def test_a_refused_key_is_in_no_error(tmp_path: Path, upstream: Upstream, kind: str) -> None:
    upstream.script(Status(401, failure("Incorrect API key provided: canary-key.")))
    async with serving(tmp_path, row(upstream, kind, table=KEYED), **KEY) as service:
        answer = await service.ask(provider="Upstream", model="small")
        assert (answer[-1]["type"], answer[-1]["auth"]) == ("auth", "ProviderAuth")
        assert "Incorrect API key provided: …" in answer[-1]["message"]
        assert "canary-key" not in str(answer)


SILENCES: dict[str, list[Step]] = {
    "no status": [Silent()],
    "no token": [Stall()],
    "in the middle": [Say("Hel"), Stall()],
}


@pytest.mark.parametrize("name", SILENCES)
async def test_silence_has_an_end(tmp_path: Path, upstream: Upstream, kind: str, name: str) -> None:
    upstream.script(*SILENCES[name])
    rows = row(upstream, kind, "first_token_timeout = 0.3", "idle_timeout = 0.3")
    async with serving(tmp_path, rows) as service, asyncio.timeout(5):
        answer = await service.ask(provider="Upstream")
        assert (answer[-1]["type"], answer[-1]["error"]) == ("error", "ProviderTimeout")
        await until(lambda: upstream.aborted, seconds=1)


async def test_who_sends_nothing_but_pings_is_silent(tmp_path: Path, upstream: Upstream) -> None:
    pings = [Data({"type": "ping"}), Wait(0.05)] * 40
    upstream.script(Say("Hel"), *pings)
    async with serving(tmp_path, row(upstream, "anthropic", "idle_timeout = 0.3")) as service:
        assert (await service.ask(provider="Upstream"))[-1]["error"] == "ProviderTimeout"


async def test_no_more_connections_are_open_than_allowed(tmp_path: Path, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("One."), Gate(gate), Finish(), Done())
    async with serving(tmp_path, row(upstream, "openai", "connections = 2")) as service:
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(service.ask()) for _ in range(5)]
            await until(lambda: len(questions(upstream)) == 2)
            await asyncio.sleep(0.1)
            assert (len(questions(upstream)), upstream.open) == (2, 2)
            gate.set()
        assert [text(ask.result()) for ask in asks] == ["One."] * 5


async def test_no_redirect_is_followed(tmp_path: Path, upstream: Upstream, kind: str) -> None:
    async with Upstream() as elsewhere:
        upstream.script(Redirect(elsewhere.url + "/chat/completions"))
        upstream.script_models(Redirect(elsewhere.url + "/models"))
        async with serving(tmp_path, row(upstream, kind, table=KEYED), **KEY) as service:
            answer = await service.ask(provider="Upstream", model="small")
            assert "redirects elsewhere" in answer[-1]["message"]
            await until(lambda: not service.context.registry.listing("Upstream").live)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "steps",
    [
        [Html()],
        [Status(200, b"<p>", {"Content-Type": "application/json"})],
        [Status(200, b'{"data":' + b"[" * 100_000)],
    ],
    ids=["a page", "no JSON", "nonsense that is deep"],
)
async def test_what_is_no_list_of_models_is_said_to_be_none(
    tmp_path: Path, upstream: Upstream, kind: str, steps: list[Step]
) -> None:
    upstream.script_models(*steps)
    async with serving(tmp_path, row(upstream, kind)) as service:
        (offer,) = [
            offer for offer in await service.get("/backend-api/v2/providers") if offer["name"] == "Upstream"
        ]
        assert (offer["live"], "Check its url" in offer["reason"]) == (0, True)


async def test_later_means_later(tmp_path: Path, upstream: Upstream, kind: str) -> None:
    """Retry-After is a number of seconds or a date, and stands beside other failures than 429 as well."""
    async with serving(tmp_path, row(upstream, kind), CAUSERIE_ROUTING_FAILURES="9") as service:
        for code, value in ((429, "77"), (503, "77"), (503, formatdate(time() + 78, usegmt=True))):
            upstream.script(Status(code, headers={"Retry-After": value}))
            answer = await service.ask(provider="Upstream")
            assert 70 < answer[-1]["retry_after"] < 80


async def proxied(tmp_path: Path, rows: str, **variables: str) -> Json:
    async with serving(tmp_path, rows, **KEY, **variables) as service:
        return (await service.ask(provider="Upstream", model="small"))[-1]


async def test_the_proxy_of_the_environment_is_taken(
    tmp_path: Path, upstream: Upstream, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the scripted upstream is the proxy, which is asked for whole addresses."""
    monkeypatch.setenv("HTTP_PROXY", upstream.root.replace("://", "://ada:secret@"))
    rows = row(upstream, kind, table=KEYED).replace(upstream.root, "http://models.example")
    last = await proxied(tmp_path, rows)
    assert last["type"] == "usage"
    request = upstream.requests[-1]
    assert request.target.startswith("http://models.example/")
    assert request.headers["proxy-authorization"] == "Basic YWRhOnNlY3JldA=="


@pytest.mark.parametrize("exception", ["NO_PROXY", "the row", "local"])
async def test_no_proxy_is_taken(
    tmp_path: Path, upstream: Upstream, exception: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Upstream() as proxy:
        monkeypatch.setenv("http_proxy", proxy.root)
        monkeypatch.setenv("NO_PROXY", "models.example,127.0.0.1" if exception == "NO_PROXY" else "")
        more = {"the row": ["proxy = false"]}.get(exception, [])
        rows = row(upstream, "openai", *more, table=ROW if exception == "local" else KEYED)
        assert (await proxied(tmp_path, rows))["type"] == "usage"
        assert proxy.requests == []


@pytest.mark.parametrize(
    ("variable", "proxy", "address", "words"),
    [
        ("HTTP_PROXY", "127.0.0.1:1", "http://models.example", "does not lead to The upstream"),
        ("HTTPS_PROXY", "{root}", "https://models.example", "does not lead to The upstream"),
        (
            "HTTP_PROXY",
            "socks5://127.0.0.1:1",
            "http://models.example",
            "HTTP_PROXY names a proxy of another kind",
        ),
    ],
    ids=["away", "refuses to connect", "is not spoken"],
)
async def test_a_proxy_that_leads_nowhere_is_told(
    tmp_path: Path,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    proxy: str,
    address: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, proxy.format(root=upstream.root))
    last = await proxied(tmp_path, row(upstream, "openai", table=KEYED).replace(upstream.root, address))
    assert (last["error"], words in last["message"]) == ("ProviderError", True)


@pytest.mark.parametrize(
    ("host", "url", "own"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/v1", True),
        ("127.0.0.1", "http://localhost:8000/v1", True),
        ("::1", "http://localhost:8000/v1", True),
        ("0.0.0.0", "http://127.0.0.1:8000/v1", True),
        ("chat.example", "http://chat.example:8000/v1", True),
        ("127.0.0.1", "http://127.0.0.1:8001/v1", False),
        ("127.0.0.1", "https://127.0.0.1:8000/v1", False),
        ("127.0.0.1", "http://models.example:8000/v1", False),
        ("10.0.0.1", "http://127.0.0.1:8000/v1", False),
    ],
)
def test_the_service_does_not_ask_itself(tmp_path: Path, host: str, url: str, own: bool) -> None:
    file = tmp_path / "own.toml"
    file.write_text(ROW.format(url=url) + "[server]\nopen_to_network = true\n")
    address = {"CAUSERIE_HOST": host, "CAUSERIE_PORT": "8000"}
    names = [provider.name for provider in roster(load({"CAUSERIE_CONFIG": str(file), **address}))]
    assert ("Upstream" not in names) is own
    elsewhere = {"CAUSERIE_SOCKET": "/run/causerie.sock"}
    assert "Upstream" in [
        provider.name for provider in roster(load({"CAUSERIE_CONFIG": str(file), **address, **elsewhere}))
    ]


class Elsewhere(Compatible):
    """Asks where the question says."""

    def _base(self, ask: Ask) -> str:
        return ask.base_url or self.url


async def test_what_is_ours_leaves_for_the_rows_own_address_only(upstream: Upstream) -> None:
    """Wherever else a provider may be made to ask."""
    own = ProviderRow("Upstream", "http://127.0.0.1:1/v1", key="KEY", headers={"X-Secret": "canary-header"})
    provider = Elsewhere(own, key="canary-key", direct=False)
    await provider.open(Tasks())
    said: list[Event] = []
    ask = Ask(messages=[Message("user", "Hello")], model="small", base_url=upstream.url)
    await provider.pump(ask, said.extend)
    await provider.close()
    assert isinstance(said[-1], Finished)
    assert "canary" not in str(upstream.requests[-1].headers)


async def test_what_a_provider_fails_on_is_left_out(tmp_path: Path, upstream: Upstream) -> None:
    rows = row(upstream, "openai", 'refuses = ["max_completion_tokens", "thinking", "top_k"]')
    async with serving(tmp_path, rows) as service:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        await service.ask(max_completion_tokens=7, thinking=thinking, top_k=3, top_p=0.5)
    (asked,) = questions(upstream)
    assert asked["max_tokens"] == 7, "a limit is never lost"
    assert asked["top_p"] == 0.5
    assert not {"max_completion_tokens", "thinking", "top_k"} & asked.keys()
