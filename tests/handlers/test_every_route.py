"""Every route of the table meets bad requests in the same way."""

import asyncio
import gzip
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import msgspec
import pytest
from yarl import URL

from service.app import assemble, table
from service.routes import Signature
from service.sources import load
from tests.serving import Service, serving

PARTS = assemble(load({"CAUSERIE_EMBEDDED_ENABLED": "false"}))
TABLE = table(PARTS)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
GETS = [path for path, entry in TABLE.items() if "GET" in entry["methods"]]
BODIES = {
    re.sub(r"{\w+}", "x", path): Signature.of(handler).body
    for path, entry in TABLE.items()
    for handler in entry["handlers"].values()
    if Signature.of(handler).body
}
BODY_METHODS = {
    re.sub(r"{\w+}", "x", path): method
    for path, entry in TABLE.items()
    for method, handler in entry["handlers"].items()
    if Signature.of(handler).body
}
FORMS = {
    path
    for path, entry in TABLE.items()
    for handler in entry["handlers"].values()
    if Signature.of(handler).form
}
"""These take forms; some as well as JSON."""
LIMIT = 1000


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service on which nobody answers; what is tested here does not come so far."""
    async with serving(
        tmp_path, CAUSERIE_SERVER_BODY_LIMIT=str(LIMIT), CAUSERIE_SERVER_BODY_TIMEOUT="0.2"
    ) as service:
        yield service


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a client does wrong is no failure of the service: nothing of it is logged as one."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.exc_info] == []


async def problem(answer: aiohttp.ClientResponse) -> Any:
    """The error in a response, which has the one shape that they all have."""
    assert answer.content_type == "application/json", await answer.text()
    body = await answer.json()
    if answer.url.path.startswith("/v1/messages"):
        error = anthropics(body)
    else:
        assert body.keys() == {"error"}
        error = body["error"]
    assert list(error) == ["message", "type", "code", "param", "request_id"]
    assert re.search(r"\w{3,} \w+.*\.$", error["message"]), "a sentence, for people"
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    return error


def anthropics(body: Any) -> Any:
    """The same of Anthropic's shape, which has no code, and names the culprit in the message alone."""
    assert (list(body), body["type"], list(body["error"])) == (
        ["type", "error", "request_id"],
        "error",
        ["type", "message"],
    )
    message = body["error"]["message"]
    place = re.search(r"at (\S+) of the JSON body", message)
    return {
        "message": message,
        "type": body["error"]["type"],
        "code": ANY,
        "param": place and place[1],
        "request_id": body["request_id"],
    }


def filled(path: str, value: str = "x") -> str:
    return re.sub(r"{\w+}", value, path)


def text_field(kind: Any) -> str:
    """A field of a body that takes text, or else its first."""
    fields = msgspec.structs.fields(kind)
    for field in fields:
        try:
            msgspec.convert("x", field.type)
        except msgspec.ValidationError:
            continue
        return field.name
    return fields[0].name


@pytest.mark.parametrize("path", GETS)
async def test_head_is_get_without_the_body(path: str, service: Service) -> None:
    url = service.url + filled(path)
    async with service.http.get(url) as whole, service.http.head(url) as head:
        assert (head.status, head.content_type) == (whole.status, whole.content_type)
        assert await head.read() == b""
        for answer in (whole, head):
            assert answer.headers["X-Request-ID"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]


def methods(path: str) -> set[str]:
    return set(TABLE[path]["methods"]) | ({"HEAD"} if path in GETS else set())


def is_an(pattern: str, path: str) -> bool:
    """Whether the second path is one that the first one, which has a name in it, fits as well."""
    fits = re.sub(r"{\w+}", "[^/{}]+", pattern)
    return fits != pattern and re.fullmatch(fits, path) is not None


@pytest.mark.parametrize("path", TABLE)
async def test_another_method_is_not_allowed(path: str, service: Service) -> None:
    allowed = methods(path).union(*(methods(other) for other in TABLE if is_an(other, path)))
    for method in METHODS - allowed - {"HEAD"}:
        async with service.http.request(method, service.url + filled(path)) as answer:
            assert answer.status == 405
            assert set(re.split(", ?", answer.headers["Allow"])) == allowed
            error = await problem(answer)
            assert error["code"] == "method_not_allowed"
            assert method in error["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/backend-api/v2",
        "/backend-api/v2/version/",
        "//",
        "/%00",
        "/%ff",
        "/..%2f..%2fetc/passwd",
    ],
)
async def test_what_is_nowhere_is_not_found(path: str, service: Service) -> None:
    for method in METHODS - {"HEAD"}:
        async with service.http.request(method, service.url + path) as answer:
            assert answer.status == 404
            assert (await problem(answer))["code"] == "not_found"


DEEP = b"[" * 10_000 + b"]" * 10_000
MALFORMED = {
    "nothing": b"",
    "blanks": b" \n",
    "half of it": b'{"%s": "x',
    "no JSON": b"field=value",
    "two objects": b"{}{}",
    "an array": b"[]",
    "a text": b'"text"',
    "null": b"null",
    "a NUL byte": b'{"%s": "a\0b"}',
    "only NUL bytes": b"\0\0\0",
    "a lone surrogate": rb'{"%s": "a\ud800b"}',
    "a lone surrogate at the end": rb'{"%s": "\udc00"}',
    "no UTF-8": b'{"%s": "\xff"}',
    "a surrogate in UTF-8": b'{"%s": "\xed\xa0\x80"}',
    "UTF-16": '{"%s": "x"}'.encode("utf-16"),
    "not a number": b'{"%s": NaN}',
    "another type": b'{"%s": [[]]}',
}


@pytest.mark.parametrize("path", BODIES)
async def test_a_malformed_body_is_refused(path: str, service: Service) -> None:
    field = text_field(BODIES[path]).encode()
    for name, body in MALFORMED.items():
        async with service.http.request(
            BODY_METHODS[path], service.url + path, data=body.replace(b"%s", field)
        ) as answer:
            assert answer.status == 400, name
            assert (await problem(answer))["type"] == "invalid_request_error"
    await service.get("/health/live")


@pytest.mark.parametrize("path", BODIES)
async def test_a_wrong_type_is_named_with_its_place(path: str, service: Service) -> None:
    for field in msgspec.structs.fields(BODIES[path]):
        async with service.http.request(
            BODY_METHODS[path], service.url + path, json={field.name: [[{}]]}
        ) as answer:
            error = await problem(answer)
            assert answer.status == 400
            assert re.fullmatch(rf"\$\.{field.name}(\[0\])*", error["param"])
            assert f"at {error['param']} of the JSON body" in error["message"]


@pytest.mark.parametrize("path", BODIES)
async def test_nesting_has_an_end(path: str, tmp_path: Path) -> None:
    field = text_field(BODIES[path]).encode()
    async with serving(tmp_path) as service:
        for body in (DEEP, b'{"%b": %b}' % (field, DEEP), b'{"unknown": %b}' % DEEP):
            async with service.http.request(BODY_METHODS[path], service.url + path, data=body) as answer:
                assert answer.status == 400
                await problem(answer)
        await service.get("/health/live")


@pytest.mark.parametrize("path", BODIES)
async def test_a_compressed_body_is_not_unpacked(path: str, service: Service) -> None:
    for coding in ("gzip", "GZIP", "deflate", "br", "gzip, identity"):
        headers = {"Content-Encoding": coding}
        async with service.http.request(
            BODY_METHODS[path], service.url + path, data=gzip.compress(b"{}"), headers=headers
        ) as answer:
            assert answer.status == 415, coding
            assert "without Content-Encoding" in (await problem(answer))["message"]


@pytest.mark.parametrize("path", BODIES.keys() - FORMS)
async def test_a_form_is_no_json(path: str, service: Service) -> None:
    with aiohttp.MultipartWriter("form-data") as form:
        form.append_json({})
    async with service.http.request(BODY_METHODS[path], service.url + path, data=form) as answer:
        assert answer.status == 415
        assert "JSON" in (await problem(answer))["message"]


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("path", BODIES)
async def test_a_body_over_the_limit_is_refused_with_the_limit(path: str, service: Service) -> None:
    half = b" " * (LIMIT // 2)
    for body in (half + half + b" ", in_pieces(half, half, b" ")):
        async with service.http.request(BODY_METHODS[path], service.url + path, data=body) as answer:
            error = await problem(answer)
            assert (answer.status, error["code"]) == (413, "request_too_large")
            assert str(LIMIT) in error["message"]
    for body in (half + half, in_pieces(half, half)):
        async with service.http.request(BODY_METHODS[path], service.url + path, data=body) as answer:
            assert answer.status == 400


async def test_two_megabytes_are_too_much_as_things_are_shipped(tmp_path: Path) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "a" * 2_000_000}]}).encode()
    async with serving(tmp_path) as service:
        for data in (io.BytesIO(body), in_pieces(body)):
            async with service.http.post(service.url + "/backend-api/v2/conversation", data=data) as answer:
                assert answer.status == 413
                assert "1048576 bytes" in (await problem(answer))["message"]
        await service.get("/health/live")


@pytest.mark.parametrize("path", BODIES)
async def test_a_body_that_does_not_come_is_not_waited_for(path: str, service: Service) -> None:
    over = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await over.wait()

    async with service.http.request(BODY_METHODS[path], service.url + path, data=slow()) as answer:
        assert answer.status == 408
        assert (await problem(answer))["code"] == "request_timeout"
    over.set()
    await service.get("/health/live")


async def test_a_client_that_leaves_with_its_body_half_sent_is_no_failure(service: Service) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    writer.write(b"POST /backend-api/v2/log HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await service.get("/health/live")


@pytest.mark.parametrize(
    ("query", "name"),
    [("days=abc", "days"), ("days=", "days"), ("days=0", "days"), ("days=366", "days"), ("days=1.5", "days")],
)
async def test_a_bad_query_names_its_parameter(query: str, name: str, service: Service) -> None:
    async with service.http.get(f"{service.url}/backend-api/v2/stats?{query}") as answer:
        error = await problem(answer)
        assert (answer.status, error["param"]) == (400, name)
        assert f"parameter {name}" in error["message"]


@pytest.mark.parametrize("path", GETS)
async def test_a_query_of_nonsense_fails_nothing(path: str, service: Service) -> None:
    for query in ("?%00=%ff", "?user=%ed%a0%80&ignored=%00&format=%ff", "?" + "a=b&" * 1000, "?[]", "?=&&"):
        async with service.http.get(service.url + filled(path) + query) as answer:
            assert answer.status in {200, 204, 400, 404}


@pytest.mark.parametrize(
    "value", ["%00", "%ff", "%ed%a0%80", "..%2f..%2fetc%2fpasswd", "a" * 2500, "%F0%9F%A4%94"]
)
async def test_a_name_of_nonsense_fails_nothing(value: str, service: Service) -> None:
    for path in GETS:
        if "{" in path:
            async with service.http.get(URL(service.url + filled(path, value), encoded=True)) as answer:
                assert answer.status in {200, 204, 400, 404}
                if answer.status >= 400:
                    await problem(answer)
