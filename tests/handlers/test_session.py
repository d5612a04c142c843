"""Logging in with a key, as browsers do it."""

import time
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest

from service.context import SESSION
from tests.access import bearer
from tests.serving import Service, serving

V2 = "/backend-api/v2"
PATH = f"{V2}/session"
NOBODY = {"user": None, "admin": False, "needs_key": True, "key": None}


def browser(service: Service) -> aiohttp.ClientSession:
    """It keeps cookies, and says from which page it asks."""
    jar = aiohttp.CookieJar(unsafe=True)
    return aiohttp.ClientSession(service.url, cookie_jar=jar, headers={"Origin": service.url})


async def test_a_browser_logs_in_once_and_out_again(service: Service) -> None:
    key, text = await service.context.keys.create("ada", "user")
    ada = {"user": "ada", "admin": False, "needs_key": True, "key": key.id}
    async with browser(service) as page:
        assert await (await page.get(PATH)).json() == NOBODY
        answer = await page.post(PATH, json={"key": f" {text}\n"})
        assert (answer.status, await answer.json()) == (200, ada)
        assert text not in str(answer.headers)
        assert await (await page.get(PATH)).json() == ada
        assert (await page.get(f"{V2}/turns")).status == 200
        assert (await page.post(f"{V2}/log", json={})).status == 200
        assert (await page.delete(PATH)).status == 204
        assert await (await page.get(PATH)).json() == NOBODY
        assert (await page.get(f"{V2}/turns")).status == 401


@pytest.mark.parametrize(("origin", "secure"), [("http", False), ("https", True)])
async def test_the_cookie_is_the_browsers_alone(origin: str, secure: bool, service: Service) -> None:
    _, text = await service.context.keys.create("ada", "user")
    headers = {"Origin": service.url.replace("http", origin)}
    async with service.http.post(service.url + PATH, json={"key": text}, headers=headers) as answer:
        cookie = SimpleCookie(answer.headers["Set-Cookie"])[SESSION]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert bool(cookie["secure"]) is secure
    assert 43_100 < int(cookie["max-age"]) <= 43_200
    assert cookie["domain"] == ""
    assert text[12:] not in cookie.value


async def test_a_session_lasts_no_longer_than_its_key_or_the_setting(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_KEYS_SESSION="600") as service:
        for expires_at, longest in ((None, 600), (time.time() + 60, 60)):
            _, text = await service.context.keys.create("ada", "user", expires_at=expires_at)
            async with service.http.post(service.url + PATH, json={"key": text}) as answer:
                cookie = SimpleCookie(answer.headers["Set-Cookie"])[SESSION]
                assert longest - 10 < int(cookie["max-age"]) <= longest


@pytest.mark.parametrize("how", ["revoke", "rotate"])
async def test_a_session_ends_with_its_key(how: str, service: Service) -> None:
    keys = service.context.keys
    key, text = await keys.create("ada", "admin")
    async with browser(service) as page:
        await page.post(PATH, json={"key": text})
        assert (await page.get("/metrics")).status == 200
        await (keys.revoke(key.id) if how == "revoke" else keys.rotate(key.id))
        assert (await page.get("/metrics")).status == 401
        assert await (await page.get(PATH)).json() == NOBODY


@pytest.mark.parametrize("wrong", ["", "sk-whatever", "ck-aaaaaaaa-" + "a" * 43, "\0", "ж" * 4096])
async def test_what_is_no_key_logs_nobody_in(wrong: str, service: Service) -> None:
    await service.context.keys.create("ada", "user")
    async with service.http.post(service.url + PATH, json={"key": wrong}) as answer:
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


async def test_a_page_of_another_site_logs_nobody_in(service: Service) -> None:
    _, text = await service.context.keys.create("ada", "user")
    headers = {"Origin": "https://evil.example"}
    async with service.http.post(service.url + PATH, json={"key": text}, headers=headers) as answer:
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers


async def test_without_keys_there_is_nothing_to_log_into(service: Service) -> None:
    async with service.http.post(service.url + PATH, json={"key": "sk-whatever"}) as answer:
        assert await answer.json() == {"user": "local", "admin": True, "needs_key": False, "key": None}
        assert "Set-Cookie" not in answer.headers


async def test_a_session_is_no_key(service: Service) -> None:
    key, _ = await service.context.keys.create("ada", "user")
    session = service.context.keys.session(key, time.time() + 60)
    for headers in (bearer(session), {"x-api-key": session}):
        async with service.http.get(f"{service.url}/v1/responses/x", headers=headers) as answer:
            assert answer.status == 401
    async with service.http.get(f"{service.url}{V2}/turns?session={session}") as answer:
        assert answer.status == 401
