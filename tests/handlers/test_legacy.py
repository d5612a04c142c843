"""Web clients of before 2025-12-24: what they are given that others are not."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from tests.conftest import ROW
from tests.serving import Json, Service, events, kinds, serving
from tests.upstream import Upstream

V2 = "/backend-api/v2"
OLD = {"x_user": "anna"}
LIMITED = "\n[user_limits]\nrequests_per_minute = 1\n"


def one(body: bytes) -> Json:
    """The only line."""
    assert body.endswith(b"\n")
    found: Json = json.loads(body)
    return found


async def test_a_refusal_is_an_event_for_them(service: Service) -> None:
    async with service.asking(provider="Nobody", headers=OLD) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        told = one(await answer.read())
    async with service.asking(provider="Nobody") as answer:
        assert answer.status == 404
        refused = (await answer.json())["error"]
    assert told == {"type": "error", "error": "ProviderNotFound", "message": refused["message"]}


async def test_a_refusal_is_in_the_ledger_all_the_same(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url) + LIMITED) as service:
        for _ in range(2):
            async with service.asking(headers=OLD) as answer:
                body = await answer.read()
        assert one(body)["error"] == "LimitReached"
        for _ in range(100):  # refusals are gathered before they are written
            rows = (await service.get(f"{V2}/ledger?user=anna"))["data"]
            if len(rows) == 2:
                break
            await asyncio.sleep(0.05)
    assert {row["ending"] for row in rows} == {"refused", "done"}


async def test_whoever_means_to_come_back_gets_ids_whatever_the_setting(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with (
        serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_SERVER_LEGACY="on") as service,
        service.asking(headers={"Idempotency-Key": "a"}) as answer,
    ):
        stream = await answer.read()
    assert stream.startswith(b"id: ")
    assert kinds(events(stream)) == ["turn", "provider", "content", "finish", "usage"]


@pytest.mark.parametrize(
    ("setting", "headers", "media"),
    [
        ("auto", {}, {"name": "a.png", "width": 8, "height": 6}),
        ("auto", OLD, "a.png"),
        ("on", {}, "a.png"),
        ("off", OLD, {"name": "a.png", "width": 8, "height": 6}),
    ],
)
async def test_uploaded_pictures_are_names_alone(
    setting: str, headers: dict[str, str], media: object, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    form = aiohttp.FormData({"files": (tmp_path / "a.png").open("rb")})
    async with serving(tmp_path, CAUSERIE_SERVER_LEGACY=setting) as service:
        url = f"{service.url}{V2}/files/pictures"
        async with service.http.post(url, data=form, headers=headers) as answer:
            assert (await answer.json())["media"] == [media]
