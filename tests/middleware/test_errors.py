"""Whatever fails has one shape, and every response says which request it answers."""

import asyncio
import re
from collections.abc import AsyncGenerator
from datetime import date
from pathlib import Path

import pytest

from service.errors import Unavailable
from service.providers.registry import Registry
from service.stores.ledger import Ledger
from tests.serving import Service, serving

VERSION = "/backend-api/v2/version"


@pytest.mark.parametrize("sent", ["a", "req_1-2.3:4", "A" * 128])
async def test_a_clients_request_id_is_kept(sent: str, service: Service) -> None:
    async with service.http.get(service.url + VERSION, headers={"X-Request-ID": sent}) as answer:
        assert answer.headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", " ", "a b", "é", "A" * 129, "<script>", "a\tb", "a;b", "{}"])
async def test_a_request_id_that_is_none_is_replaced(sent: str, service: Service) -> None:
    async with service.http.get(service.url + VERSION, headers={"X-Request-ID": sent}) as answer:
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])


async def test_each_request_has_an_id_of_its_own(service: Service) -> None:
    ids = set()
    for path in (VERSION, VERSION, "/nowhere", "/web/app.js"):
        async with service.http.get(service.url + path) as answer:
            ids.add(answer.headers["X-Request-ID"])
    assert len(ids) == 4


async def test_a_stream_carries_its_request_and_its_turn(service: Service) -> None:
    async with service.asking(headers={"X-Request-ID": "mine"}) as answer:
        await answer.read()
        assert answer.headers.getall("X-Request-ID") == ["mine"]
        assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
        assert answer.headers["X-Turn-Id"]


async def test_a_fault_of_ours_tells_the_client_nothing_and_the_log_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("/etc/secret")

    async with serving(tmp_path) as service:
        monkeypatch.setattr(Registry, "listing", broken)
        async with service.http.get(
            service.url + "/backend-api/v2/providers", headers={"X-Request-ID": "mine"}
        ) as answer:
            assert answer.status == 500
            assert (await answer.json())["error"] == {
                "message": "The service failed; its log says why.",
                "type": "server_error",
                "code": "internal_error",
                "param": None,
                "request_id": "mine",
            }
        (logged,) = (record for record in caplog.records if record.exc_info)
        assert logged.getMessage() == "GET /backend-api/v2/providers failed"
        monkeypatch.undo()
        assert await service.get("/backend-api/v2/providers")


async def test_an_error_is_as_closed_to_other_sites_as_an_answer(service: Service) -> None:
    for path in (VERSION, "/nowhere"):
        async with service.http.get(service.url + path) as answer:
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_an_answer_that_has_begun_is_cut_off_and_not_answered_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> AsyncGenerator[list[object], None]:
        yield [{"row": 1}]
        raise Unavailable("The database cannot be read.")

    monkeypatch.setattr(Ledger, "usage", broken)
    host, _, port = service.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /backend-api/v2/usage/{date.today()} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    said = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert said.endswith(b'\r\n{"row":1}\n\r\n')
    assert said.count(b"HTTP/1.1") == 1
