"""Who asks: the local user while there are no keys, and then whoever has one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.stores.keys import Key
from tests.access import Headers, basic, bearer, cookie, logged_in, x_api_key
from tests.conftest import ROW
from tests.serving import CONVERSATION, Json, Service, serving, text
from tests.stores.test_keys import kept
from tests.upstream import Say, Silent, Upstream

V2 = "/backend-api/v2"
WHO = f"{V2}/session"
STATS = f"{V2}/stats"
SMALL = {"model": "small", "messages": [{"role": "user", "content": "Hello"}]}


async def who(service: Service, headers: Headers | None = None) -> Json:
    found: Json = await service.get(WHO, headers=headers)
    return found


async def status(service: Service, path: str, headers: Headers | None = None, method: str = "GET") -> int:
    async with service.http.request(method, service.url + path, headers=headers) as answer:
        return answer.status


async def made(service: Service, user: str = "ada", role: Any = "user") -> tuple[Key, str]:
    return await service.context.keys.create(user, role)


# Without keys


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("sk-whatever"),
        bearer("ck-aaaaaaaa-" + "a" * 43),
        basic("secret"),
        cookie("nonsense"),
        x_api_key("sk-of-a-provider"),
        {"Authorization": "nonsense"},
    ],
)
async def test_without_keys_it_is_the_local_user_whatever_is_sent(headers: Headers, service: Service) -> None:
    assert await who(service, headers) == {"user": "local", "admin": True, "needs_key": False, "key": None}
    assert await status(service, "/metrics", headers) == 200


async def test_without_keys_another_name_is_another_user_and_no_operator(service: Service) -> None:
    assert (await who(service, {"x-user": "anna"})) == {
        "user": "anna",
        "admin": False,
        "needs_key": False,
        "key": None,
    }
    assert await status(service, "/metrics", {"x-user": "anna"}) == 403


# With keys


async def test_from_the_first_key_on_nobody_is_served_without(service: Service, upstream: Upstream) -> None:
    assert text(await service.ask()) != ""
    asked = len(upstream.bill)
    await made(service)
    assert await who(service) == {"user": None, "admin": False, "needs_key": True, "key": None}
    for headers in ({}, {"x-user": "ada"}, {"x-user": "local"}):
        status, body = await service.post(
            CONVERSATION, {"messages": [{"role": "user", "content": "Hi"}]}, headers=headers
        )
        assert status == 401
        assert (body["error"]["type"], body["error"]["code"]) == ("authentication_error", "invalid_api_key")
    assert len(upstream.bill) == asked


async def test_revoking_the_last_key_does_not_open_the_service(service: Service) -> None:
    key, text = await made(service, role="admin")
    await service.context.keys.revoke(key.id)
    for headers in ({}, bearer(text)):
        assert await status(service, STATS, headers) == 401


async def test_the_keys_user_asks_and_no_other_name_counts(service: Service) -> None:
    key, secret = await made(service)
    told = await who(service, {**bearer(secret), "x-user": "bob"})
    assert told == {"user": "ada", "admin": False, "needs_key": True, "key": key.id}
    async with service.asking(headers={**bearer(secret), "x-user": "bob"}) as answer:
        assert answer.status == 200
        await answer.read()
    used = await service.http.get(service.url + STATS, headers=bearer(secret))
    assert list((await used.json())["users"]) == ["ada"]


async def test_every_way_in_leads_to_the_same_user(service: Service) -> None:
    key, secret = await made(service, role="admin")
    other, _ = await made(service, "bob")
    expected = {"user": "ada", "admin": True, "needs_key": True, "key": key.id}
    for headers in (
        bearer(secret),
        {"Authorization": f"bearer  {secret} "},
        basic(secret),
        {"Authorization": basic(secret)["Authorization"].replace("Basic", "bAsIc")},
        logged_in(service, key),
    ):
        assert await who(service, headers) == expected
    assert (await who(service, logged_in(service, other)))["user"] == "bob"


async def test_an_authorization_wins_over_everything_else(service: Service) -> None:
    key, secret = await made(service)
    other, others = await made(service, "bob")
    assert (await who(service, {**logged_in(service, key), **bearer(others)}))["user"] == "bob"
    for wrong in (bearer("wrong"), bearer(""), {"Authorization": ""}, {"Authorization": f"Key {secret}"}):
        assert await status(service, STATS, {**logged_in(service, key), **wrong}) == 401
    assert await status(service, "/v1/responses/x", {**x_api_key(secret), **bearer("wrong")}) == 401
    assert await status(service, "/v1/responses/x", {**x_api_key("wrong"), **bearer(secret)}) == 404
    assert (
        await status(service, "/v1/responses/x", {**x_api_key("wrong"), **logged_in(service, other)}) == 401
    )


async def test_x_api_key_is_ours_on_v1_only(service: Service) -> None:
    _, secret = await made(service)
    assert await status(service, "/v1/responses/x", x_api_key(secret)) == 404
    for path in (STATS, f"{V2}/turns", f"{V2}/create?prompt=Hi", "/metrics"):
        assert await status(service, path, x_api_key(secret)) == 401
    code, body = await service.post("/v1/chat/completions", SMALL, headers=x_api_key(secret))
    assert code == 200, body
    code, body = await service.post("/v1/messages", SMALL | {"max_tokens": 9}, headers=x_api_key("wrong"))
    assert (code, body["error"]["type"]) == (401, "authentication_error")


async def test_a_key_of_ours_reaches_no_provider(tmp_path: Path, upstream: Upstream) -> None:
    upstream.key = None
    row = ROW.format(url=upstream.url).replace("local = true", 'key = "A_KEY"')
    async with serving(tmp_path, row, A_KEY="sk-ours", CAUSERIE_CLIENTS_KEYS="true") as service:
        _, secret = await made(service)
        question = {"input": "Hello", "provider": "Upstream", "model": "small"}
        for headers in (x_api_key(secret), {**bearer(secret), **x_api_key(secret)}):
            assert (await service.post("/v1/responses", question, headers=headers))[0] == 200
        async with service.asking(
            provider="Upstream", api_key=secret, headers={**bearer(secret), **x_api_key(secret)}
        ) as answer:
            await answer.read()
        assert len(upstream.requests) >= 3
        for request in upstream.requests:
            assert secret not in str(request.headers)


@pytest.mark.parametrize(
    "place", ["?key={}", "?api_key=Bearer%20{}", "?prompt=Hi&token={}", "/{}", "?%61={}"]
)
async def test_a_key_in_the_address_is_refused_and_not_repeated(place: str, service: Service) -> None:
    _, secret = await made(service)
    for headers in ({}, bearer(secret)):
        async with service.http.get(
            service.url + f"{V2}/create" + place.format(secret), headers=headers
        ) as answer:
            assert answer.status == 400
            assert "address" in (await answer.json())["error"]["message"]
            assert secret not in await answer.text()


async def test_a_challenge_makes_no_script_ask_the_browsers_user(service: Service) -> None:
    await made(service)
    async with service.http.get(service.url + STATS) as answer:
        assert answer.headers.getall("WWW-Authenticate") == ['Bearer realm="Causerie"']
    async with service.http.get(service.url + STATS, headers={"Sec-Fetch-Mode": "navigate"}) as answer:
        assert [scheme.split()[0] for scheme in answer.headers.getall("WWW-Authenticate")] == [
            "Bearer",
            "Basic",
        ]


async def test_quota_is_never_a_401(service: Service, upstream: Upstream) -> None:
    """Contract 3.5: web clients erase the keys they keep when it is one."""
    await made(service)
    for headers in ({}, bearer("wrong"), x_api_key("sk-of-a-provider"), basic("wrong")):
        assert await service.get(f"{V2}/quota/Upstream", headers=headers) == {}
    async with service.http.get(f"{service.url}{V2}/quota/Upstream") as answer:
        assert {"Authorization", "Cookie"} < set(answer.headers["Vary"].split(", "))


async def test_with_keys_any_address_will_do_as_a_host_and_no_name(service: Service) -> None:
    assert await status(service, WHO, {"Host": "192.168.1.5:8080"}) == 403
    await made(service)
    assert await status(service, WHO, {"Host": "192.168.1.5:8080"}) == 200
    assert await status(service, WHO, {"Host": "evil.example"}) == 403


# Browsers


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({"Origin": "SELF"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
        ({"Origin": "https://friend.example"}, False),
        ({"Origin": "https://friend.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, False),
    ],
)
async def test_a_cookie_changes_something_from_our_own_pages_only(
    headers: dict[str, str], answered: bool, tmp_path: Path
) -> None:
    async with serving(tmp_path, CAUSERIE_SERVER_ORIGINS="https://friend.example") as service:
        key, secret = await made(service)
        session = service.context.keys.session(key, service.context.started_at + 60)
        said = {name: value.replace("SELF", service.url) for name, value in headers.items()}
        for method, path in (("POST", f"{V2}/log"), ("DELETE", WHO), ("POST", f"{V2}/turns/x/stop")):
            refused = await status(service, path, {**cookie(session), **said}, method) == 403
            assert refused is not answered
        if said.get("Origin") == "https://friend.example":  # who names himself is no browser's accident
            assert await status(service, f"{V2}/turns/x/stop", {**bearer(secret), **said}, "POST") == 404


# What ends


@pytest.mark.parametrize("how", ["revoked here", "revoked elsewhere", "expired"])
async def test_a_key_that_ends_ends_its_running_turns(
    how: str, service: Service, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.keys.REFRESH_SECONDS", 0.05)
    upstream.script(Say("One "), Silent())
    key, secret = await made(service)
    _, others = await made(service, "bob")
    async with (
        service.asking(headers={**bearer(secret), "X-On-Disconnect": "wait"}) as answer,
        service.asking(headers=bearer(others)) as other,
    ):
        assert answer.status == other.status == 200
        turn = answer.headers["X-Turn-Id"]
        match how:
            case "revoked here":
                await service.context.keys.revoke(key.id)
            case "revoked elsewhere":
                async with kept(service.context.settings.state / "causerie.db", beside=True) as command:
                    await command.revoke(key.id)
            case _:
                keys = service.context.keys
                monkeypatch.setattr(type(keys[key.id]), "over", property(lambda one: one.id == key.id))
        async with asyncio.timeout(5):
            assert b'"stopped"' in await answer.read()
        assert [running.owner for running in service.context.turns.running(None)] == ["bob"]
        assert await status(service, f"{V2}/turns/{turn}", bearer(secret)) == 401
        other.close()
