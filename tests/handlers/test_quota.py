"""GET quota: what is left with a provider, for whom it concerns. GET and POST oauth: nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Json, Service, serving
from tests.upstream import Cut, Html, Silent, Status, Step, Upstream, failure

OURS, THEIRS = "sk-ours-5d41402abc", "sk-theirs-7d793037a0"
V2 = "/backend-api/v2"
ROWS = """
[[providers]]
name = "Router"
label = "The router"
url = "{url}"
key = "OUR_KEY"
quota = "openrouter"
connect_timeout = 0.5

[[providers]]
name = "Seek"
url = "{url}"
key = "OUR_KEY"
quota = "deepseek"

[[providers]]
name = "Silent"
url = "{url}"
key = "OUR_KEY"
"""


def tell(upstream: Upstream, **told: Json) -> None:
    """What it answers at `/v1/` and a name, in which a line stands for a slash."""
    for name, body in told.items():
        upstream.script_at(f"/v1/{name.replace('_', '/')}", Status(200, body))


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    async with serving(
        tmp_path, ROWS.format(url=upstream.url), OUR_KEY=OURS, CAUSERIE_CLIENTS_KEYS="true"
    ) as service:
        yield service


async def refused(service: Service, path: str, **options: Any) -> tuple[int, Json]:
    async with service.http.get(service.url + V2 + path, **options) as answer:
        assert answer.content_type == "application/json"
        return answer.status, (await answer.json())["error"]


OPENROUTER: dict[str, tuple[Json, Json, Json]] = {
    "a key with a limit": (
        {"label": "sk-or-v1-0e6…1c96", "limit": 100, "limit_remaining": 74.5, "usage": 25.5},
        {"total_credits": 7.0, "total_usage": 1.0},
        {"credits": {"remaining": 74.5, "total": 100.0}},
    ),
    "a key without one": (
        {"limit": None, "limit_remaining": None, "usage": 25.5, "is_free_tier": False},
        {"total_credits": 100.5, "total_usage": 25.25},
        {"credits": {"remaining": 75.25, "total": 100.5}},
    ),
    "an empty account": (
        {"limit": None},
        {"total_credits": 0, "total_usage": 0},
        {"credits": {"remaining": 0.0, "total": 0.0}},
    ),
}


@pytest.mark.parametrize("name", OPENROUTER)
@pytest.mark.parametrize("provider", ["Router", "The router"])
async def test_openrouter_tells_its_credits(
    provider: str, name: str, service: Service, upstream: Upstream
) -> None:
    key, account, quota = OPENROUTER[name]
    tell(upstream, key={"data": key}, credits={"data": account})
    assert await service.get(f"{V2}/quota/{provider}") == quota
    assert upstream.requests[-1].headers["authorization"] == f"Bearer {OURS}"


async def test_a_key_that_may_not_know_has_no_quota(service: Service, upstream: Upstream) -> None:
    tell(upstream, key={"data": {"limit": None}})
    upstream.script_at("/v1/credits", Status(403, failure("Only management keys can fetch credits")))
    assert await service.get(f"{V2}/quota/Router") == {}


DEEPSEEK: dict[str, tuple[list[Json], Json]] = {
    "one balance": (
        [{"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00"}],
        {"balance": 110.0, "currency": "CNY"},
    ),
    "two of them": (
        [{"currency": "CNY", "total_balance": "1.00"}, {"currency": "USD", "total_balance": "2.50"}],
        {"balance": 2.5, "currency": "USD"},
    ),
    "none": ([], {}),
}


@pytest.mark.parametrize("name", DEEPSEEK)
async def test_deepseek_tells_its_balance(name: str, service: Service, upstream: Upstream) -> None:
    balances, quota = DEEPSEEK[name]
    tell(upstream, user_balance={"is_available": True, "balance_infos": balances})
    assert await service.get(f"{V2}/quota/Seek") == quota


async def test_what_ours_has_left_only_the_operator_is_told(service: Service, upstream: Upstream) -> None:
    tell(upstream, key={"data": {"limit": 100, "limit_remaining": 74.5}})
    for headers in ({"x-user": "anna"}, {"x-user": "anna", "x-api-key": ""}):
        assert await service.get(f"{V2}/quota/Router", headers=headers) == {}
    assert "/v1/key" not in [request.path for request in upstream.requests]


@pytest.mark.parametrize("user", [{}, {"x-user": "anna"}], ids=str)
async def test_of_their_own_key_everybody_is_told(
    user: dict[str, str], service: Service, upstream: Upstream
) -> None:
    tell(upstream, key={"data": {"limit": 10, "limit_remaining": 4}})
    for name in ("x-api-key", "x_api_key"):
        quota = await service.get(f"{V2}/quota/Router", headers={**user, name: THEIRS})
        assert quota == {"credits": {"remaining": 4.0, "total": 10.0}}
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {THEIRS}"


async def test_keys_that_are_not_allowed_have_no_effect(tmp_path: Path, upstream: Upstream) -> None:
    tell(upstream, key={"data": {"limit": 10, "limit_remaining": 4}})
    async with serving(tmp_path, ROWS.format(url=upstream.url), OUR_KEY=OURS) as service:
        path = f"{V2}/quota/Router"
        assert await service.get(path, headers={"x-user": "anna", "x-api-key": THEIRS}) == {}
        assert await service.get(path, headers={"x-api-key": THEIRS}) != {}
    assert THEIRS not in str(upstream.requests)


async def test_it_is_kept_for_a_moment_by_whom_it_concerns(service: Service, upstream: Upstream) -> None:
    tell(upstream, key={"data": {"limit": 10, "limit_remaining": 4}})
    async with service.http.get(f"{service.url}{V2}/quota/Router") as answer:
        assert answer.headers["Cache-Control"] == "private, max-age=10"
        assert {"x-user", "x-api-key"} < set(answer.headers["Vary"].split(", "))


@pytest.mark.parametrize(
    ("provider", "status", "code"),
    [
        ("NoSuch", 404, "provider_not_found"),
        ("Silent", 501, "unsupported"),
        ("AnyProvider", 501, "unsupported"),
    ],
)
async def test_where_nothing_is_told(provider: str, status: int, code: str, service: Service) -> None:
    found, error = await refused(service, f"/quota/{provider}")
    assert (found, error["code"], error["param"]) == (status, code, "provider")


FAILURES: dict[str, tuple[Step, int, str]] = {
    "a refused key": (Status(401, failure(f"No such key: {OURS} {THEIRS}")), 502, "provider_auth"),
    "too much": (Status(429), 429, "rate_limit_exceeded"),
    "an error": (Status(500), 502, "upstream_error"),
    "a page": (Html(), 502, "upstream_error"),
    "other JSON": (Status(200, {"data": []}), 502, "upstream_error"),
    "a cut": (Cut(), 502, "upstream_error"),
    "a redirect": (Status(302, b"", {"Location": "http://127.0.0.1:9/"}), 502, "upstream_error"),
    "silence": (Silent(), 504, "upstream_timeout"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("headers", [{}, {"x-api-key": THEIRS}], ids=["ours", "theirs"])
async def test_no_failure_makes_clients_erase_a_key(
    headers: dict[str, str], name: str, service: Service, upstream: Upstream
) -> None:
    step, status, code = FAILURES[name]
    upstream.script_at("/v1/key", step)
    found, error = await refused(service, "/quota/Router", headers=headers)
    assert (found, error["code"]) == (status, code)
    sent = THEIRS if headers else OURS
    assert sent not in str(error)


# oauth


@pytest.mark.parametrize(
    ("login", "status", "message"),
    [
        ({}, 404, "Provider The router does not support OAuth login"),
        ({"action": "start"}, 404, "Provider The router does not support OAuth login"),
        ({"action": "poll", "device_code": "d-1", "timeout": "5"}, 404, "does not support OAuth login"),
        ({"action": "poll"}, 400, "device_code is required for poll action"),
        ({"action": "erase"}, 400, "'erase'"),
    ],
    ids=str,
)
async def test_there_is_no_login(login: Json, status: int, message: str, service: Service) -> None:
    found, error = await refused(service, "/oauth/Router", params=login)
    posted, answer = await service.post(f"{V2}/oauth/Router", login)
    assert (found, posted) == (status, status)
    assert message in error["message"] and message in answer["error"]["message"]


async def test_nor_is_there_one_of_an_unknown_provider(service: Service) -> None:
    found, error = await refused(service, "/oauth/NoSuch")
    assert (found, error["code"]) == (404, "provider_not_found")
