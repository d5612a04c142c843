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
from service.turns.windows import Kind, Purse, Share, Window

NAMES = {"key": "This key", "user": "This user", "service": "This service"}
SHORT_WAIT = 1.0
"""Seconds; nobody knows when a turn ends."""

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

    def tokens(self, limit: int | None) -> int:
        """What is reserved of a minute: no answer is so long that it needs more than a whole one."""
        whole = self.prompt + self.answer
        return whole if limit is None or whole <= limit else max(self.prompt, limit)


class Hold(Share, gc=False):
    """What one turn has taken of an account: a share of its minute, and of its purse."""

    cost: int
    on: date | None
    """The day to which the cost belongs."""
    slot: bool


class Left(Struct, frozen=True):
    """What a minute has left of a limit, and whose that is."""

    remaining: int
    limit: int
    account: "Account"


class Account:
    """`purse` is None until somebody has looked up what was spent, which only a budget asks for."""

    def __init__(self, whose: Whose, id: str | None) -> None:
        self.whose, self.id = whose, id
        self.grant = Grant()
        self.purse: Purse | None = None
        self.running = 0
        self.used_at = 0.0
        self._minute = Window()

    @property
    def has_budget(self) -> bool:
        return self.grant.budget.day is not None or self.grant.budget.month is not None

    def refusals(self, need: Need, now: float, today: date) -> Iterator[LimitReached]:
        """Everything that is in the way."""
        limits, minute, cost = self.grant.limits, self._minute, need.cost
        minute.pass_to(now)
        if not need.beside:
            if (limit := limits.requests_per_minute) and minute.requests >= limit:
                text, excess = f"may ask {limit} times a minute", minute.requests + 1 - limit
                yield self._later("requests", text, minute.wait("requests", excess, now))
            if (limit := limits.turns_at_once) and self.running >= limit:
                yield self._later("turns", f"may have {limit} answered at the same time", SHORT_WAIT)
        if limit := limits.tokens_per_minute:
            tokens = need.tokens(limit)
            if (excess := minute.tokens + tokens - limit) > 0:
                text = f"may use {limit} tokens a minute, and this question may need {tokens} of them"
                yield self._later("tokens", text, minute.wait("tokens", excess, now))
        if cost != 0:
            for period, budget, used in self.budgets(today):
                if used >= budget * NANO if cost is None else used + cost > budget * NANO:
                    yield self._overdraft(period, budget, used, cost, today)

    def take(self, need: Need, now: float) -> Hold:
        """Takes what is needed, whatever is in the way."""
        purse, turns = self.purse, not need.beside
        cost = need.cost or 0 if purse else 0
        tokens = need.tokens(self.grant.limits.tokens_per_minute)
        hold = Hold(now, int(turns), tokens, cost, purse.today if purse else None, turns)
        self._minute.take(hold)
        self.running += turns
        if purse:
            purse.add(cost, purse.today)
        return hold

    def settle(self, hold: Hold, requests: int, tokens: int, cost: int, now: float) -> None:
        """What was used takes the place of what was taken, and nothing runs any more."""
        self.free(hold)
        self.used_at = now
        self._minute.correct(hold, min(hold.requests, requests), tokens, now)
        if self.purse and hold.on:
            self.purse.add(cost - hold.cost, hold.on)

    def free(self, hold: Hold) -> None:
        """Lets somebody else run."""
        self.running -= hold.slot
        hold.slot = False

    def left(self, kind: Kind, now: float) -> Left | None:
        """None where it has no limit."""
        limits, minute = self.grant.limits, self._minute
        limit = limits.requests_per_minute if kind == "requests" else limits.tokens_per_minute
        if limit is None:
            return None
        minute.pass_to(now)
        taken = minute.requests if kind == "requests" else minute.tokens
        return Left(max(0, limit - taken), limit, self)

    def clear_in(self, kind: Kind, now: float) -> float:
        """In how many seconds all of a minute will be there again."""
        return self._minute.clear_in(kind, now)

    def budgets(self, today: date) -> list[tuple[Period, float, int]]:
        """Of the day and of the month, in dollars, and what is spent of each in billionths of one."""
        purse, budget = self.purse, self.grant.budget
        budgets: list[tuple[Period, float, int]] = []
        if purse:
            purse.turn_to(today)
            if budget.day is not None:
                budgets.append(("day", budget.day, purse.day))
            if budget.month is not None:
                budgets.append(("month", budget.month, purse.month))
        return budgets

    def _later(self, limit: str, told: str, wait: float) -> LimitReached:
        text = f"{NAMES[self.whose]} {told}."
        if math.isinf(wait):
            return LimitReached(limit, f"{text} Shorten it, or ask the operator for more.", None)
        return LimitReached(limit, f"{text} Ask again in {math.ceil(wait)} s.", wait)

    def _overdraft(
        self, period: Period, budget: float, used: int, cost: int | None, today: date
    ) -> QuotaExceeded:
        renewal = _renewal(period, today)
        wait = max(0.0, (renewal - datetime.now().astimezone()).total_seconds())
        return QuotaExceeded(period, self._told(period, budget, used, cost, renewal), wait)

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


def _renewal(period: Period, today: date) -> datetime:
    """When the next local day or month begins."""
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime.combine(first if period == "month" else today + timedelta(days=1), time()).astimezone()


def _dollars(amount: float) -> str:
    """At least cents, at most millionths."""
    whole, _, rest = f"{amount:,.6f}".partition(".")
    return f"${whole}.{rest.rstrip('0'):0<2}"
