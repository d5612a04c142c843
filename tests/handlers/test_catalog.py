"""What there is, in the shapes that web clients read: the version, the providers, their models."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROW
from tests.serving import Json, Service, serving
from tests.several import alias
from tests.upstream import Silent, Status, Upstream, until

V2 = "/backend-api/v2"


async def answered(service: Service, path: str, **headers: str) -> tuple[str, str]:
    """Content type and text of a 200."""
    async with service.http.get(service.url + path, headers=headers) as answer:
        assert answer.status == 200
        return answer.content_type, await answer.text()


async def offers(service: Service) -> dict[str, Json]:
    return {offer["name"]: offer for offer in await service.get(f"{V2}/providers")}


# version and home


@pytest.mark.parametrize("query", ["", "?cache=true"])
async def test_the_version_is_always_the_latest(query: str, service: Service) -> None:
    version = await service.get(f"{V2}/version{query}")
    assert version.keys() == {"version", "latest_version", "api_version"}
    assert version["version"] == version["latest_version"]
    assert version["api_version"] == "2.0"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/plain", "text/plain"),
        ("text/plain, application/json", "text/plain"),
    ],
)
async def test_the_version_is_text_for_whoever_prefers_it(accept: str, kind: str, service: Service) -> None:
    content_type, text = await answered(service, f"{V2}/version", Accept=accept)
    assert content_type == kind
    assert kind == "application/json" or text == "API Version: 2.0"


async def test_home_is_a_page_for_browsers_and_a_word_for_others(service: Service) -> None:
    for accept in ("*/*", "application/json", "text/plain"):
        assert await answered(service, "/", Accept=accept) == ("text/plain", "Backend API Home")
    content_type, text = await answered(service, "/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert content_type == "text/html"
    assert "<!doctype html>" in text.lower()


# providers

KEYS = {
    "name": str,
    "label": str,
    "parent": type(None),
    "image": int,
    "audio": int,
    "video": int,
    "vision": bool,
    "nodriver": bool,
    "hf_space": bool,
    "active_by_default": bool,
    "auth": bool,
    "login_url": type(None),
    "live": int,
    "login": bool,
}


async def test_providers_have_the_contracts_keys(service: Service) -> None:
    for offer in await service.get(f"{V2}/providers"):
        assert {key: type(offer[key]) for key in KEYS} == KEYS


async def test_the_services_own_choice_comes_first_and_the_operators_rows_next(service: Service) -> None:
    first, second, *_ = await service.get(f"{V2}/providers")
    assert (first["name"], first["label"], first["live"]) == ("AnyProvider", "Auto", 1)
    assert (second["name"], second["label"]) == ("Upstream", "The upstream")
    assert first["active_by_default"]
    assert second["active_by_default"]
    assert first["reason"] is second["reason"] is None


async def test_a_provider_without_its_key_says_what_it_needs(service: Service) -> None:
    offer = (await offers(service))["OpenAI"]
    assert (offer["live"], offer["active_by_default"]) == (0, False)
    assert "OPENAI_API_KEY" in offer["reason"]


async def test_where_nobody_is_live_the_choice_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        offer = (await offers(service))["AnyProvider"]
    assert (offer["live"], offer["active_by_default"]) == (0, False)
    assert offer["reason"]


# models


async def test_models_are_an_object_by_provider(service: Service) -> None:
    assert (await service.get(f"{V2}/models"))["Upstream"] == ["small", "large"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?format=array", {}), ("", {"x_user": "anna"}), ("", {"x_ignored": ""})],
)
async def test_models_are_an_array_for_clients_of_before(
    query: str, headers: dict[str, str], service: Service
) -> None:
    models = await service.get(f"{V2}/models{query}", headers=headers)
    assert [model["name"] for model in models] == ["small", "large"]
    assert models[0] == {
        "name": "small",
        "image": False,
        "vision": False,
        "audio": False,
        "video": False,
        "providers": ["Upstream"],
    }


@pytest.mark.parametrize(("setting", "kind"), [("on", list), ("off", dict)])
async def test_the_operator_knows_his_clients(
    setting: str, kind: type[Any], tmp_path: Path, upstream: Upstream
) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_SERVER_LEGACY=setting) as service:
        assert type(await service.get(f"{V2}/models")) is kind
        by_header = await service.get(f"{V2}/models", headers={"x_user": "anna"})
        assert type(by_header) is kind


@pytest.mark.parametrize("provider", ["Upstream", "The%20upstream"])
async def test_the_models_of_a_provider(provider: str, service: Service) -> None:
    small, large = await service.get(f"{V2}/models/{provider}")
    assert small == {
        "id": "small",
        "model": "small",
        "label": "small",
        "default": True,
        "count": None,
        "context_length": None,
        "vision": False,
        "audio": False,
        "video": False,
        "image": False,
        "tags": [],
    }
    assert (large["id"], large["default"]) == ("large", False)


@pytest.mark.parametrize("provider", ["AnyProvider", "Auto"])
async def test_the_services_choice_groups_its_models_by_provider(provider: str, service: Service) -> None:
    (group,) = await service.get(f"{V2}/models/{provider}")
    assert group.keys() == {"group", "models"}
    assert group["group"] == "The upstream"
    told = [(model["id"], model["model"], model["default"], model["count"]) for model in group["models"]]
    assert told == [("small", "small", True, 1), ("large", "large", False, 1)]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?ignored=Other%20Upstream", {}),
        ("", {"x-ignored": "Upstream"}),
        ("", {"x_ignored": "Upstream Other"}),
    ],
)
async def test_ignored_providers_offer_nothing(query: str, headers: dict[str, str], service: Service) -> None:
    assert await service.get(f"{V2}/models/AnyProvider{query}", headers=headers) == []


async def test_in_place_of_a_provider_a_model_may_stand(service: Service) -> None:
    (model,) = await service.get(f"{V2}/models/large")
    assert (model["id"], model["default"], model["count"]) == ("large", True, 1)


@pytest.mark.parametrize("name", ["NoSuch", "upstream", "%20", "%F0%9F%A4%94"])
async def test_an_unknown_provider_has_no_models(name: str, service: Service) -> None:
    assert await service.get(f"{V2}/models/{name}") == []


async def test_a_provider_that_lists_nothing_has_no_models(service: Service) -> None:
    assert await service.get(f"{V2}/models/OpenAI") == []


async def test_rows_may_say_which_models_there_are(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url) + 'models = ["one", "two"]\ndefault_model = "two"\n'
    async with serving(tmp_path, row) as service:
        models = await service.get(f"{V2}/models/Upstream")
    assert [(model["id"], model["default"]) for model in models] == [("one", False), ("two", True)]


# aliases


@pytest.fixture
async def aliased(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    aliases = alias("fast", "Upstream/small", "OpenAI/gpt") + alias("away", "OpenAI/gpt")
    async with serving(tmp_path, ROW.format(url=upstream.url) + aliases) as service:
        yield service


async def test_aliases_are_a_group_of_the_services_choice(aliased: Service) -> None:
    first, second = await aliased.get(f"{V2}/models/AnyProvider")
    assert (first["group"], second["group"]) == ("Aliases", "The upstream")
    assert [(card["id"], card["label"], card["count"]) for card in first["models"]] == [("fast", "fast", 1)]
    assert first["models"][0].keys() == second["models"][0].keys()
    assert await aliased.get(f"{V2}/models/AnyProvider?ignored=Upstream") == []


async def test_in_place_of_a_provider_an_alias_may_stand(aliased: Service) -> None:
    (card,) = await aliased.get(f"{V2}/models/fast")
    assert (card["id"], card["count"]) == ("fast", 1)
    assert await aliased.get(f"{V2}/models/away") == []


async def test_what_is_there_is_no_alias(aliased: Service) -> None:
    assert (await aliased.get(f"{V2}/models"))["Upstream"] == ["small", "large"]
    assert {"AnyProvider", "Aliases", "fast"} & (await aliased.get(f"{V2}/models")).keys() == set()


# the rest


async def test_the_providers_that_can_be_called_directly(service: Service, upstream: Upstream) -> None:
    assert await service.get("/pa/providers") == [
        {"id": "Upstream", "label": "The upstream", "url": upstream.url, "models": ["small", "large"]}
    ]


async def test_there_is_no_secret_to_make(service: Service) -> None:
    for method in ("GET", "POST"):
        async with service.http.request(method, f"{service.url}{V2}/public-key") as answer:
            assert answer.status == 404
            assert "without one" in (await answer.json())["error"]["message"]


async def test_the_status_counts_what_there_is(service: Service) -> None:
    status = await service.get(f"{V2}/status")
    listed = await service.get(f"{V2}/providers")
    assert (status["status"], status["uptime"]) == ("ok", "active")
    assert status["version"] == status["latest_version"]
    assert (status["total_providers"], status["working_providers"]) == (len(listed) - 1, 1)
    assert status["total_models"] == 2
    assert status["uptime_seconds"] > 0
    assert status["timestamp"] > 1_700_000_000


@pytest.mark.parametrize("provider", ["Upstream", "AnyProvider"])
async def test_the_health_of_a_live_provider(provider: str, service: Service) -> None:
    health = await service.get(f"{V2}/health/{provider}")
    assert health.keys() == {"ok", "quota", "status", "url"}
    assert (health["ok"], health["status"]) == (True, "ok")


async def test_the_health_of_a_provider_that_cannot_answer(service: Service) -> None:
    health = await service.get(f"{V2}/health/OpenAI")
    assert not health["ok"]
    assert "OPENAI_API_KEY" in health["status"]


async def test_there_is_no_health_of_an_unknown_provider(service: Service) -> None:
    async with service.http.get(f"{service.url}{V2}/health/NoSuch") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "provider_not_found"


# A provider that takes requests and never answers

PATHS = ("version", "providers", "models", "models/AnyProvider", "models/Hole", "status", "health/Hole")


@pytest.fixture
async def hole(upstream: Upstream) -> AsyncIterator[Upstream]:
    async with Upstream() as hole:
        hole.script_models(Silent())
        yield hole


def both(upstream: Upstream, hole: Upstream) -> str:
    return f'[[providers]]\nname = "Hole"\nurl = "{hole.url}"\nkey = "HOLE_KEY"\n' + ROW.format(
        url=upstream.url
    )


async def test_nobody_waits_for_a_provider_that_hangs(
    tmp_path: Path, upstream: Upstream, hole: Upstream
) -> None:
    async with serving(
        tmp_path, both(upstream, hole), HOLE_KEY="sk", CAUSERIE_UPSTREAM_PROBE_TIMEOUT="3600"
    ) as service:
        await until(lambda: hole.requests)
        for path in PATHS:
            await service.get(f"{V2}/{path}")
        await service.get("/pa/providers")
        await service.get("/health/ready")
        assert (await service.get(f"{V2}/models"))["Upstream"] == ["small", "large"]
        assert await service.ask(provider="Upstream")
        assert (len(hole.requests), hole.aborted) == (1, [])


async def test_a_provider_that_hangs_is_marked_and_the_others_are_not(
    tmp_path: Path, upstream: Upstream, hole: Upstream
) -> None:
    async with serving(
        tmp_path, both(upstream, hole), HOLE_KEY="sk", CAUSERIE_UPSTREAM_PROBE_TIMEOUT="0.1"
    ) as service:
        await until(lambda: hole.aborted)
        marked = (await offers(service))["Hole"]
        assert (marked["live"], marked["active_by_default"]) == (0, False)
        assert "in time" in marked["reason"]
        health = await service.get(f"{V2}/health/Hole")
        assert (health["ok"], health["status"]) == (False, marked["reason"])


async def test_a_provider_that_went_away_keeps_its_models_and_is_not_chosen(
    tmp_path: Path, upstream: Upstream
) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_UPSTREAM_MODELS_REFRESH="0.2") as service:
        upstream.script_models(Status(503))
        seen = len(upstream.requests)
        await until(lambda: len(upstream.requests) > seen + 1)
        assert (await offers(service))["Upstream"]["live"] == 0
        assert len(await service.get(f"{V2}/models/Upstream")) == 2
        assert await service.get(f"{V2}/models/AnyProvider") == []
        assert await service.get("/pa/providers") == []
        upstream.script_models()
        seen = len(upstream.requests)
        await until(lambda: len(upstream.requests) > seen + 1)
        assert (await offers(service))["Upstream"]["live"] == 1
