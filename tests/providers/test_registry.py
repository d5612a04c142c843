"""Who is live, who is chosen, and that nobody waits for a provider that is slow to say what it has."""

import asyncio
from pathlib import Path
from typing import Any

from tests.conftest import ROW
from tests.serving import CONVERSATION, Service, serving, text
from tests.upstream import Silent, Status, Upstream, until

SECOND = ROW.replace('"Upstream"', '"Second"').replace('"The upstream"', '"The second"')


async def names(service: Service, **body: Any) -> list[str]:
    return [event["provider"]["name"] for event in await service.ask(**body) if event["type"] == "provider"]


async def test_the_operators_rows_are_asked_in_their_order(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream(models=["other"]) as second:
        rows = SECOND.format(url=second.url) + ROW.format(url=upstream.url)
        async with serving(tmp_path, rows) as service:
            assert await names(service) == ["Second"]
            assert await names(service, model="large") == ["Upstream"]
            assert await names(service, ignored=["Second"]) == ["Upstream"]
            assert await names(service, provider="The upstream") == ["Upstream"]


async def test_the_default_model_decides_where_none_is_named(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_DEFAULT_MODEL="large") as service:
        answer = await service.ask()
        assert answer[0]["provider"]["model"] == "large"
        groups = await service.get("/backend-api/v2/models/AnyProvider")
        assert [card["id"] for card in groups[0]["models"] if card["default"]] == ["large"]


async def test_a_local_row_is_live_only_where_an_openai_compatible_server_answers(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script_models(Status(404))
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        status, error = await service.post(CONVERSATION, {"prompt": "Hello"})
        assert (status, error["error"]["code"]) == (503, "unavailable")


async def test_a_remote_row_without_a_list_takes_any_model(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_models(Status(404))
    row = ROW.format(url=upstream.url).replace("local = true", 'key = "UPSTREAM_KEY"')
    async with serving(tmp_path, row, UPSTREAM_KEY="k") as service:
        assert text(await service.ask(model="small")) == "Hello from the upstream."


async def test_a_provider_that_hangs_delays_nobody(tmp_path: Path, upstream: Upstream) -> None:
    async with Upstream() as hanging:
        hanging.script_models(Silent())
        rows = SECOND.format(url=hanging.url) + ROW.format(url=upstream.url)
        async with serving(tmp_path, rows, CAUSERIE_UPSTREAM_PROBE_TIMEOUT="0.3") as service:
            async with asyncio.timeout(2):
                offers = {offer["name"]: offer for offer in await service.get("/backend-api/v2/providers")}
                assert (offers["Second"]["live"], offers["Upstream"]["live"]) == (0, 1)
                assert "in time" in offers["Second"]["reason"]
                assert await names(service) == ["Upstream"]


async def test_who_comes_back_is_seen(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_models(Status(500))
    async with serving(
        tmp_path, ROW.format(url=upstream.url), CAUSERIE_UPSTREAM_MODELS_REFRESH="0.5"
    ) as service:
        assert not service.context.registry.listing("Upstream").live
        upstream.script_models()
        await until(lambda: service.context.registry.listing("Upstream").live)
        assert text(await service.ask()) == "Hello from the upstream."
