"""Keys over HTTP: made, listed and ended by an operator; and what each of them is good for."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from service.events import Chosen
from service.messages import Allowed
from service.stores.keys import Grant
from service.stores.schema import records
from tests.access import Headers, bearer
from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, serving
from tests.upstream import Status, Upstream

KEYS = "/backend-api/v2/keys"
SETTINGS = (
    ROW
    + """models = ["small", "large"]

[[providers]]
name = "Other"
url = "{url}"
local = true
models = ["large", "rare"]

[[aliases]]
name = "fast"
targets = [{{ provider = "Other", model = "rare" }}, {{ provider = "Upstream", model = "small" }}]
"""
)


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    """Upstream has small and large, Other large and rare; "fast" is the small one or the rare one."""
    upstream.models.append("rare")
    async with serving(tmp_path, SETTINGS.format(url=upstream.url)) as service:
        yield service


@pytest.fixture
async def admin(service: Service) -> Headers:
    _, text = await service.context.keys.create("operator", "admin")
    return bearer(text)


async def sent(
    service: Service, method: str, path: str, headers: Headers, body: Json | None = None
) -> tuple[int, Any]:
    async with service.http.request(method, service.url + path, headers=headers, json=body) as answer:
        return answer.status, await answer.json()


# Made, listed, ended


async def test_a_key_is_shown_once_and_works(service: Service, admin: Headers) -> None:
    until = time.time() + 3600
    wanted = {
        "user": "ada",
        "name": "Ada's laptop",
        "expires_at": until,
        "models": ["small"],
        "providers": ["The upstream"],
        "limits": {"turns_at_once": 2},
        "budget": {"day": 0.5},
    }
    status, made = await sent(service, "POST", KEYS, admin, wanted)
    assert status == 200
    assert re.fullmatch(r"ck-[a-z0-9]{8}-[\w-]{43}", made["key"])
    secret = made.pop("key")
    assert (made["user"], made["role"], made["name"]) == ("ada", "user", "Ada's laptop")
    assert (made["expires_at"], made["revoked_at"], made["over"]) == (until, None, None)
    assert (made["models"], made["providers"]) == (["small"], ["Upstream"])
    assert (made["limits"], made["budget"]) == ({"turns_at_once": 2}, {"day": 0.5})
    status, listed = await sent(service, "GET", KEYS, admin)
    assert [key["user"] for key in listed] == ["operator", "ada"]
    assert listed[1] == made
    assert secret[12:] not in str(listed)
    assert (await service.get("/backend-api/v2/session", headers=bearer(secret)))["user"] == "ada"


async def test_a_revoked_key_stays_in_the_list(service: Service, admin: Headers) -> None:
    _, made = await sent(service, "POST", KEYS, admin, {"user": "ada"})
    for _ in range(2):
        status, told = await sent(service, "DELETE", f"{KEYS}/{made['id']}", admin)
        assert (status, told["over"]) == (200, "revoked")
    _, listed = await sent(service, "GET", KEYS, admin)
    assert [key["over"] for key in listed] == [None, "revoked"]
    assert (await sent(service, "GET", "/backend-api/v2/stats", bearer(made["key"])))[0] == 401


async def test_a_rotated_key_has_a_new_text(service: Service, admin: Headers) -> None:
    _, made = await sent(service, "POST", KEYS, admin, {"user": "ada", "role": "admin"})
    status, rotated = await sent(service, "POST", f"{KEYS}/{made['id']}/rotate", bearer(made["key"]))
    assert status == 200
    assert rotated | {"key": ""} == made | {"key": ""}
    assert (await sent(service, "GET", KEYS, bearer(made["key"])))[0] == 401
    assert (await sent(service, "GET", KEYS, bearer(rotated["key"])))[0] == 200


async def test_a_user_makes_no_keys_not_even_narrower_ones(service: Service, admin: Headers) -> None:
    _, made = await sent(service, "POST", KEYS, admin, {"user": "ada"})
    his = bearer(made["key"])
    for method, path in (
        ("GET", KEYS),
        ("POST", KEYS),
        ("DELETE", f"{KEYS}/{made['id']}"),
        ("POST", f"{KEYS}/{made['id']}/rotate"),
    ):
        for body in ({"user": "ada"}, {"user": "ada", "role": "admin"}):
            status, told = await sent(service, method, path, his, body)
            assert (status, told["error"]["type"]) == (403, "permission_error")
    assert len(service.context.keys) == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "$"),
        ({"user": ""}, "user"),
        ({"user": "a\nb"}, "user"),
        ({"user": "ada", "name": "a\0"}, "name"),
        ({"user": "ada", "role": "owner"}, "$.role"),
        ({"user": "ada", "expires_at": 1}, "expires_at"),
        ({"user": "ada", "limits": {"turns_at_once": 0}}, "$.limits.turns_at_once"),
        ({"user": "ada", "limits": {"requests_per_minute": -1}}, "$.limits.requests_per_minute"),
        ({"user": "ada", "budget": {"month": -0.1}}, "$.budget.month"),
        ({"user": "ada", "models": "small"}, "$.models"),
    ],
)
async def test_what_makes_no_key_is_named(body: Json, param: str, service: Service, admin: Headers) -> None:
    status, told = await sent(service, "POST", KEYS, admin, body)
    assert (status, told["error"]["param"]) == (400, param)
    assert len(service.context.keys) == 1


async def test_an_unknown_provider_or_key_is_not_found(service: Service, admin: Headers) -> None:
    for method, path, body in (
        ("POST", KEYS, {"user": "ada", "providers": ["Nobody"]}),
        ("DELETE", f"{KEYS}/nobody99", None),
        ("POST", f"{KEYS}/nobody99/rotate", None),
    ):
        status, _ = await sent(service, method, path, admin, body)
        assert status == 404


async def test_the_first_key_closes_the_service(service: Service) -> None:
    status, made = await sent(service, "POST", KEYS, {}, {"user": "me", "role": "admin"})
    assert status == 200
    assert (await sent(service, "GET", KEYS, {}))[0] == 401
    assert (await sent(service, "GET", KEYS, bearer(made["key"])))[0] == 200


async def test_keys_that_are_made_at_once_all_stand(service: Service, admin: Headers) -> None:
    made = await asyncio.gather(
        *(sent(service, "POST", KEYS, admin, {"user": f"user{number}"}) for number in range(20))
    )
    assert [status for status, _ in made] == [200] * 20
    assert len(service.context.keys) == 21


# What a key is good for


async def confined(
    service: Service, models: set[str] | None = None, providers: set[str] | None = None
) -> Headers:
    allowed = Allowed(
        None if providers is None else frozenset(providers), None if models is None else frozenset(models)
    )
    _, text = await service.context.keys.create("ada", "user", grant=Grant(allowed))
    return bearer(text)


async def answered(service: Service, headers: Headers, **body: Any) -> object:
    """Who answers a question, and with which model; or the code of the error."""
    question = {"messages": [{"role": "user", "content": "Hello"}], **body}
    async with service.http.post(service.url + CONVERSATION, json=question, headers=headers) as answer:
        if answer.status != 200:
            error = (await answer.json())["error"]
            assert answer.status == (403 if error["code"] == "model_not_allowed" else 404), error
            return str(error["code"])
        await answer.read()
    turn = await service.context.turns.find(answer.headers["X-Turn-Id"], "ada")
    chosen = [event for event in turn.log.events if isinstance(event, Chosen)]
    return chosen[-1].provider.name, chosen[-1].provider.model


NOT = "model_not_allowed"


@pytest.mark.parametrize(
    ("models", "providers", "asked", "who"),
    [
        (None, None, {}, ("Upstream", "small")),
        (None, {"Other"}, {}, ("Other", "large")),
        (None, {"Other"}, {"provider": "Other"}, ("Other", "large")),
        (None, {"Other"}, {"provider": "Upstream"}, NOT),
        (None, {"Other"}, {"provider": "The upstream"}, NOT),
        (None, {"Other"}, {"model": "large"}, ("Other", "large")),
        (None, {"Other"}, {"model": "small"}, NOT),
        (None, {"Other"}, {"model": "Upstream/small"}, NOT),
        (None, {"Other"}, {"model": "fast"}, ("Other", "rare")),
        (None, {"Upstream"}, {"model": "fast"}, ("Upstream", "small")),
        ({"large"}, None, {}, ("Upstream", "large")),
        ({"rare"}, None, {}, ("Other", "rare")),
        ({"rare"}, None, {"model": "rare"}, ("Other", "rare")),
        ({"rare"}, None, {"model": "auto"}, ("Other", "rare")),
        ({"rare"}, None, {"provider": "Other"}, ("Other", "rare")),
        ({"rare"}, None, {"provider": "Upstream"}, NOT),
        ({"rare"}, None, {"provider": "Upstream", "model": "small"}, NOT),
        ({"rare"}, None, {"model": "large"}, NOT),
        ({"small"}, None, {"model": "fast"}, ("Upstream", "small")),
        ({"large"}, None, {"model": "fast"}, NOT),
        ({"fast"}, None, {"model": "fast"}, ("Other", "rare")),
        ({"fast"}, {"Upstream"}, {"model": "fast"}, ("Upstream", "small")),
        ({"fast"}, None, {"model": "rare"}, NOT),
        (set(), None, {}, NOT),
        (None, set(), {"model": "small"}, NOT),
        ({"small"}, None, {"model": "unknown"}, "model_not_found"),
    ],
)
async def test_only_what_the_key_is_for_answers(
    models: set[str] | None,
    providers: set[str] | None,
    asked: Json,
    who: object,
    service: Service,
) -> None:
    assert await answered(service, await confined(service, models, providers), **asked) == who


async def test_another_one_that_is_not_allowed_does_not_step_in(service: Service, upstream: Upstream) -> None:
    his = await confined(service, providers={"Other"})
    upstream.script(Status(500, {"error": {"message": "It broke."}}))
    async with service.asking(model="large", headers=his) as answer:
        assert b"Upstream" not in await answer.read()
    assert len(upstream.bill) == 1


async def test_all_interfaces_confine(service: Service, upstream: Upstream) -> None:
    his = await confined(service, {"small"}, {"Upstream"})
    says = [{"role": "user", "content": "Hello"}]
    for path, body in (
        ("/v1/chat/completions", {"messages": says}),
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/messages", {"messages": says, "max_tokens": 9}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/embeddings", {"input": "Hello"}),
    ):
        status, told = await service.post(path, {**body, "model": "large"}, headers=his)
        assert status == 403, (path, told)
        assert told["error"]["type"] == "permission_error"
        assert (await service.post(path, {**body, "model": "small"}, headers=his))[0] == 200, path
    asked = len(upstream.bill)
    async with service.http.get(
        f"{service.url}/backend-api/v2/create?prompt=Hi&model=large", headers=his
    ) as answer:
        assert answer.status == 403
    assert (await service.post("/v1/embeddings", {"input": "Hello"}, headers=his))[0] == 403
    assert len(upstream.bill) == asked


async def test_the_lists_show_what_the_key_is_for(service: Service) -> None:
    v2 = "/backend-api/v2"
    his = await confined(service, {"large", "fast"}, {"Other"})
    assert await service.get(f"{v2}/models", headers=his) == {"Other": ["large"]}
    assert [offer["name"] for offer in await service.get(f"{v2}/providers", headers=his)] == [
        "AnyProvider",
        "Other",
    ]
    assert [card["id"] for card in await service.get(f"{v2}/models/Other", headers=his)] == ["large"]
    assert await service.get(f"{v2}/models/Upstream", headers=his) == []
    assert await service.get(f"{v2}/models/small", headers=his) == []
    groups = await service.get(f"{v2}/models/AnyProvider", headers=his)
    assert {group["group"]: [card["id"] for card in group["models"]] for group in groups} == {
        "Aliases": ["fast"],
        "Other": ["large"],
    }
    assert [one["id"] for one in (await service.get("/v1/models", headers=his))["data"]] == ["fast", "large"]
    assert (await service.http.get(f"{service.url}/v1/models/small", headers=his)).status == 404
    assert [one["models"] for one in await service.get("/pa/providers", headers=his)] == [["large"]]


async def test_the_record_has_the_key(service: Service) -> None:
    key, secret = await service.context.keys.create("ada", "user")
    async with service.asking("Hello", headers=bearer(secret)) as answer:
        await answer.read()
    rows = await service.context.database.read(select(records.c.user, records.c.key))
    assert [tuple(row.values()) for row in rows] == [("ada", key.id)]
