"""The ledger searched and exported; everybody's running turns; what is kept of a person."""

import asyncio
import csv
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise

import pytest

from service.stores.ledger import Record
from service.stores.series import MOST
from tests.access import bearer
from tests.serving import Json, Service, kinds
from tests.upstream import Say, Silent, Upstream, until

V2 = "/backend-api/v2"
LEDGER = f"{V2}/ledger"
HOUR = 3_600


def record(number: int, **known: object) -> Record:
    """A record that is settled; the higher its number the older it is."""
    told: Json = {
        "id": f"-record_{number}",
        "user": "ann",
        "provider": "Upstream",
        "model": "small",
        "opened_at": time.time() - number * HOUR,
        "ending": "done",
        "attempts": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost": 1_500_000,
        "price": "settings",
    }
    return Record(**told | known)


async def keep(service: Service, *records: Record) -> None:
    await asyncio.gather(*(service.context.ledger.settle(record) for record in records))


async def export(service: Service, query: str) -> str:
    async with service.http.get(f"{service.url}{LEDGER}?{query}") as answer:
        assert answer.status == 200
        return (await answer.read()).decode()


async def found(service: Service, query: str = "") -> list[Json]:
    return [json.loads(line) for line in (await export(service, f"format=jsonl&{query}")).splitlines()]


async def ids(service: Service, query: str = "") -> list[str]:
    """The numbers of the records, the oldest record first."""
    return [line["id"].removeprefix("-record_") for line in await found(service, query)]


@asynccontextmanager
async def talking(service: Service, upstream: Upstream, user: str) -> AsyncIterator[str]:
    """The id of a turn that runs, half its answer said."""
    upstream.enqueue((Say("Half"), Silent()))
    async with service.asking(headers={"x-user": user}) as answer:
        await until(lambda: any(turn.record.first_token_at for turn in service.context.turns.running(user)))
        yield answer.headers["X-Turn-Id"]


async def test_a_turn_is_told_whole(service: Service) -> None:
    before = datetime.now(UTC)
    await service.ask("Hello there")
    (line,) = (await service.get(LEDGER))["data"]
    assert (line["kind"], line["user"], line["ending"], line["attempts"]) == ("turn", "local", "done", 1)
    assert (line["provider"], line["model"], line["wire"]) == ("Upstream", "small", "backend")
    assert (line["prompt_tokens"], line["completion_tokens"], line["usage_source"]) == (2, 4, "provider")
    assert (line["cost_usd"], line["price"]) == (0, "local")
    times = [datetime.fromisoformat(line[name]) for name in ("opened_at", "first_token_at", "ended_at")]
    assert all(moment.utcoffset() is not None for moment in times)
    assert (before - times[0]).total_seconds() < 0.01
    assert times == sorted(times)


async def test_pages_lead_from_the_newest_to_the_oldest(service: Service) -> None:
    await keep(service, *(record(number) for number in range(5)))
    pages, query = [], "limit=2"
    while True:
        page = await service.get(f"{LEDGER}?{query}")
        pages.append([line["id"][-1] for line in page["data"]])
        if page["next"] is None:
            break
        query = f"limit=2&before={page['next']}"
        await keep(service, record(-len(pages)))  # what comes later moves nothing
    assert pages == [["0", "1"], ["2", "3"], ["4"]]


async def test_it_is_searched_by_what_records_say(service: Service) -> None:
    await keep(
        service,
        record(1, user="bob", key="abcdefgh"),
        record(2, ending="failed", model=None, model_asked="large"),
        record(3, kind="embedding", provider="Other"),
        record(4, provider_asked="Other", ending="refused"),
    )
    service.context.ledger.open(record(5, ending=None))
    await until(lambda: not service.context.database.waiting)
    expected = {
        "user=bob": ["1"],
        "key=abcdefgh": ["1"],
        "ending=failed": ["2"],
        "ending=open": ["5"],
        "model=large": ["2"],
        "provider=Other": ["4", "3"],
        "kind=embedding": ["3"],
        "user=ann&provider=Other&ending=refused": ["4"],
        "user=nobody": [],
        "": ["5", "4", "3", "2", "1"],
    }
    assert {query: await ids(service, query) for query in expected} == expected


async def test_it_is_searched_by_time(service: Service) -> None:
    await keep(service, *(record(number) for number in range(1, 6)))
    moment = datetime.fromtimestamp(time.time() - 2.5 * HOUR, UTC)
    told = moment.isoformat().replace("+00:00", "Z")
    assert await ids(service, f"since={told}") == ["2", "1"]
    assert await ids(service, f"until={told}") == ["5", "4", "3"]
    local = moment.astimezone().replace(tzinfo=None).isoformat()
    assert await ids(service, f"since={local}") == ["2", "1"]
    assert len(await ids(service, f"since={datetime.now().year - 1}-01-31")) == 5


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=2026-13-01",
        "since=0001-01-01",
        "ending=lost",
        "format=xml",
        "limit=0",
        "before=x_y_z",
    ],
)
async def test_what_cannot_be_asked_is_named(query: str, service: Service) -> None:
    async with service.http.get(f"{service.url}{LEDGER}?{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == query.partition("=")[0]


async def test_costs_are_dollars_in_the_parts_of_a_turn_too(service: Service) -> None:
    legs = '[{"provider":"A","cost":2000000000},{"provider":"B","cost":null}]'
    await keep(service, record(1, cost=1, legs=legs), record(2, cost=None, price="unpriced", legs="no JSON"))
    unpriced, priced = await found(service)
    assert (unpriced["cost_usd"], unpriced["legs"]) == (None, None)
    assert priced["cost_usd"] == 1e-9
    assert priced["legs"] == [{"provider": "A", "cost_usd": 2.0}, {"provider": "B", "cost_usd": None}]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain", 'a "b", c\nd', "東京", "'quoted"]
)
async def test_csv_is_what_json_lines_are_and_nothing_that_runs(text: str, service: Service) -> None:
    await keep(service, record(1, user=text, label=text, cost=-1))
    (line,) = await found(service)
    raw = await export(service, "format=csv")
    (row,) = csv.DictReader(StringIO(raw, newline=""))
    risky = text.startswith(("=", "+", "-", "@", "\t"))
    assert row["user"] == row["label"] == ("'" + text if risky else text)
    assert line["user"] == text
    assert row["id"] == "'" + line["id"]
    assert (row["cost_usd"], row["prompt_tokens"], row["error"]) == ("-0.000000001", "10", "")
    assert row["opened_at"] == line["opened_at"]
    assert list(row) == list(line)


async def test_files_are_named_and_heads_have_no_body(service: Service) -> None:
    await keep(service, record(1))
    for form, kind in (("csv", "text/csv"), ("jsonl", "application/x-ndjson")):
        for method in ("HEAD", "GET"):  # on one connection: what one wrote too much the next would read
            url = f"{service.url}{LEDGER}?format={form}"
            async with service.http.request(method, url) as answer:
                assert (answer.status, answer.content_type, answer.charset) == (200, kind, "utf-8")
                assert answer.headers["Content-Disposition"] == f'attachment; filename="ledger.{form}"'
                assert bool(await answer.read()) is (method == "GET")


async def test_a_large_export_is_complete_and_takes_the_memory_of_a_page(service: Service) -> None:
    await keep(service, *(record(0, id=f"{number:06}", user="x" * 500) for number in range(10_000)))
    tracemalloc.start()
    try:
        seen, size = set(), 0
        async with service.http.get(f"{service.url}{LEDGER}?format=csv") as answer:
            async for line in answer.content:
                size += len(line)
                seen.add(line.partition(b",")[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == 10_001
    assert peak < size


async def test_the_books_are_the_operators(service: Service) -> None:
    headers = {"x-user": "ann"}
    for path in (LEDGER, f"{LEDGER}?format=csv", f"{V2}/turns?all=true"):
        async with service.http.get(service.url + path, headers=headers) as answer:
            assert answer.status == 403
    async with service.http.delete(f"{service.url}{V2}/persons/ann", headers=headers) as answer:
        assert answer.status == 403


# Bars


async def series(service: Service, query: str, headers: Mapping[str, str] | None = None) -> list[Json]:
    pieces: list[Json] = await service.get(f"{V2}/stats/series?{query}", headers=headers)
    return pieces


async def test_days_are_told_in_parts(service: Service) -> None:
    now = datetime.now().replace(hour=0, minute=0, second=5).timestamp()
    await keep(
        service,
        record(1, opened_at=now, model="large", prompt_tokens=20, cost=250_000_000),
        record(2, opened_at=now, user="bob", model=None, cost=None, price="unpriced"),
        record(3, opened_at=now - 30 * HOUR),
        record(4, opened_at=now - 30 * HOUR),
    )
    past, present = (datetime.fromtimestamp(at).date().isoformat() for at in (now - 30 * HOUR, now))
    assert await series(service, "by=model") == [
        {"date": past, "name": "small", "requests": 2, "total_tokens": 30, "cost_usd": 0.003},
        {"date": present, "name": "large", "requests": 1, "total_tokens": 25, "cost_usd": 0.25},
        {"date": present, "name": "unknown", "requests": 1, "total_tokens": 15, "cost_usd": 0},
    ]
    assert [piece["name"] for piece in await series(service, "by=user&days=1")] == ["ann", "bob"]
    assert [piece["requests"] for piece in await series(service, "by=provider&user=bob")] == [1]
    own = await series(service, "by=user&user=ann", {"x-user": "bob"})
    assert [piece["name"] for piece in own] == ["bob"]


async def test_names_that_are_too_many_are_told_together(service: Service) -> None:
    some = [record(0, id=str(n), model=f"m{n:02}", prompt_tokens=1_000 - n) for n in range(MOST + 5)]
    await keep(service, *some)
    pieces = await series(service, "by=model")
    assert [piece["name"] for piece in pieces] == [*(f"m{n:02}" for n in range(MOST)), None]
    assert pieces[-1]["requests"] == 5
    assert sum(piece["total_tokens"] for piece in pieces) == sum(995 + 10 - n for n in range(MOST + 5))


# Running turns


async def test_the_operator_sees_and_stops_what_runs(service: Service, upstream: Upstream) -> None:
    async with talking(service, upstream, "ann") as ann, talking(service, upstream, "bob") as bob:
        turns = await service.get(f"{V2}/turns?all=true")
        assert {(turn["id"], turn["user"], turn["model"]) for turn in turns} == {
            (ann, "ann", "small"),
            (bob, "bob", "small"),
        }
        assert await service.get(f"{V2}/turns") == []
        stop = f"{V2}/turns/{ann}/stop"
        assert (await service.post(stop, {}, headers={"x-user": "bob"}))[0] == 404
        assert await service.post(stop, {}) == (200, {"id": ann, "ending": "stopped"})
        assert [turn["user"] for turn in await service.get(f"{V2}/turns?all=true")] == ["bob"]
        await until(lambda: len(upstream.aborted) == 1)
    assert (await service.post(f"{V2}/turns/nothing/stop", {}))[0] == 404


async def test_a_key_of_an_admin_is_an_operators(service: Service, upstream: Upstream) -> None:
    async with talking(service, upstream, "ann") as ann:
        _, own = await service.context.keys.create("ann", "user")
        _, admins = await service.context.keys.create("ada", "admin")
        assert [turn["id"] for turn in await service.get(f"{V2}/turns", headers=bearer(own))] == [ann]
        stop = f"{V2}/turns/{ann}/stop"
        assert (await service.post(stop, {}, headers=bearer(admins)))[1]["ending"] == "stopped"
        assert (await service.get(f"{LEDGER}?user=ann", headers=bearer(admins)))["data"][0][
            "ending"
        ] == "stopped"


# Persons


async def kept(service: Service, name: str, headers: Mapping[str, str] | None = None) -> list[Json]:
    async with service.http.get(f"{service.url}{V2}/persons/{name}/export", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_a_person_sees_all_that_is_kept_of_him_and_of_nobody_else(service: Service) -> None:
    for user in ("ann", "bob"):
        async with service.asking(f"I am {user}", headers={"x-user": user}) as answer:
            await answer.read()
    turn, line = await kept(service, "ann", {"x-user": "ann"})
    assert (turn["type"], line["type"], turn["id"]) == ("turn", "record", line["id"])
    assert kinds(turn["events"]) == ["turn", "provider", "content", "finish", "usage"]
    assert await kept(service, "ann") == [turn, line]
    assert await kept(service, "carla") == []
    async with service.http.get(f"{service.url}{V2}/persons/bob/export", headers={"x-user": "ann"}) as answer:
        assert answer.status == 404


async def test_a_key_is_told_without_its_secret(service: Service) -> None:
    key, text = await service.context.keys.create("ann", "user", "Ann's laptop")
    (told,) = await kept(service, "ann", bearer(text))
    assert (told["type"], told["id"], told["name"]) == ("key", key.id, "Ann's laptop")
    assert key.hash not in str(told) and "hash" not in told


async def test_a_person_is_removed_and_the_sums_stay(service: Service, upstream: Upstream) -> None:
    async with service.asking(headers={"x-user": "bob"}) as answer:
        await answer.read()
    async with service.asking(headers={"x-user": "ann"}) as answer:
        await answer.read()
        old = answer.headers["X-Turn-Id"]
    async with talking(service, upstream, "ann") as running:
        async with service.http.delete(f"{service.url}{V2}/persons/ann") as removed:
            assert (removed.status, await removed.json()) == (
                200,
                {"turns": 1, "records": 2, "files": 0, "chats": 0},
            )
        await until(lambda: upstream.aborted)
    assert await kept(service, "ann") == []
    assert len(await kept(service, "bob")) == 2
    for id in (old, running):
        async with service.http.get(f"{service.url}{V2}/turns/{id}", headers={"x-user": "ann"}) as answer:
            assert answer.status == 404
    stats = await service.get(f"{V2}/stats")
    assert (stats["totals"]["requests"], set(stats["users"])) == (3, {"bob", "unknown"})
    assert [line["user"] for line in await found(service)] == ["bob", None, None]
    assert all(first["opened_at"] <= second["opened_at"] for first, second in pairwise(await found(service)))
