"""Limits: whatever is asked, ended, given back and waited for, what counts is what was used."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import LimitReached, QuotaExceeded
from service.settings import Limits, Price, ProviderRow
from service.stores.database import Database
from service.stores.keys import Keys
from service.stores.ledger import Ledger, Record
from service.stores.prices import Prices
from service.stores.secret import Secret
from service.telemetry import Metrics
from service.turns.limits import IDLE_SECONDS, Limiter, Question, duration
from service.turns.windows import MINUTE, Purse
from tests.stores.opened import opened

NONE = Limits(0, 0, 0, 0, 0)
EACH = Limits(
    requests_per_minute=4, tokens_per_minute=100, turns_at_once=3, budget_day=0.0004, budget_month=0
)
ALL = Limits(requests_per_minute=6, tokens_per_minute=150, turns_at_once=4, budget_day=0, budget_month=0)
PER_TOKEN = 1_000
"""Billionths of a dollar: a dollar for a million of them."""
BUDGET = 400 * PER_TOKEN
METRICS = Metrics()


@dataclass
class Seller:
    name: str
    url: str | None = None
    local: bool = False


SELLERS = [Seller("Priced"), Seller("Unpriced"), Seller("Free", local=True)]
PRICES = Prices(
    SELLERS, [ProviderRow("Priced", "http://priced.example/v1", prices={"*": Price(prompt=1, completion=1)})]
)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Minute:
    """A window as one would count it by hand."""

    shares: list[list[float]] = field(default_factory=list)

    def taken(self, now: float) -> int:
        return int(sum(amount for at, amount in self.shares if now - at < MINUTE))


@dataclass
class Side:
    """What one user, or everybody, has taken."""

    limits: Limits
    requests: Minute = field(default_factory=Minute)
    tokens: Minute = field(default_factory=Minute)
    running: int = 0
    cost: int = 0

    def needed(self, prompt: int, answer: int) -> int:
        return max(prompt, min(prompt + answer, self.limits.tokens_per_minute))

    def admits(self, prompt: int, answer: int, now: float) -> bool:
        cost = (prompt + answer) * PER_TOKEN
        return (
            self.requests.taken(now) < self.limits.requests_per_minute
            and self.tokens.taken(now) + self.needed(prompt, answer) <= self.limits.tokens_per_minute
            and self.running < self.limits.turns_at_once
            and (not self.limits.budget_day or not cost or self.cost + cost <= BUDGET)
        )


@dataclass
class Held:
    """A turn that runs, as the sides have it."""

    record: Record
    sides: list[Side]
    prompt: int
    answer: int
    requests: list[list[float]] = field(default_factory=list)
    tokens: list[list[float]] = field(default_factory=list)
    slot: bool = True

    def take(self, now: float) -> None:
        for side in self.sides:
            self.requests.append([now, 1])
            self.tokens.append([now, side.needed(self.prompt, self.answer)])
            side.requests.shares.append(self.requests[-1])
            side.tokens.shares.append(self.tokens[-1])
            side.running += 1
            side.cost += (self.prompt + self.answer) * PER_TOKEN

    def free(self) -> None:
        for side in self.sides if self.slot else ():
            side.running -= 1
        self.slot = False

    def correct(self, requests: int, tokens: int, now: float) -> None:
        self.free()
        for side, request, share in zip(self.sides, self.requests, self.tokens, strict=True):
            request[1] = requests
            side.tokens.shares.append([now, max(0, tokens - share[1])])
            share[1] = min(share[1], tokens)
            side.cost += (tokens - self.prompt - self.answer) * PER_TOKEN


NUMBER = st.integers(0, 60)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 1), NUMBER, NUMBER),
        st.tuples(st.just("settle"), st.integers(0, 3), NUMBER, NUMBER),
        st.tuples(st.just("give back"), st.integers(0, 3), st.just(0), st.just(0)),
        st.tuples(st.just("free"), st.integers(0, 3), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 70), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all examples, and one database, in which nothing is."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def database(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opening = opened(tmp_path_factory.mktemp("limits") / "causerie.db")
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


def limiter_of(
    database: Database, clock: Clock | None = None, *, service: Limits = NONE, users: Limits = NONE
) -> Limiter:
    keys = Keys(database, Secret(Path(), "s" * 32))
    return Limiter(service, users, keys, PRICES, database, METRICS, clock or Clock())


def asked(prompt: int = 1, answer: int = 0, by: str = "Priced") -> Question:
    return Question(prompt, answer, [(by, "small")])


def record_of(user: str = "ada", ids: Iterator[int] = count()) -> Record:  # noqa: B008
    return Record(id=str(next(ids)), user=user)


@settings(max_examples=150, deadline=None)
@given(operations=OPERATIONS)
def test_what_counts_is_what_was_used(
    operations: list[tuple[str, int, int, int]], runner: asyncio.Runner, database: Database
) -> None:
    runner.run(_play(operations, database))


async def _play(operations: list[tuple[str, int, int, int]], database: Database) -> None:
    clock = Clock()
    limiter = limiter_of(database, clock, service=ALL, users=EACH)
    everybody, each = Side(ALL), [Side(EACH), Side(EACH)]
    running: list[Held] = []
    for what, number, prompt, answer in operations:
        if what == "ask":
            held = Held(record_of(f"user {number}"), [each[number], everybody], prompt, answer)
            expected = all(side.admits(prompt, answer, clock.now) for side in held.sides)
            assert await _admitted(limiter, held.record, asked(prompt, answer)) is expected
            if expected:
                held.take(clock.now)
                running.append(held)
        elif what == "wait":
            clock.now += number
        elif number < len(running):
            _end(limiter, what, running, number, prompt, answer, clock.now)
        _compare(limiter, each, everybody, clock.now)
    while running:
        _end(limiter, "settle", running, 0, 1, 0, clock.now)
    await _check_emptied(limiter, clock, each)


async def _admitted(limiter: Limiter, record: Record, question: Question) -> bool:
    try:
        await limiter.reserve(record, question)
    except LimitReached:
        return False
    return True


def _end(
    limiter: Limiter, what: str, running: list[Held], number: int, prompt: int, answer: int, now: float
) -> None:
    held = running[number]
    if what == "free":
        limiter.free(held.record)
        held.free()
        return
    del running[number]
    if what == "give back":
        limiter.give_back(held.record)
        held.correct(0, 0, now)
        return
    held.record.prompt_tokens, held.record.completion_tokens = prompt, answer
    held.record.cost = (prompt + answer) * PER_TOKEN
    for _ in range(2):  # a second settlement changes nothing
        limiter.settle(held.record)
    held.correct(1, prompt + answer, now)


def _compare(limiter: Limiter, each: list[Side], everybody: Side, now: float) -> None:
    for number, side in enumerate(each):
        told = limiter.headers(record_of(f"user {number}"))
        for kind in ("requests", "tokens"):
            left = [
                max(0, getattr(one.limits, f"{kind}_per_minute") - getattr(one, kind).taken(now))
                for one in (side, everybody)
            ]
            assert told[f"x-ratelimit-remaining-{kind}"] == str(min(left))


async def _check_emptied(limiter: Limiter, clock: Clock, each: list[Side]) -> None:
    """Money stays spent; a minute later everything else is as at the beginning."""
    clock.now += MINUTE
    for number, side in enumerate(each):
        record = record_of(f"user {number}")
        quota = await limiter.quota(record, operator=False)
        assert quota.credits and quota.session_usage
        assert quota.credits.remaining == pytest.approx(max(0, BUDGET - side.cost) / 1e9)
        assert quota.session_usage.used_percent == 0
        assert limiter.headers(record)["x-ratelimit-reset-tokens"] == "0s"
    admitted = [
        await _admitted(limiter, record_of(f"user {number % 2}"), asked(0, by="Free")) for number in range(9)
    ]
    assert sum(admitted) == ALL.turns_at_once, "every slot is free"


# Limits one by one


async def refusal(limiter: Limiter, question: Question, user: str = "ada") -> LimitReached:
    with pytest.raises(LimitReached) as refused:
        await limiter.reserve(record_of(user), question)
    return refused.value


async def test_nobody_has_limits_unless_somebody_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "causerie.db") as database:
        limiter = limiter_of(database)
        assert not limiter.limits(record_of()) and limiter.headers(record_of()) == {}


async def test_the_refusal_says_when_it_would_pass(tmp_path: Path) -> None:
    async with opened(tmp_path / "causerie.db") as database:
        clock = Clock()
        limiter = limiter_of(database, clock, users=Limits(2, 100, 0, 0, 0))
        await limiter.reserve(record_of(), asked(30))
        clock.now += 10
        await limiter.reserve(record_of(), asked(30))
        error = await refusal(limiter, asked(1))
        assert (error.limit, error.retry_after, error.code) == ("requests", 50, "rate_limit_exceeded")
        error = await refusal(limiter, asked(90))
        assert (error.limit, error.retry_after) == ("tokens", 60), "the one that lasts longest"
        await limiter.reserve(record_of("bob"), asked(90))
        clock.now += 50
        await limiter.reserve(record_of(), asked(1))


async def test_a_prompt_that_never_fits_is_told_so_and_a_long_answer_fits_into_an_empty_minute(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "causerie.db") as database:
        limiter = limiter_of(database, users=Limits(0, 100, 0, 0, 0))
        error = await refusal(limiter, asked(101))
        assert error.retry_after is None and "Shorten it" in error.message
        await limiter.reserve(record_of(), asked(10, 32_000))
        assert (await refusal(limiter, asked(1))).limit == "tokens"


async def test_a_budget_counts_what_may_be_spent_and_then_what_was(tmp_path: Path) -> None:
    async with opened(tmp_path / "causerie.db") as database:
        limiter = limiter_of(database, users=Limits(0, 0, 0, budget_day=0.001, budget_month=0))
        first = record_of()
        await limiter.reserve(first, asked(100, 900))
        error = await refusal(limiter, asked(1))
        assert isinstance(error, QuotaExceeded) and error.limit == "day"
        assert "$0.001 a day; $0.001 of it" in error.message and f"{date.today():%Y-}" in error.message
        assert error.retry_after is not None and 0 < error.retry_after <= 25 * 3600
        await limiter.reserve(record_of(), asked(5_000, by="Free"))
        assert (await refusal(limiter, asked(1, by="Unpriced"))).code == "insufficient_quota"
        first.cost = 400 * PER_TOKEN
        limiter.settle(first)
        await limiter.reserve(record_of(), asked(1, by="Unpriced"))
        await limiter.reserve(record_of(), asked(600))
        assert (await refusal(limiter, asked(1))).limit == "day"


async def test_what_was_spent_is_read_from_the_ledger(tmp_path: Path) -> None:
    async with opened(tmp_path / "causerie.db") as database:
        ledger = Ledger(database)
        for user, cost in (("ada", 600_000), ("ada", 300_000), ("ada", None), ("bob", 5_000_000)):
            record = Record(id=f"{user} {cost}", user=user, ending="done", ended_at=1.0, cost=cost)
            await ledger.settle(record)
        limiter = limiter_of(
            database,
            service=Limits(0, 0, 0, 0, budget_month=1),
            users=Limits(0, 0, 0, budget_day=0.001, budget_month=0),
        )
        quotas = [
            await limiter.quota(record_of("ada"), operator=False),
            await limiter.quota(record_of("carol"), operator=False),
        ]
        assert [quota.credits and quota.credits.remaining for quota in quotas] == pytest.approx(
            [0.0001, 0.001]
        )
        answers = await asyncio.gather(*(_admitted(limiter, record_of(), asked(20)) for _ in range(50)))
        assert sum(answers) == 5, "a fifth of what is left each"


async def test_who_is_idle_is_forgotten_and_who_runs_is_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "causerie.db") as database:
        clock = Clock()
        limiter = limiter_of(database, clock, users=Limits(10, 0, 1, 0, 0))
        await limiter.reserve(record_of("ada"), asked())
        for number in range(1000):
            limiter.headers(record_of(f"user {number}"))
        clock.now += IDLE_SECONDS + 1
        limiter.headers(record_of("somebody new"))
        assert len(limiter._accounts) == 2
        assert (await refusal(limiter, asked(), "ada")).limit == "turns"


# The parts


def test_a_purse_turns_with_the_day_and_the_month() -> None:
    purse = Purse(date(2026, 1, 30), day=5, month=50)
    purse.add(10, date(2026, 1, 30))
    purse.turn_to(date(2026, 1, 31))
    assert (purse.day, purse.month) == (0, 60)
    purse.add(-10, date(2026, 1, 30))
    assert (purse.day, purse.month) == (0, 50), "what began yesterday belongs to yesterday"
    purse.turn_to(date(2026, 2, 1))
    purse.add(7, date(2026, 1, 31))
    assert (purse.day, purse.month) == (0, 0)
    purse.add(7, date(2026, 2, 1))
    purse.turn_to(date(2026, 1, 31))
    assert (purse.day, purse.month) == (7, 7), "a clock that is put back gives nothing back"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0s"), (0.02, "20ms"), (1, "1s"), (11.2, "12s"), (60, "1m0s"), (359.5, "6m0s")]
)
def test_durations_are_told_as_openai_tells_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
