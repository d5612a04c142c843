"""Alive, ready, measured."""

from pathlib import Path

import pytest

from service.stores.database import Database
from tests.serving import Service, serving


async def test_a_running_service_is_alive_and_ready(service: Service) -> None:
    assert await service.get("/health/live") == {"status": "ok"}
    assert await service.get("/health/ready") == {"status": "ok"}


async def test_it_is_ready_although_nobody_can_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        assert await service.get("/health/ready") == {"status": "ok"}


async def test_what_cannot_be_recorded_is_not_ready(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "failing", "The disk is full.")
    async with service.http.get(service.url + "/health/ready") as answer:
        assert answer.status == 503
        assert "The disk is full." in (await answer.json())["error"]["message"]
    assert await service.get("/health/live") == {"status": "ok"}
    async with service.asking() as answer:
        assert answer.status == 507
        assert (await answer.json())["error"]["code"] == "storage_full"


async def test_the_metrics_are_prometheus_text(service: Service) -> None:
    await service.ask()
    async with service.http.get(service.url + "/metrics") as answer:
        text = await answer.text()
    assert 'llm_stream_end_total{provider="Upstream",reason="done"} 1.0' in text
    assert (
        'llm_tokens_total{direction="completion",model="small",provider="Upstream",source="provider"} 4.0'
        in text
    )
    assert 'provider_up{provider="Upstream"} 1.0' in text
    assert "llm_streams_active 0.0" in text
