import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import aclosing
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import RowMapping, select

from service.stores.database import PAGE, Database
from service.stores.ledger import Ending, Ledger, Record
from service.stores.schema import records
from service.stores.sums import Usage
from service.stores.totals import LONGEST_NAME, LONGEST_USER, totals

TODAY = date.today()
ORDERS = list(itertools.permutations(["open", "done", "failed"]))


PRICES: list[dict[str, Any]] = [{"cost": 10**9, "price": "table"}, {"price": "unpriced"}, {}]


def noon(days_ago: int) -> float:
    return datetime.combine(TODAY - timedelta(days=days_ago), time(12)).timestamp()


async def rows(database: Database) -> list[RowMapping]:
    return list(await database.read(select(records).order_by(records.c.id)))


async def usage(ledger: Ledger, day: date, user: str | None = None) -> list[Usage]:
    async with aclosing(ledger.usage(day, user)) as pages:
        return [line async for page in pages for line in page]


async def settle_all(ledger: Ledger, *settled: Record) -> None:
    await asyncio.gather(*(ledger.settle(record) for record in settled))


async def test_a_record_is_kept_as_it_was_settled(database: Database, ledger: Ledger) -> None:
    record = Record(
        id="turn", user="ann", request_id="r1", wire="backend", model_asked="gpt", opened_at=noon(0)
    )
    ledger.open(record)
    record.provider, record.model, record.label, record.attempts = "Embedded", "smollm2", "Embedded", 2
    record.first_token_at, record.ended_at, record.ending = noon(0) + 0.25, noon(0) + 2.5, "failed"
    record.error, record.usage_source = "upstream_timeout", "estimate"
    record.prompt_tokens, record.completion_tokens = 11, 5
    await ledger.settle(record)
    (row,) = await rows(database)
    assert dict(row) == {**msgspec.structs.asdict(record), "day": TODAY}


async def test_an_opening_is_what_it_was_at_that_moment(database: Database, ledger: Ledger) -> None:
    record = Record(id="turn", user="ann")
    ledger.open(record)
    record.ending, record.model = "done", "later"
    await settle_all(ledger, Record(id="other", ending="done"))
    row = (await rows(database))[1]
    assert (row["id"], row["user"], row["ending"], row["model"]) == ("turn", "ann", None, None)


@pytest.mark.parametrize("apart", [False, True], ids=["in one commit", "in two"])
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
async def test_a_turn_is_settled_once_in_whatever_order(
    database: Database, ledger: Ledger, order: tuple[str, ...], apart: bool
) -> None:
    endings: list[Ending] = ["done", "failed"]
    settlements = {ending: Record(id="turn", ending=ending, prompt_tokens=7) for ending in endings}
    for step in order:
        if step == "open":
            ledger.open(Record(id="turn"))
        else:
            settled = ledger.settle(settlements["done" if step == "done" else "failed"])
        if apart:
            await settle_all(ledger, Record(id="another", ending="done"))
    await settled
    row = (await rows(database))[-1]
    assert row["ending"] == next(step for step in order if step != "open")
    assert row["prompt_tokens"] == 7


async def test_a_record_without_an_ending_is_not_settled(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="has no ending"):
        ledger.settle(Record(id="turn"))


async def test_what_was_left_open_is_found_and_settled_once(database: Database, ledger: Ledger) -> None:
    ledger.open(Record(id="open"))
    await settle_all(ledger, Record(id="settled", ending="stopped"))
    (left,) = await ledger.unsettled()
    assert left.id == "open"
    left.ending = "interrupted"
    await ledger.settle(left)
    assert await ledger.unsettled() == []
    assert [(row["id"], row["ending"]) for row in await rows(database)] == [
        ("open", "interrupted"),
        ("settled", "stopped"),
    ]


async def test_no_odd_name_or_number_costs_the_row(database: Database, ledger: Ledger) -> None:
    odd = Record(id="turn", user="\udcff\0Zoë\n", model_asked="m" * 2_000_000, ending="done")
    odd.prompt_tokens, odd.completion_tokens = 2**70, -1
    await ledger.settle(odd)
    (row,) = await rows(database)
    assert (row["user"], row["model_asked"]) == ("?\ufffdZoë\n", "m" * 1_000)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (None, None)
    assert len(await usage(ledger, TODAY, odd.user)) == 1
    assert (await ledger.stats(1, odd.user)).totals.requests == 1


async def test_usage_is_what_clients_read(ledger: Ledger) -> None:
    turn = Record(
        id="turn", user="ann", provider="Embedded", model="smollm2", label="Built in", ending="done"
    )
    turn.prompt_tokens, turn.completion_tokens, turn.cached_tokens, turn.usage_source = 11, 5, 4, "provider"
    report = Record(id="report", kind="report", user="bob", model="gpt", ending="done", usage_source="client")
    failed = Record(id="failed", model_asked="gpt", provider_asked="OpenAI", ending="failed")
    await settle_all(ledger, turn, report, failed, Record(id="refused", ending="refused"))
    ledger.open(Record(id="open"))
    first, *others = [msgspec.to_builtins(line) for line in await usage(ledger, TODAY)]
    assert first == {
        "model": "smollm2",
        "provider": "Embedded",
        "label": "Built in",
        "user": "ann",
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "cached_tokens": 4,
        "reasoning_tokens": 0,
        "saved_tokens": 0,
        "usage_source": "provider",
        "kind": "turn",
        "ending": "done",
        "cost_usd": None,
        "price": None,
        "first_token_seconds": None,
    }
    assert [(line["user"], line["model"], line["provider"], line["total_tokens"]) for line in others] == [
        ("bob", "gpt", None, 0),
        (None, "gpt", "OpenAI", 0),
    ]
    assert [line.get("reported", False) for line in others] == [True, False]
    assert [line.user for line in await usage(ledger, TODAY, "bob")] == ["bob"]
    assert await usage(ledger, TODAY - timedelta(days=1)) == []


async def test_a_turn_belongs_to_the_local_day_on_which_it_opened(ledger: Ledger) -> None:
    midnight = datetime.combine(TODAY, time()).timestamp()
    before = Record(
        id="before", model="before", opened_at=midnight - 0.001, ended_at=midnight + 5, ending="done"
    )
    after = Record(id="after", model="after", opened_at=midnight, ending="done")
    await settle_all(ledger, before, after)
    assert [line.model for line in await usage(ledger, TODAY - timedelta(days=1))] == ["before"]
    assert [line.model for line in await usage(ledger, TODAY)] == ["after"]
    assert [day.date for day in (await ledger.stats(1, None)).days] == [TODAY.isoformat()]


async def test_stats_of_nothing_have_every_key(ledger: Ledger) -> None:
    assert msgspec.to_builtins(await ledger.stats(30, None)) == {
        "days": [],
        "models": {},
        "providers": {},
        "users": {},
        "totals": counters([]),
    }


def anything(number: int, chance: random.Random) -> Record:
    """A record as life writes them, odd ones included."""
    opened_at = noon(chance.randrange(40)) + number
    first_token_at = chance.choice([None, opened_at + chance.randrange(8) / 4])
    return Record(
        id=str(number),
        kind=chance.choice(["turn", "turn", "title", "report"]),
        user=chance.choice(["ann", "bob", "Zoë", "unknown", "x" * 1_000, None]),
        provider=chance.choice(["Embedded", "OpenAI", None]),
        model=chance.choice(["small", "large", "東" * 300, None]),
        opened_at=opened_at,
        first_token_at=first_token_at,
        ended_at=opened_at + chance.randrange(2, 40),
        ending=chance.choice(["done", "done", "stopped", "failed", "refused"]),
        prompt_tokens=chance.choice([None, chance.randrange(5_000)]),
        completion_tokens=chance.choice([None, chance.randrange(900)]),
        saved_tokens=chance.choice([None, 3]),
        **chance.choice(PRICES),
    )


def counters(counted: list[Record]) -> dict[str, Any]:
    """What they come to, by hand."""
    prompt = sum(record.prompt_tokens or 0 for record in counted)
    completion = sum(record.completion_tokens or 0 for record in counted)
    begun = [record for record in counted if record.first_token_at is not None]
    waited = [(record.first_token_at or 0) - record.opened_at for record in begun]
    spoken = sum((record.ended_at or 0) - (record.first_token_at or 0) for record in begun)
    said = sum(record.completion_tokens or 0 for record in begun)
    return {
        "requests": len(counted),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "saved_tokens": sum(record.saved_tokens or 0 for record in counted),
        "total_tokens": prompt + completion,
        "cost_usd": float(sum(1 for record in counted if record.cost)),
        "unpriced": sum(record.price == "unpriced" for record in counted),
        "endings": dict(Counter(record.ending for record in counted)),
        "first_token_seconds": pytest.approx(sum(waited) / len(waited)) if waited else None,
        "tokens_per_second": pytest.approx(said / spoken) if spoken else None,
    }


def grouped(counted: list[Record], name: Callable[[Record], str | None]) -> dict[str, Any]:
    groups: defaultdict[str, list[Record]] = defaultdict(list)
    for record in counted:
        groups[name(record) or "unknown"].append(record)
    return {name: counters(group) for name, group in groups.items()}


def expected(counted: list[Record]) -> dict[str, Any]:
    """The same sums, by hand; of an odd name the beginning."""
    days = grouped(counted, lambda record: date.fromtimestamp(record.opened_at).isoformat())
    return {
        "days": [{**days[name], "date": name} for name in sorted(days)],
        "models": grouped(counted, lambda record: record.model and record.model[:LONGEST_NAME]),
        "providers": grouped(counted, lambda record: record.provider),
        "users": grouped(counted, lambda record: record.user and record.user[:LONGEST_USER]),
        "totals": counters(counted),
    }


async def test_ten_thousand_records_add_up(ledger: Ledger) -> None:
    chance = random.Random(2)
    everything = [anything(number, chance) for number in range(10_000)]
    await settle_all(ledger, *everything)
    recent = [record for record in everything if record.opened_at >= noon(29) and record.ending != "refused"]
    counted = [record for record in recent if record.kind != "report"]
    for user in (None, "Zoë", "x" * 1_000):
        stats = msgspec.to_builtins(await ledger.stats(30, user))
        assert stats == expected([record for record in counted if user in (None, record.user)])
        for names in (stats["models"], stats["providers"], stats["users"]):
            totals = [sums["total_tokens"] for sums in names.values()]
            assert totals == sorted(totals, reverse=True)
    assert len(stats["days"]) == 30


async def stats_of_today(ledger: Ledger) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins((await ledger.stats(1, None)).totals)
    return found


async def test_a_record_counts_once_when_it_ends(database: Database, ledger: Ledger) -> None:
    record = Record(id="turn", model="m", price="unpriced")
    ledger.open(record)
    await settle_all(ledger, Record(id="other", model="m", ending="refused"))
    assert (await stats_of_today(ledger))["requests"] == 0
    record.ending = "done"
    for _ in range(3):
        await settle_all(ledger, record)
    ledger.open(Record(id="turn"))
    await settle_all(ledger, Record(id="turn", ending="failed"))
    sums = await stats_of_today(ledger)
    assert (sums["requests"], sums["unpriced"], sums["endings"]) == (1, 1, {"done": 1})


async def test_a_correction_adds_its_cost_and_is_no_request(ledger: Ledger) -> None:
    await settle_all(ledger, Record(id="turn", ending="done", price="unpriced"))
    await settle_all(ledger, Record(id="known", ending="done", price="table", cost=5 * 10**9))
    for number, cost in enumerate((3, -1)):
        await settle_all(
            ledger,
            Record(
                id=f"c{number}",
                kind="correction",
                corrects="turn",
                ending="done",
                price="new",
                cost=cost * 10**9,
            ),
        )
    sums = await stats_of_today(ledger)
    assert (sums["requests"], sums["unpriced"], sums["cost_usd"]) == (2, 0, 7.0)


async def test_what_is_removed_stays_in_the_sums(database: Database, ledger: Ledger) -> None:
    await settle_all(ledger, Record(id="turn", ending="done", prompt_tokens=7))
    await database.write(records.delete(), {})
    assert await rows(database) == []
    assert (await stats_of_today(ledger))["prompt_tokens"] == 7


async def test_what_is_read_for_the_sums_does_not_grow_with_the_ledger(
    database: Database, ledger: Ledger
) -> None:
    await settle_all(
        ledger,
        *(
            Record(id=f"{n}", user="ann", model=f"{n % 3}", opened_at=noon(n % 2), ending="done")
            for n in range(3_000)
        ),
    )
    sums = await database.read(select(totals))
    assert Counter(row["scope"] for row in sums) == {"models": 6, "users": 2, "both": 6}
    assert (await ledger.stats(2, None)).totals.requests == 3_000


async def test_numbers_that_nobody_can_have_used_break_no_sum(database: Database, ledger: Ledger) -> None:
    for number in range(3):
        await settle_all(ledger, Record(id=f"{number}", ending="done", prompt_tokens=2**63 - 1))
    assert len(await rows(database)) == 3
    assert (await stats_of_today(ledger))["requests"] == 3


async def test_names_of_every_length_fit_into_the_index(database: Database, ledger: Ledger) -> None:
    odd = "".join(chr(0x1F300 + number) for number in range(1_000))
    await settle_all(ledger, Record(id="turn", user=odd, model=odd, provider=odd, ending="done"))
    (row,) = await database.read(select(totals.c.user).where(totals.c.scope == "both"))
    assert odd.startswith(row["user"])


async def test_usage_of_a_busy_day_comes_complete_in_order_and_in_bounded_pages(ledger: Ledger) -> None:
    number = 3 * PAGE + 10
    order = random.Random(3).sample(range(number), number)
    await settle_all(
        ledger, *(Record(id=f"{n}", opened_at=noon(1) + n, model=f"{n}", ending="done") for n in order)
    )
    async with aclosing(ledger.usage(TODAY - timedelta(days=1), None)) as pages:
        found = [[line.model for line in page] async for page in pages]
    assert [len(page) for page in found] == [PAGE, PAGE, PAGE, 10]
    assert list(itertools.chain(*found)) == [f"{n}" for n in range(number)]
