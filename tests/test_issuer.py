"""Tokens of an issuer as a second way in, against an issuer on the loopback."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import jwt
import pytest

from tests.access import Headers, basic, bearer, x_api_key
from tests.login import AUDIENCE, CURVE, OTHER, RSA, Login, published, trusting
from tests.serving import Json, Service
from tests.upstream import until

STATS = "/backend-api/v2/stats"


@pytest.fixture
async def login() -> AsyncIterator[Login]:
    login = Login()
    async with login.server:
        yield login


@pytest.fixture
async def service(tmp_path: Path, login: Login) -> AsyncIterator[Service]:
    async with trusting(tmp_path, login) as service:
        yield service


async def who(service: Service, headers: Headers) -> tuple[str | None, bool]:
    found = await service.get("/backend-api/v2/session", headers=headers)
    assert found["needs_key"]
    assert found["key"] is None
    return found["user"], found["admin"]


async def test_a_token_is_a_way_in_for_users_and_operators(login: Login, service: Service) -> None:
    assert await who(service, {}) == (None, False)
    assert await who(service, bearer(login.token())) == ("ada", False)
    assert await who(service, basic(login.token())) == ("ada", False)
    assert await who(service, bearer(login.token(CURVE, "curve", "ES256", sub="bob"))) == ("bob", False)
    for admins in (["admin"], ["user", "admin"], "admin"):
        assert await who(service, bearer(login.token(roles=admins))) == ("ada", True)
    for others in ([], ["administrator"], "not admin", {"admin": True}, None, 1):
        assert await who(service, bearer(login.token(roles=others))) == ("ada", False)
    async with service.http.get(f"{service.url}/v1/responses/x", headers=x_api_key(login.token())) as answer:
        assert answer.status == 404
    async with service.http.get(service.url + STATS, headers=x_api_key(login.token())) as answer:
        assert answer.status == 401
    assert login.asked == 1


WRONG: dict[str, Callable[[Login], str]] = {
    "expired": lambda login: login.token(exp=time.time() - 60),
    "without an end": lambda login: login.token(exp=None),
    "not valid yet": lambda login: login.token(nbf=time.time() + 600),
    "for somebody else": lambda login: login.token(aud="another"),
    "for nobody": lambda login: login.token(aud=None),
    "of another issuer": lambda login: login.token(iss="https://evil.example"),
    "of no issuer": lambda login: login.token(iss=None),
    "about nobody": lambda login: login.token(sub=None),
    "about a blank": lambda login: login.token(sub=" "),
    "about lines": lambda login: login.token(sub="ada\nadmin"),
    "about a long name": lambda login: login.token(sub="a" * 201),
    "signed by another": lambda login: login.token(OTHER),
    "of an unknown key": lambda login: login.token(OTHER, "other"),
    "of no key": lambda login: login.token(id=None),
    "of another key than it says": lambda login: login.token(id="curve"),
    "in another way": lambda login: login.token(algorithm="RS512"),
    "with padding": lambda login: login.token(algorithm="PS256"),
    "with a shared secret": lambda login: login.token("x" * 32, algorithm="HS256"),
    "unsigned": lambda login: login.token("", algorithm="none"),
    "cut": lambda login: login.token()[:-10],
    "changed": lambda login: (
        login.token(sub="bob").rpartition(".")[0] + "." + login.token().rpartition(".")[2]
    ),
    "no token": lambda login: "a.b.c",
    "dots": lambda login: "." * 4000,
    "no ASCII": lambda login: "ключ.ключ.ключ",
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_token_that_is_not_right_is_nobodys(name: str, login: Login, service: Service) -> None:
    assert await who(service, bearer(login.token())) == ("ada", False)
    for way in (bearer, basic):
        async with service.http.get(service.url + STATS, headers=way(WRONG[name](login))) as answer:
            assert answer.status == 401
            assert (await answer.json())["error"]["code"] == "invalid_api_key"


async def test_a_public_key_is_no_secret_to_sign_with(login: Login, service: Service) -> None:
    """The confusion of algorithms: what is public, taken as the key of an HMAC."""
    pem = json.dumps(login.keys["keys"][0])
    head, body, _ = login.token().split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    signature = hmac.digest(pem.encode(), f"{head}.{body}".encode(), "sha256")
    token = f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert await who(service, bearer(token)) == (None, False)


async def test_tokens_that_begin_alike_are_still_two(login: Login, service: Service) -> None:
    """S2 of the corpus: CVE-2026-35030, where the first 20 characters were the key of a cache."""
    ada, bob = (
        jwt.encode(_claims(login, sub), RSA, "RS256", headers={"kid": "one"}) for sub in ("ada", "bob")
    )
    assert ada[:250] == bob[:250]
    for _ in range(3):
        assert await who(service, bearer(ada)) == ("ada", False)
        assert await who(service, bearer(bob)) == ("bob", False)
    forged = f"{ada.rpartition('.')[0]}.{bob.rpartition('.')[2]}"
    assert await who(service, bearer(forged)) == (None, False)


def _claims(login: Login, sub: str) -> Json:
    """The subject last, so that the tokens of two of them begin alike."""
    filling = {"iss": login.url, "aud": AUDIENCE, "exp": int(time.time()) + 600, "filling": "x" * 200}
    return filling | {"sub": sub}


async def test_a_new_key_of_the_issuers_is_learnt_and_nobody_makes_us_ask_all_the_time(
    login: Login, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await who(service, bearer(login.token())) == ("ada", False)
    login.keys = published(two=OTHER)
    new = login.token(OTHER, "two")
    for _ in range(5):
        assert await who(service, bearer(new)) == (None, False)
    assert login.asked == 1
    assert service.context.issuer
    service.context.issuer._not_before = 0.0  # a minute later
    assert await asyncio.gather(*(who(service, bearer(new)) for _ in range(10))) == [("ada", False)] * 10
    assert await who(service, bearer(login.token())) == (None, False)
    assert login.asked == 2


@pytest.mark.parametrize("keys", [[], {}, [{"kty": "new"}], [{}]])
async def test_an_issuer_without_a_key_for_a_moment_is_asked_again(
    keys: object, tmp_path: Path, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.issuer.REFRESH_SECONDS", 0.05)
    monkeypatch.setattr("service.issuer.PAUSE_AFTER_FAILURE", 0.0)
    right, login.keys = login.keys, {"keys": keys}
    async with trusting(tmp_path, login) as service:
        assert await who(service, bearer(login.token())) == (None, False)
        asked, login.keys = login.asked, right
        await until(lambda: login.asked > asked)  # nobody has shown a token meanwhile
        assert await who(service, bearer(login.token())) == ("ada", False)


async def test_the_only_key_needs_no_id(tmp_path: Path, login: Login) -> None:
    login.keys = published(one=RSA)
    async with trusting(tmp_path, login) as service:
        assert await who(service, bearer(login.token(id=None))) == ("ada", False)


@pytest.mark.parametrize(
    ("claim", "claims", "admin"),
    [
        ("groups:ops", {"groups": ["ops"]}, True),
        ("realm_access.roles:admin", {"realm_access": {"roles": ["admin"]}}, True),
        ("realm_access.roles:admin", {"realm_access": ["admin"], "roles": ["admin"]}, False),
        ("https://example.org/roles:admin", {"https://example.org/roles": ["admin"]}, True),
        ("", {"": "", "roles": ["admin"]}, False),
    ],
)
async def test_the_settings_say_who_is_an_operator(
    claim: str, claims: Json, admin: bool, tmp_path: Path, login: Login
) -> None:
    async with trusting(tmp_path, login, CAUSERIE_KEYS_JWT_ADMIN_CLAIM=claim) as service:
        assert await who(service, bearer(login.token(**claims))) == ("ada", admin)


async def test_an_issuer_that_is_away_opens_nothing_and_keys_still_do(tmp_path: Path, login: Login) -> None:
    token = login.token()
    async with trusting(tmp_path, login, CAUSERIE_KEYS_JWT_ISSUER="http://127.0.0.1:1") as service:
        assert await who(service, bearer(token)) == (None, False)
        _, text = await service.context.keys.create("ada", "admin")
        async with service.http.get(f"{service.url}/metrics", headers=bearer(text)) as answer:
            assert answer.status == 200


async def test_an_issuer_that_calls_itself_otherwise_is_not_trusted(
    tmp_path: Path, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    login.called = "https://another.example"
    async with trusting(tmp_path, login) as service:
        assert await who(service, bearer(login.token())) == (None, False)
    assert "Set keys.jwt_issuer" in caplog.text


async def test_an_issuer_needs_an_audience(tmp_path: Path, login: Login) -> None:
    with pytest.raises(Exception, match=r"keys\.jwt_audience"):
        async with trusting(tmp_path, login, CAUSERIE_KEYS_JWT_AUDIENCE=""):
            pass
