"""Who may call what: every route, for everybody, by every way in. The matrix is made of the route table."""

import asyncio
import json
import logging
import re
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.app import assemble, table
from service.routes import Signature
from service.sources import load
from service.stores.keys import Key
from service.telemetry import set_up_logs
from tests.access import Headers, basic, bearer, cookie, logged_in, x_api_key
from tests.conftest import ROW
from tests.login import Login, trusting
from tests.serving import CONVERSATION, Service, serving
from tests.upstream import Status, Upstream

TABLE = table(assemble(load({"CAUSERIE_EMBEDDED_ENABLED": "false"})))
ENDPOINTS = [
    (method, re.sub(r"{\w+(:[^}]*)?}", "x", path), Signature.of(handler).policy)
    for path, entry in TABLE.items()
    for method, handler in entry["handlers"].items()
]
WAYS = ("bearer", "basic", "x-api-key", "cookie")


class Person(NamedTuple):
    key: Key
    text: str

    def by(self, way: str, service: Service) -> Headers:
        """This one's key, shown in this way."""
        match way:
            case "bearer":
                return bearer(self.text)
            case "basic":
                return basic(self.text)
            case "x-api-key":
                return x_api_key(self.text)
            case _:
                return logged_in(service, self.key)


class People(NamedTuple):
    user: Person
    admin: Person
    revoked: Person


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service on which nobody answers; what is tested here does not come so far."""
    async with serving(tmp_path) as service:
        yield service


@pytest.fixture
async def people(service: Service) -> People:
    keys = service.context.keys
    people = People(
        Person(*await keys.create("ada", "user")),
        Person(*await keys.create("operator", "admin")),
        Person(*await keys.create("eve", "admin")),
    )
    await keys.revoke(people.revoked.key.id)
    return people


async def decided(service: Service, method: str, path: str, headers: Headers) -> str:
    """What becomes of a request: whether its sender is nobody, or may not, or is let in."""
    async with service.http.request(method, service.url + path, headers=headers) as answer:
        body = await answer.read()
        if answer.status == 401:
            assert b"needs a key" in body
            return "nobody"
        if answer.status == 403:
            assert b"Only the operator" in body, body
            return "may not"
        return "in"


def expected(policy: str, role: str) -> str:
    if policy == "anyone" or role == "admin":
        return "in"
    if role == "nobody":
        return "nobody"
    return "in" if policy == "user" else "may not"


def test_the_matrix_has_every_policy_and_most_routes_are_not_for_anyone() -> None:
    policies = [policy for *_, policy in ENDPOINTS]
    assert set(policies) == {"anyone", "user", "admin"}
    assert sum(policy != "anyone" for policy in policies) >= 25


@pytest.mark.parametrize("way", WAYS)
async def test_everybody_gets_what_is_his(way: str, service: Service, people: People) -> None:
    for method, path, policy in ENDPOINTS:
        known = way != "x-api-key" or path.startswith("/v1/")
        for role, person in (("user", people.user), ("admin", people.admin), ("nobody", people.revoked)):
            found = await decided(service, method, path, person.by(way, service))
            assert found == expected(policy, role if known else "nobody"), (method, path, role)


async def test_everybody_gets_what_is_his_with_a_token(tmp_path: Path) -> None:
    login = Login()
    async with login.server, trusting(tmp_path, login) as service:
        tokens = {
            "user": login.token(),
            "admin": login.token(roles=["admin"]),
            "nobody": login.token(roles=["admin"], exp=1),
        }
        for method, path, policy in ENDPOINTS:
            for role, token in tokens.items():
                for headers in (bearer(token), basic(token)):
                    found = await decided(service, method, path, headers)
                    assert found == expected(policy, role), (method, path, role)
        assert not (tmp_path / "state/secret").exists()


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-user": "operator"}, {"x_user": "operator"}, x_api_key(""), {"X-Forwarded-User": "operator"}],
    ids=str,
)
async def test_who_shows_nothing_is_nobody(headers: Headers, service: Service, people: People) -> None:
    assert people
    for method, path, policy in ENDPOINTS:
        assert await decided(service, method, path, headers) == expected(policy, "nobody"), (method, path)


async def test_head_is_as_get(service: Service, people: People) -> None:
    for method, path, policy in ENDPOINTS:
        if method == "GET":
            for headers, role in (({}, "nobody"), (bearer(people.user.text), "user")):
                async with service.http.head(service.url + path, headers=headers) as answer:
                    answered = {401: "nobody", 403: "may not"}.get(answer.status, "in")
                    assert answered == expected(policy, role), path


async def test_without_keys_everything_is_the_local_users(service: Service) -> None:
    for method, path, _ in ENDPOINTS:
        if (method, path) != ("POST", "/backend-api/v2/keys"):
            assert await decided(service, method, path, bearer("sk-anything")) == "in"


# What is no key (S1 of the corpus: CVE-2026-42208 and its like)

NO_KEYS = {
    "SQL": "' OR '1'='1",
    "a comment": "x'; DROP TABLE keys; --",
    "a union": "ck-aaaaaaaa' UNION SELECT id, hash FROM keys --",
    "a wildcard": "ck-%%%%%%%%-" + "%" * 43,
    "underscores": "ck-________-" + "_" * 43,
    "a pattern": "ck-.*-.*",
    "NUL": "ck-aaaaaaaa-\0" + "a" * 42,
    "no ASCII": "ck-ключ-секрет-🤔",
    "a lone byte": "ck-\udcff",
    "8 KiB": "ck-aaaaaaaa-" + "a" * 8180,
    "8 KiB of another script": "ж" * 4096,
    "JSON": '{"$ne": null}',
    "null": "null",
    "a path": "../../secret",
    "lines": "ck-aaaaaaaa\r\nX-User: operator",
}


def rows(service: Service) -> list[Any]:
    with closing(sqlite3.connect(service.context.settings.state / "causerie.db")) as connection:
        return connection.execute("SELECT * FROM keys ORDER BY id").fetchall()


@pytest.mark.parametrize("name", NO_KEYS)
async def test_what_is_no_key_opens_nothing(name: str, service: Service, people: People) -> None:
    before = rows(service)
    text = NO_KEYS[name]
    ways = [basic(text)]
    if text.isprintable() and len(text.encode()) < 8000:
        ways += [bearer(text), x_api_key(text), cookie(text.encode().hex())]
    for method, path, policy in ENDPOINTS:
        if policy != "anyone":
            for headers in ways:
                async with service.http.request(method, service.url + path, headers=headers) as answer:
                    # A header over 8190 bytes is refused before anybody reads it.
                    assert answer.status in ({400, 401} if len(str(headers)) > 8000 else {401}), path
    assert await decided(service, "GET", "/metrics", bearer(people.admin.text)) == "in"
    assert rows(service) == before


@pytest.mark.parametrize("name", NO_KEYS)
async def test_what_is_no_key_opens_nothing_as_raw_bytes_either(
    name: str, service: Service, people: People
) -> None:
    assert people
    text = NO_KEYS[name].encode(errors="surrogateescape")
    for header in (b"Authorization: Bearer ", b"x-api-key: ", b"Cookie: causerie_session="):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
        host = service.url.removeprefix("http://").encode()
        writer.write(b"GET /v1/responses/x HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n" + header)
        writer.write(text + b"\r\n\r\n")
        line = (await reader.read()).split(b"\r\n", 1)[0]
        assert line.split()[1] in {b"400", b"401"}, line
        writer.close()


async def test_a_wrong_secret_takes_as_long_as_an_unknown_key(service: Service, people: People) -> None:
    find = service.context.keys.find
    texts = {
        "wrong at the end": people.user.text[:-4] + "____",
        "wrong from the beginning": people.user.text[:12] + "_" * 43,
        "unknown": "ck-zzzzzzzz-" + "_" * 43,
    }
    assert not any(map(find, texts.values()))
    taken: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(3000):
        for name, text in texts.items():
            began = time.perf_counter()
            find(text)
            taken[name].append(time.perf_counter() - began)
    medians = [statistics.median(times) for times in taken.values()]
    assert max(medians) < 1.5 * min(medians)


# What is told of a key (S4), and where its text is found (S10)


def walked(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield name
                yield from walked(inner)
        case list():
            for inner in value:
                yield from walked(inner)
        case _:
            yield str(value)


async def test_no_answer_has_a_hash_or_a_key_but_the_one_that_makes_it(
    service: Service, people: People
) -> None:
    hashes = [person.key.hash for person in people]
    texts = [person.text[12:] for person in people]
    for method, path, _ in ENDPOINTS:
        for real in (path, re.sub(r"/x\b", f"/{people.user.key.id}", path)):
            if method == "GET":
                for headers in (bearer(people.admin.text), bearer(people.user.text), {}):
                    async with service.http.get(service.url + real, headers=headers) as answer:
                        body = await answer.text()
                        assert not [secret for secret in (*hashes, *texts) if secret in body], real
    for stored in hashes:
        for text in (stored, f"ck-{people.admin.key.id}-{stored[:43]}"):
            assert await decided(service, "GET", "/metrics", bearer(text)) == "nobody"


async def test_keys_are_in_no_log_no_metric_and_no_error(
    tmp_path: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    upstream.script(Status(500, {"error": {"message": "It broke."}}))
    row = ROW.format(url=upstream.url)
    said: list[str] = []
    async with serving(tmp_path, row) as service:
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        set_up_logs("debug", "json")
        key, text = await service.context.keys.create("ada", "admin")
        token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"
        question = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "api_key": text})
        complaint = json.dumps({"type": "error", "message": f"Bearer {text} and {token}", "error": text})
        for headers in (bearer(text), bearer(text + "x"), basic(text), x_api_key(text), {}):
            for path, body in (
                (CONVERSATION, question),
                ("/v1/chat/completions", question),
                ("/v1/messages", question),
                ("/backend-api/v2/log", complaint),
                (f"/backend-api/v2/create?prompt=Hi&api_key={text}", ""),
                (f"/{text}", ""),
                (f"/backend-api/v2/keys/{text}/rotate", "{}"),
                ("/backend-api/v2/session", "{}"),
            ):
                async with service.http.post(service.url + path, data=body, headers=headers) as answer:
                    said.append(await answer.text())
        said.append(await (await service.http.get(service.url + "/metrics", headers=bearer(text))).text())
        said += [repr(service.context.keys[key.id]), repr(service.context.settings)]
        await service.context.keys.revoke(key.id)
        root.handlers[:] = handlers
        root.setLevel(level)
    logged = capfd.readouterr().err
    assert "a client reports" in logged
    for where in (logged, *said):
        assert text[12:] not in where
        assert key.hash not in where
        assert token not in where
