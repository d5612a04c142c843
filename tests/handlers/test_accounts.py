"""usage, stats and log: what clients report, and what they read back."""

import asyncio
import json
import logging
from datetime import date

import pytest

from tests.serving import Json, Service

V2 = "/backend-api/v2"
TODAY = f"{V2}/usage/{date.today()}"
REPORT = {
    "user": "somebody-else",
    "model": "small",
    "provider": "Upstream",
    "label": "The upstream",
    "prompt_tokens": 11,
    "completion_tokens": 5.0,
    "total_tokens": 16,
}


async def rows(service: Service, user: str | None = None) -> list[Json]:
    """The lines of today that a user sees; none for a 404."""
    headers = {"x-user": user} if user else {}
    async with service.http.get(service.url + TODAY, headers=headers) as answer:
        if answer.status == 404:
            return []
        assert answer.content_type == "text/plain"
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def reported(service: Service) -> Json:
    """The only row of today, which is written a moment after the report was answered."""
    for _ in range(500):
        if found := await rows(service):
            (row,) = found
            return row
        await asyncio.sleep(0.01)
    raise TimeoutError("nothing was written")


async def converse(service: Service, user: str, header: str = "x-user") -> None:
    async with service.asking(headers={header: user}) as answer:
        await answer.read()


async def test_a_report_is_listed_as_one_and_not_counted(service: Service) -> None:
    assert await service.post(f"{V2}/usage", REPORT) == (200, {})
    assert await reported(service) == {
        "model": "small",
        "provider": "Upstream",
        "label": "The upstream",
        "user": "local",
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "saved_tokens": 0,
        "usage_source": "client",
        "kind": "report",
        "ending": "done",
        "cost_usd": None,
        "price": None,
        "first_token_seconds": None,
        "reported": True,
    }
    assert (await service.get(f"{V2}/stats"))["totals"]["requests"] == 0


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"model": None, "provider": None, "label": None, "prompt_tokens": None},
        {"model": "x" * 5000, "label": "a\0\n🤔", "other": [1, {"a": None}]},
        {"prompt_tokens": 1e308, "completion_tokens": 2**70},
        {"prompt_tokens": 0.5},
    ],
    ids=lambda report: str(report)[:40],
)
async def test_whatever_a_client_believes_is_listed(report: Json, service: Service) -> None:
    assert await service.post(f"{V2}/usage", report) == (200, {})
    row = await reported(service)
    assert row["reported"]
    assert type(row["prompt_tokens"]) is type(row["completion_tokens"]) is int


@pytest.mark.parametrize(
    ("report", "place"),
    [
        ({"prompt_tokens": -1}, "$.prompt_tokens"),
        ({"prompt_tokens": "11"}, "$.prompt_tokens"),
        ({"completion_tokens": True}, "$.completion_tokens"),
        ({"model": 5}, "$.model"),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(report: Json, place: str, service: Service) -> None:
    status, answer = await service.post(f"{V2}/usage", report)
    assert (status, answer["error"]["param"]) == (400, place)
    assert await rows(service) == []


async def test_an_answer_is_listed_and_counted(service: Service) -> None:
    await service.ask("Hello there")
    (row,) = await rows(service)
    assert (row["prompt_tokens"], row["completion_tokens"], row["usage_source"]) == (2, 4, "provider")
    assert "reported" not in row
    stats = await service.get(f"{V2}/stats")
    assert 0 < stats["totals"]["first_token_seconds"] == row["first_token_seconds"]
    assert stats["totals"]["tokens_per_second"] > 0
    times = {name: stats["totals"][name] for name in ("first_token_seconds", "tokens_per_second")}
    counted = {
        "requests": 1,
        "prompt_tokens": 2,
        "completion_tokens": 4,
        "saved_tokens": 0,
        "total_tokens": 6,
        "cost_usd": 0.0,
        "unpriced": 0,
        "endings": {"done": 1},
        **times,
    }
    assert stats == {
        "days": [{"date": str(date.today()), **counted}],
        "models": {"small": counted},
        "providers": {"Upstream": counted},
        "users": {"local": counted},
        "totals": counted,
    }


async def test_without_a_request_the_sums_are_empty(service: Service) -> None:
    stats = await service.get(f"{V2}/stats")
    assert [stats[part] for part in ("days", "models", "providers", "users")] == [[], {}, {}, {}]
    totals = stats["totals"]
    assert (totals.pop("endings"), totals.pop("first_token_seconds"), totals.pop("tokens_per_second")) == (
        {},
        None,
        None,
    )
    assert set(totals.values()) == {0}


@pytest.mark.parametrize(
    "day",
    ["yesterday", "2026-13-01", "2026-02-30", "2026-1-1", "2026-01-01T00:00", "0", "%00", "..%2f2026-01-01"],
)
async def test_what_is_no_date_is_refused(day: str, service: Service) -> None:
    async with service.http.get(f"{service.url}{V2}/usage/{day}") as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["param"]) == (400, "day")
        assert "YYYY-MM-DD" in error["message"]


@pytest.mark.parametrize("day", ["2001-01-01", "0001-01-01", "9999-12-31"])
async def test_a_day_without_usage_is_not_found(day: str, service: Service) -> None:
    async with service.http.get(f"{service.url}{V2}/usage/{day}") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["message"] == "No usage data found for this date"


async def test_users_see_what_is_theirs_and_the_operator_sees_all(service: Service) -> None:
    await converse(service, "anna")
    await converse(service, "Борис".encode().decode("latin-1"), "x_user")
    await service.ask()
    assert [row["user"] for row in await rows(service, "anna")] == ["anna"]
    assert len(await rows(service)) == 3
    assert await rows(service, "carla") == []
    headers = {"x-user": "anna"}
    stats = await service.get(f"{V2}/stats", headers=headers)
    assert list(stats["users"]) == ["anna"]
    assert await service.get(f"{V2}/stats?user=local", headers=headers) == stats
    assert await service.get(f"{V2}/stats?user=anna") == stats
    assert len((await service.get(f"{V2}/stats"))["users"]) == 3


@pytest.mark.parametrize("user", ["", " ", "x" * 5000, "a\tb", "ü", "../..", "'; --", "\xff"])
async def test_any_user_is_a_user(user: str, service: Service) -> None:
    await converse(service, user)
    (row,) = await rows(service, user)
    assert row["user"]
    assert (await service.get(f"{V2}/stats", headers={"x-user": user}))["totals"]["requests"] == 1


async def test_the_metrics_are_the_operators(service: Service) -> None:
    async with service.http.get(f"{service.url}/metrics", headers={"x-user": "anna"}) as answer:
        assert answer.status == 403
        assert (await answer.json())["error"]["code"] == "forbidden"


async def test_a_complaint_is_logged_on_one_line(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    complaint = {
        "type": "error",
        "error": "ResponseError",
        "message": "It broke.\nERROR forged line" + "x" * 5000,
        "provider": {"name": "Upstream"},
    }
    with caplog.at_level(logging.INFO):
        assert await service.post(f"{V2}/log", complaint) == (200, {})
    (line,) = (record.getMessage() for record in caplog.records if "client reports" in record.getMessage())
    assert "ResponseError" in line
    assert "\n" not in line
    assert len(line) < 1000


@pytest.mark.parametrize("complaint", [{}, {"type": None}, {"other": 5}], ids=str)
async def test_a_complaint_may_say_nothing(complaint: Json, service: Service) -> None:
    assert await service.post(f"{V2}/log", complaint) == (200, {})
