"""The metrics of requests: what was answered, by route and status."""

import re

import pytest

from tests.serving import Service
from tests.upstream import Say, Stall, Upstream, until


async def counted(service: Service) -> dict[tuple[str, str, str], float]:
    """How often each (method, route, status) was answered."""
    async with service.http.get(service.url + "/metrics") as answer:
        assert answer.content_type == "text/plain"
        text = await answer.text()
    pattern = r'http_requests_total{method="(.*)",route="(.*)",status="(.*)"} (.*)'
    return {(method, path, status): float(count) for method, path, status, count in re.findall(pattern, text)}


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/backend-api/v2/version", "/backend-api/v2/version", "200"),
        ("GET", "/backend-api/v2/models/Some", "/backend-api/v2/models/{provider}", "200"),
        ("GET", "/backend-api/v2/health/Some", "/backend-api/v2/health/{provider}", "404"),
        ("POST", "/backend-api/v2/log", "/backend-api/v2/log", "400"),
        ("GET", "/nowhere/1", "unknown", "404"),
        ("DELETE", "/metrics", "unknown", "405"),
    ],
)
async def test_a_request_is_counted_with_the_status_that_the_client_saw(
    method: str, path: str, route: str, status: str, service: Service
) -> None:
    async with service.http.request(method, service.url + path) as answer:
        assert str(answer.status) == status
    assert (await counted(service))[method, route, status] == 1


async def test_what_is_refused_at_the_door_is_counted(service: Service) -> None:
    async with service.http.get(service.url + "/", headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
    assert [status for _, _, status in await counted(service)] == ["403"]


async def test_a_client_that_left_saw_no_status(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hello"), Stall())
    async with service.asking() as answer:
        await answer.content.readuntil(b'"Hello"}\n\n')
    answer.close()
    await until(lambda: upstream.aborted)
    assert (await counted(service))["POST", "/backend-api/v2/conversation", "499"] == 1


async def test_a_stream_is_counted_when_it_has_ended(service: Service) -> None:
    await service.ask()
    assert (await counted(service))["POST", "/backend-api/v2/conversation", "200"] == 1
