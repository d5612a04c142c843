"""The account of one key, of one user, or of the whole service: what it may take, and what it has taken."""

import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Literal

from msgspec import Struct

from service.errors import LimitReached, QuotaExceeded
from service.stores.keys import Grant
from service.stores.prices import NANO
from service.stores.spending import Whose
from service.turns.windows import Purse, Share, Window

NAMES = {"key": "This key", "user": "This user", "service": "This service"}
SHORT_WAIT = 1.0
"""Seconds; nobody knows when a turn ends."""

Kind = Literal["requests", "tokens"]
Period = Literal["day", "month"]


class Need(Struct, frozen=True):
    """What a turn may come to: tokens of prompt and answer, and a cost in billionths of a US dollar.

    A cost that is not known (None) fits as long as anything is left. What runs `beside` turns is no request,
    and takes no place.
    """

    prompt: int
    answer: int
    cost: int | None = 0
    beside: bool = False

    def tokens(self, limit: int) -> int:
        """What is reserved of a minute: no answer is so long that it needs more than a whole one."""
        return max(self.prompt, min(self.prompt + self.answer, limit))


class Hold(Struct):
    """What one turn has taken of an account."""

    request: Share | None
    tokens: Share | None
    cost: int
    on: date | None
    """The day to which the cost belongs."""
    slot: bool = True


class Left(Struct, frozen=True):
    """What a minute has left, and in how many seconds all of it will be there again."""

    remaining: int
    limit: int
    reset: float


class Account:
    """`purse` is None until somebody has looked up what was spent, which only a budget asks for."""

    def __init__(self, whose: Whose, id: str | None) -> None:
        self.whose, self.id = whose, id
        self.grant = Grant()
        self.purse: Purse | None = None
        self.running = 0
        self.used_at = 0.0
        self._requests, self._tokens = Window(), Window()

    @property
    def has_budget(self) -> bool:
        return self.grant.budget.day is not None or self.grant.budget.month is not None

    def refusals(self, need: Need, now: float, today: date) -> Iterator[LimitReached]:
        """Everything that is in the way."""
        limits, name = self.grant.limits, NAMES[self.whose]
        if not need.beside:
            yield from self._crowding(now)
        if (limit := limits.tokens_per_minute) and (
            wait := self._tokens.wait(need.tokens(limit), limit, now)
        ):
            tokens = f"this question may need {need.tokens(limit)} of them"
            yield _later("tokens", f"{name} may use {limit} tokens a minute, and {tokens}.", wait)
        if need.cost != 0:
            yield from self._overdrafts(need.cost, today)

    def take(self, need: Need, now: float) -> Hold:
        """Takes what is needed, whatever is in the way."""
        limits, purse = self.grant.limits, self.purse
        cost = need.cost or 0 if purse else 0
        if purse:
            purse.add(cost, purse.today)
        self.running += not need.beside
        return Hold(
            self._requests.take(1, now) if limits.requests_per_minute and not need.beside else None,
            self._tokens.take(need.tokens(limit), now) if (limit := limits.tokens_per_minute) else None,
            cost,
            purse.today if purse else None,
            slot=not need.beside,
        )

    def correct(self, hold: Hold, requests: int, tokens: int, cost: int, now: float) -> None:
        """What was used takes the place of what was taken, and nothing runs any more."""
        self.free(hold)
        self.used_at = now
        if hold.request:
            self._requests.correct(hold.request, requests, now)
        if hold.tokens:
            self._tokens.correct(hold.tokens, tokens, now)
        if self.purse and hold.on:
            self.purse.add(cost - hold.cost, hold.on)

    def free(self, hold: Hold) -> None:
        """Lets somebody else run."""
        self.running -= hold.slot
        hold.slot = False

    def left(self, kind: Kind, now: float) -> Left | None:
        """None where it has no limit."""
        limits = self.grant.limits
        window = self._requests if kind == "requests" else self._tokens
        limit = limits.requests_per_minute if kind == "requests" else limits.tokens_per_minute
        if limit is None:
            return None
        return Left(max(0, limit - window.taken(now)), limit, window.clear_in(now))

    def budgets(self, today: date) -> Iterator[tuple[Period, float, int]]:
        """Of the day and of the month, in dollars, and what is spent of each in billionths of one."""
        budget, purse = self.grant.budget, self.purse
        if purse:
            purse.turn_to(today)
            if budget.day is not None:
                yield "day", budget.day, purse.day
            if budget.month is not None:
                yield "month", budget.month, purse.month

    def _crowding(self, now: float) -> Iterator[LimitReached]:
        """There are too many already."""
        limits, name = self.grant.limits, NAMES[self.whose]
        if (limit := limits.requests_per_minute) and (wait := self._requests.wait(1, limit, now)):
            yield _later("requests", f"{name} may ask {limit} times a minute.", wait)
        if (limit := limits.turns_at_once) and self.running >= limit:
            yield _later("turns", f"{name} may have {limit} answered at the same time.", SHORT_WAIT)

    def _overdrafts(self, cost: int | None, today: date) -> Iterator[QuotaExceeded]:
        for period, budget, used in self.budgets(today):
            if used >= budget * NANO if cost is None else used + cost > budget * NANO:
                renewal = _renewal(period, today)
                wait = max(0.0, (renewal - datetime.now().astimezone()).total_seconds())
                yield QuotaExceeded(period, self._told(period, budget, used, cost, renewal), wait)

    def _told(self, period: Period, budget: float, used: int, cost: int | None, renewal: datetime) -> str:
        """What everybody together has used is for the operator."""
        name, whole = NAMES[self.whose], _dollars(budget)
        spent = "" if self.whose == "service" else f"; {_dollars(used / NANO)} of it are used or reserved"
        this = f", and this question may cost {_dollars(cost / NANO)}" if cost else ""
        at = renewal.isoformat(timespec="minutes")
        less = "Set a lower max_tokens, or ask" if cost else "Ask"
        return (
            f"{name} may spend {whole} a {period}{spent}{this}. {less} again from {at}, when it is renewed."
        )


def _later(limit: str, text: str, wait: float) -> LimitReached:
    if math.isinf(wait):
        return LimitReached(limit, f"{text} Shorten it, or ask the operator for more.", None)
    return LimitReached(limit, f"{text} Ask again in {math.ceil(wait)} s.", wait)


def _renewal(period: Period, today: date) -> datetime:
    """When the next local day or month begins."""
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime.combine(first if period == "month" else today + timedelta(days=1), time()).astimezone()


def _dollars(amount: float) -> str:
    """At least cents, at most millionths."""
    whole, _, rest = f"{amount:,.6f}".partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"
