"""Keys that clients bring: each goes to its own provider, where the operator allows it, and stays nowhere."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import CONVERSATION, Service, events, kinds, serving, text
from tests.upstream import Cut, Done, ErrorChunk, Say, Status, Step, Upstream, failure

OURS, THEIRS, OTHERS = "sk-ours-5d41402abc", "sk-theirs-7d793037a0", "sk-others-9e107d9d37"
HELLO = "Hello from the upstream."
TABLE = """
[[providers]]
name = "{name}"
label = "The {name}"
url = "{url}"
key = "OUR_KEY"
headers = {{ X-Department = "sales" }}
"""


def settings(upstream: Upstream, other: Upstream | None = None) -> str:
    """A row for each, with the same key of ours."""
    rows = {"Upstream": upstream} | ({"Other": other} if other else {})
    return "".join(TABLE.format(name=name, url=row.url) for name, row in rows.items())


@pytest.fixture
async def strict(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """A service that takes no keys of clients: as it is shipped."""
    async with serving(tmp_path, settings(upstream), OUR_KEY=OURS, CAUSERIE_SERVER_LEGACY="off") as service:
        yield service


@pytest.fixture
async def open_service(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """A service that takes them."""
    variables = {"OUR_KEY": OURS, "CAUSERIE_SERVER_LEGACY": "off", "CAUSERIE_CLIENTS_KEYS": "true"}
    async with serving(tmp_path, settings(upstream), **variables) as service:
        yield service


def used(upstream: Upstream) -> str | None:
    """The key of the last question."""
    chats = [request for request in upstream.requests if request.method == "POST"]
    return chats[-1].headers.get("authorization", "").removeprefix("Bearer ") or None


async def answered(service: Service, headers: Any = None, **body: Any) -> str:
    async with service.asking(headers=headers, **body) as answer:
        assert answer.status == 200, await answer.text()
        return text(events(await answer.read()))


WAYS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "header": ({"x-api-key": THEIRS}, {}),
    "header with underscores": ({"x_api_key": THEIRS}, {}),
    "body": ({}, {"api_key": THEIRS}),
    "object": ({}, {"api_key": {"Upstream": THEIRS, "Other": OTHERS, "NoSuch": "sk-x", "Custom": None}}),
    "object by label": ({}, {"api_key": {"The Upstream": THEIRS}}),
    "both": ({"x-api-key": OTHERS}, {"api_key": THEIRS}),
    "blanks around it": ({}, {"api_key": f" {THEIRS}\n"}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_where_they_are_not_allowed_they_have_no_effect(
    way: str, strict: Service, upstream: Upstream
) -> None:
    headers, body = WAYS[way]
    assert await answered(strict, headers, provider="Upstream", **body) == HELLO
    assert used(upstream) == OURS


@pytest.mark.parametrize("name", ["Upstream", "The Upstream"])
@pytest.mark.parametrize("way", WAYS)
async def test_where_they_are_allowed_they_take_the_place_of_ours(
    way: str, name: str, open_service: Service, upstream: Upstream
) -> None:
    headers, body = WAYS[way]
    assert await answered(open_service, headers, provider=name, **body) == HELLO
    assert used(upstream) == THEIRS
    assert "x-department" not in upstream.requests[-1].headers, "what the operator sends goes with his key"


@pytest.mark.parametrize("provider", [None, "", "AnyProvider"])
async def test_where_the_service_chooses_only_keys_with_a_name_count(
    provider: str | None, open_service: Service, upstream: Upstream
) -> None:
    for way in ("header", "body"):
        headers, body = WAYS[way]
        assert await answered(open_service, headers, provider=provider, **body) == HELLO
        assert used(upstream) == OURS
    assert await answered(open_service, provider=provider, **WAYS["object"][1]) == HELLO
    assert used(upstream) == THEIRS


@pytest.mark.parametrize("key", [None, "", " ", {}, {"Upstream": None}, {"Upstream": ""}], ids=repr)
async def test_no_key_is_none(key: Any, open_service: Service, upstream: Upstream) -> None:
    assert await answered(open_service, provider="Upstream", api_key=key) == HELLO
    assert used(upstream) == OURS


@pytest.mark.parametrize("key", ["sk\r\nX-Evil: 1", "sk ours", "sk\0", "schlüssel", "k" * 5000])
async def test_what_no_header_can_hold_is_refused_and_not_repeated(
    key: str, open_service: Service, upstream: Upstream
) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}], "provider": "Upstream", "api_key": key}
    status, answer = await open_service.post(CONVERSATION, body)
    assert (status, answer["error"]["param"]) == (400, "api_key")
    assert key not in answer["error"]["message"]
    assert upstream.bill == []


async def test_a_key_goes_to_its_own_provider_only(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream() as other:
        variables = {"OUR_KEY": OURS, "CAUSERIE_CLIENTS_KEYS": "true"}
        async with serving(tmp_path, settings(upstream, other), **variables) as service:
            upstream.script(Status(500))  # the other one takes over
            keys = {"Upstream": THEIRS, "Other": OTHERS}
            assert await answered(service, api_key=keys) == HELLO
            assert (used(upstream), used(other)) == (THEIRS, OTHERS)
            assert await answered(service, provider="Other", api_key={"Upstream": THEIRS}) == HELLO
            assert used(other) == OURS
            assert await answered(service, {"x-api-key": OTHERS}, provider="Other") == HELLO
            assert used(other) == OTHERS
        assert THEIRS not in str(other.requests) and OTHERS not in str(upstream.requests)


async def test_a_provider_without_a_key_of_ours_answers_with_the_clients(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with serving(tmp_path, settings(upstream), CAUSERIE_CLIENTS_KEYS="true") as service:
        assert kinds(await service.ask(provider="Upstream"))[-1] == "auth"
        assert await answered(service, provider="Upstream", model="small", api_key=THEIRS) == HELLO
        assert used(upstream) == THEIRS


async def test_create_takes_them_from_its_headers_alone(open_service: Service, upstream: Upstream) -> None:
    address = open_service.url + "/backend-api/v2/create?prompt=Hello&provider=Upstream"
    for headers, query, key in (
        ({"x-api-key": THEIRS}, "", THEIRS),
        ({}, f"&api_key={THEIRS}", OURS),
    ):
        async with open_service.http.get(address + query, headers=headers) as answer:
            assert await answer.text() == HELLO
        assert used(upstream) == key


# They stay nowhere

REPEATED = failure(f"Incorrect API key provided: {THEIRS}.", "invalid_api_key")
ENDINGS: dict[str, list[Step]] = {
    "an answer": [Say("One"), Done()],
    "a refusal that repeats the key": [Status(401, REPEATED)],
    "an error that repeats the key": [ErrorChunk(f"The key {THEIRS} is over its limit.")],
    "a broken answer": [Say("One"), Cut()],
}


def written(directory: Path) -> list[str]:
    """What is in its files, the database's among them."""
    files = [file for file in directory.rglob("*") if file.is_file()]
    assert "causerie.db" in [file.name for file in files]
    return [file.read_bytes().decode("latin-1") for file in files]


@pytest.mark.parametrize("way", ["header", "body", "object"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_key_is_neither_written_down_nor_repeated(
    ending: str, way: str, tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.script(*ENDINGS[ending])
    headers, body = WAYS[way]
    question: dict[str, Any] = {"provider": "Upstream", "debug_mode": True, **body}
    variables = {"OUR_KEY": OURS, "CAUSERIE_CLIENTS_KEYS": "true", "CAUSERIE_LOG_LEVEL": "debug"}
    async with serving(tmp_path, settings(upstream), **variables) as service:
        async with service.asking(headers={"Idempotency-Key": "once", **headers}, **question) as answer:
            told = [str(answer.headers), await answer.text()]
        async with service.http.get(service.url + "/metrics") as metrics:
            told.append(await metrics.text())
        assert used(upstream) == THEIRS
    told += [caplog.text, *written(tmp_path)]
    assert [THEIRS in text for text in told] == [False] * len(told)
    assert [OURS in text for text in told] == [False] * len(told)


async def test_who_brings_a_key_pays_by_himself(tmp_path: Path, upstream: Upstream) -> None:
    priced = settings(upstream) + 'prices = { "*" = { prompt = 1000.0, completion = 1000.0 } }\n'
    async with serving(tmp_path, priced, OUR_KEY=OURS, CAUSERIE_CLIENTS_KEYS="true") as service:
        await answered(service, provider="Upstream", api_key=THEIRS)
        await answered(service, provider="Upstream")
        theirs, ours = await service.records()
    assert (theirs["price"], theirs["cost_usd"]) == ("client", 0)
    assert ours["price"] == "settings"
    assert ours["cost_usd"] > 0
