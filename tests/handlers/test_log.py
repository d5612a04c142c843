"""What clients saw go wrong is kept for a while: for them, and for the operator."""

import pytest
from sqlalchemy import func, select

from service.stores import complaints as store
from service.stores.schema_complaints import complaints
from tests.access import Headers, bearer
from tests.serving import Service
from tests.upstream import until

LOG = "/backend-api/v2/log"


async def complain(service: Service, message: str, headers: Headers | None = None) -> None:
    body = {"type": "error", "error": "ResponseError", "message": message, "provider": {"name": "Upstream"}}
    assert await service.post(LOG, body, headers=headers) == (200, {})
    await until(lambda: not service.context.database.waiting)


async def messages(service: Service, query: str = "", headers: Headers | None = None) -> list[str]:
    answer = await service.get(LOG + query, headers=headers)
    assert answer["count"] == len(answer["logs"])
    return [line["message"] for line in answer["logs"]]


async def test_the_newest_is_told_first(service: Service) -> None:
    assert await service.get(LOG) == {"logs": [], "count": 0}
    for number in range(3):
        await complain(service, f"{number}" + "x" * 5_000)
    assert [text[0] for text in await messages(service)] == ["2", "1", "0"]
    assert [text[0] for text in await messages(service, "?limit=1")] == ["2"]
    (line,) = (await service.get(LOG + "?limit=1"))["logs"]
    assert (line["user"], line["type"], line["error"], len(line["message"])) == (
        "local",
        "error",
        "ResponseError",
        300,
    )
    assert line["at"] == pytest.approx(service.context.started_at, abs=60)


async def test_everybody_sees_his_own_and_the_operator_all(service: Service) -> None:
    keys = service.context.keys
    ada, bob = [bearer((await keys.create(name, "user"))[1]) for name in ("ada", "bob")]
    admin = bearer((await keys.create("operator", "admin"))[1])
    await complain(service, "of ada", ada)
    await complain(service, "of bob", bob)
    assert await messages(service, headers=ada) == ["of ada"]
    assert await messages(service, headers=bob) == ["of bob"]
    assert await messages(service, headers=admin) == ["of bob", "of ada"]


async def test_whoever_complains_without_end_costs_no_more(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(store.MOST + 20):
        store.Complaints(service.context.database).note("local", None, None, f"{number}")
    await until(lambda: not service.context.database.waiting)
    await complain(service, "the last")
    (row,) = await service.context.database.read(select(func.count().label("kept")).select_from(complaints))
    assert row["kept"] <= store.MOST
    assert (await messages(service, "?limit=1")) == ["the last"]
    monkeypatch.setattr(store, "KEPT_SECONDS", 0.0)
    assert await messages(service) == []


async def test_it_is_handed_out_and_forgotten_with_its_user(service: Service) -> None:
    await complain(service, "It broke.\0", {"x-user": "ada"})
    url = f"{service.url}/backend-api/v2/persons/ada"
    async with service.http.get(f"{url}/export") as export:
        assert '"type":"complaint"' in await export.text()
    async with service.http.delete(url) as forgotten:
        assert forgotten.status == 200
    assert await messages(service) == []


@pytest.mark.parametrize("limit", ["0", "1001", "many"])
async def test_a_limit_that_makes_no_sense_is_named(limit: str, service: Service) -> None:
    async with service.http.get(f"{service.url}{LOG}?limit={limit}") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "limit"
