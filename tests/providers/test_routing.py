"""What the name of a model means: a model, an alias, a provider's model, or the service's own choice."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import BadRequest
from service.messages import Ask
from service.providers.auto import drawn
from service.settings import Target
from tests.serving import CONVERSATION, Service, serving, text
from tests.several import alias, chats, routing, row, settled, switches
from tests.upstream import Status, Upstream, until


@pytest.fixture
async def second() -> AsyncIterator[Upstream]:
    async with Upstream(models=["large", "huge", "First/small"]) as second:
        yield second


ALIASES = (
    alias("backwards", "Second/large", "First/large")
    + alias("the provider's own", "Second/")
    + alias("large", "Second/huge")
    + alias("thrice", "Second/huge", "First/large", "Second/large")
)


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, second: Upstream) -> AsyncIterator[Service]:
    rows = row("First", upstream) + row("Second", second)
    async with serving(tmp_path, routing() + rows + ALIASES) as service:
        yield service


async def asked(service: Service, **body: Any) -> list[str]:
    """Who was asked for what."""
    told = [event["provider"] for event in await service.ask(**body) if event["type"] == "provider"]
    return [f"{provider['name']}/{provider['model']}" for provider in told]


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (None, "First/small"),
        ("", "First/small"),
        ("auto", "First/small"),
        ("small", "First/small"),
        ("huge", "Second/huge"),
        ("backwards", "Second/large"),
        ("the provider's own", "Second/large"),
        ("large", "Second/huge"),
        ("First/large", "First/large"),
        ("Second/huge", "Second/huge"),
        ("First/small", "Second/First/small"),
    ],
)
async def test_what_a_model_means(service: Service, model: str | None, first: str) -> None:
    for provider in (None, "", "AnyProvider", "Auto"):
        assert await asked(service, model=model, provider=provider) == [first]


@pytest.mark.parametrize("model", ["no such", "First/no such", "Nobody/small", "First/", "first/small", "/"])
async def test_what_nobody_has(service: Service, model: str) -> None:
    status, error = await service.post(CONVERSATION, {"prompt": "Hello", "model": model})
    assert (status, error["error"]["code"]) == (404, "model_not_found")


async def test_a_named_provider_knows_no_aliases(service: Service) -> None:
    status, error = await service.post(
        CONVERSATION, {"prompt": "Hello", "model": "backwards", "provider": "First"}
    )
    assert (status, error["error"]["code"]) == (404, "model_not_found")
    assert await asked(service, model="auto", provider="Second") == ["Second/large"]


async def test_an_alias_targets_follow_each_other(
    service: Service, upstream: Upstream, second: Upstream
) -> None:
    second.script(Status(500))
    assert await asked(service, model="backwards") == ["Second/large", "First/large"]
    (record,) = await settled(service)
    assert (record["model_asked"], record["model"], record["attempts"]) == ("backwards", "large", 2)


async def test_each_provider_is_asked_for_its_own_model_where_none_is_named(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(Status(500))
    assert await asked(service) == ["First/small", "Second/large"]


async def test_who_is_to_be_ignored_is_no_target(service: Service) -> None:
    assert await asked(service, model="backwards", ignored=["Second"]) == ["First/large"]
    body = {"prompt": "Hello", "model": "backwards", "ignored": ["Second", "First"]}
    status, error = await service.post(CONVERSATION, body)
    assert (status, error["error"]["code"]) == (503, "unavailable")


async def test_the_default_model_may_be_an_alias(
    tmp_path: Path, upstream: Upstream, second: Upstream
) -> None:
    rows = row("First", upstream) + row("Second", second)
    async with serving(tmp_path, rows + ALIASES, CAUSERIE_DEFAULT_MODEL="backwards") as service:
        assert await asked(service) == await asked(service, model="auto") == ["Second/large"]
        groups = await service.get("/backend-api/v2/models/AnyProvider")
        assert [card["id"] for group in groups for card in group["models"] if card["default"]] == [
            "backwards"
        ]


async def test_a_target_that_is_away_is_passed_over(
    tmp_path: Path, upstream: Upstream, second: Upstream
) -> None:
    second.script_models(Status(500))
    rows = row("First", upstream) + row("Second", second)
    async with serving(tmp_path, rows + ALIASES) as service:
        assert await asked(service, model="backwards") == ["First/large"]
        assert await asked(service, model="the provider's own") == ["Second/None"], "there is nobody else"


# What a provider refuses before it is asked


@pytest.fixture
def short(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """First takes nothing."""

    async def refuse(ask: Ask) -> None:
        raise BadRequest("First does not listen.")

    monkeypatch.setattr(service.context.registry["First"], "check", refuse)


async def test_who_refuses_is_not_asked(service: Service, short: None) -> None:
    status, error = await service.post(CONVERSATION, {"prompt": "Hello", "model": "First/large"})
    assert (status, error["error"]["message"]) == (400, "First does not listen.")
    assert await asked(service) == ["Second/large"]
    assert (await settled(service, 1))[0]["attempts"] == 1


async def test_who_follows_may_refuse_too(service: Service, second: Upstream, short: None) -> None:
    second.enqueue([Status(500)])
    answer = await service.ask(model="thrice")
    assert switches(answer) == [("Second", "ProviderError", False), ("First", "BadRequest", False)]
    assert text(answer) == "Hello from the upstream."


# The client's own key


def keyed(name: str, upstream: Upstream) -> str:
    return f'\n[[providers]]\nname = "{name}"\nurl = "{upstream.url}"\nkey = "{name.upper()}_KEY"\n'


async def test_who_lists_nothing_is_asked_by_name_alone(
    tmp_path: Path, upstream: Upstream, second: Upstream
) -> None:
    upstream.script_models(Status(404))
    rows = keyed("First", upstream) + row("Second", second)
    async with serving(tmp_path, rows, FIRST_KEY="k") as service:
        await until(lambda: upstream.requests)
        assert await asked(service) == ["Second/large"], "First would have to be told a model"
        assert await asked(service, model="small") == ["First/small"]
        second.script(Status(500))
        assert await asked(service, model="large") == ["Second/large", "First/large"]


async def test_who_lacks_a_key_answers_with_the_clients(tmp_path: Path, second: Upstream) -> None:
    async with Upstream(key="their-own") as first:
        file = routing() + keyed("First", first) + row("Second", second) + "\n[clients]\nkeys = true\n"
        async with serving(tmp_path, file + alias("both", "First/small", "Second/large")) as service:
            assert await asked(service, model="both") == ["Second/large"]
            keys = {"First": "their-own"}
            assert await asked(service, model="both", api_key=keys) == ["First/small"]
            first.script(Status(429, headers={"Retry-After": "60"}))
            assert await asked(service, model="both", api_key=keys) == ["First/small", "Second/large"]
            assert await asked(service, model="both", api_key=keys) == ["First/small", "Second/large"]
            assert len(chats(first)) == 3, "what one client's key may is nobody else's limit"


# Weights


def targets(*weights: float | None) -> list[Target]:
    return [Target(provider=str(index), weight=weight) for index, weight in enumerate(weights)]


def drawn_often(*weights: float | None) -> Counter[str]:
    """The orders, as the targets' numbers one after another."""
    written = targets(*weights)
    return Counter("".join(target.provider for target in drawn(written)) for _ in range(4000))


def test_without_weights_the_order_is_the_operators() -> None:
    assert drawn_often(None, None, None) == {"012": 4000}
    assert drawn_often(None, 5, None) == {"012": 4000}


def test_neighbours_with_weights_share_their_places() -> None:
    orders = drawn_often(3, 1, None)
    assert set(orders) == {"012", "102"}
    assert 2700 < orders["012"] < 3300


def test_those_apart_do_not_change_places() -> None:
    assert set(drawn_often(1, None, 1)) == {"012"}
    assert set(drawn_often(None, 1, 1, None, 2, 2)) == {"012345", "021345", "012354", "021354"}


def test_each_of_many_has_its_part() -> None:
    first = Counter({str(index): 0 for index in range(3)})
    for order, count in drawn_often(5, 3, 2).items():
        first[order[0]] += count
    assert 1800 < first["0"] < 2200
    assert 1000 < first["1"] < 1400
    assert 600 < first["2"] < 1000


async def test_weights_spread_the_turns(tmp_path: Path, upstream: Upstream, second: Upstream) -> None:
    rows = row("First", upstream) + row("Second", second)
    spread = alias("spread", "First/large, weight = 1", "Second/large, weight = 1")
    async with serving(tmp_path, rows + spread) as service:
        for _ in range(40):
            await service.ask(model="spread")
        assert min(len(chats(upstream)), len(chats(second))) >= 5
        second.script(Status(500))
        assert {text(await service.ask(model="spread")) for _ in range(10)} == {"Hello from the upstream."}
