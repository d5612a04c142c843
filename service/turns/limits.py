"""Limits: of requests and tokens a minute, of turns at once, of what a day and a month may cost.

They hold for each key, each user and the whole service. All are reserved together before anybody is asked:
one that refuses takes nothing from the others. What was used takes the place of what was reserved when the
turn ends. One that failed was a request nonetheless; of tokens and money it counts what was used.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from datetime import date

from msgspec import Struct

from service.errors import LimitReached
from service.messages import Ask
from service.providers.quotas import Credits, Quota, Used
from service.settings import Limits as Configured
from service.stores.database import Database
from service.stores.keys import Budget, Grant, Keys, Limits
from service.stores.ledger import Record
from service.stores.prices import NANO, Prices, Tokens
from service.stores.spending import Whose, spent
from service.telemetry import Metrics
from service.turns.accounts import Account, Hold, Left, Need
from service.turns.windows import Kind, Purse

ANSWER_TOKENS = 1_000
"""What is reserved for an answer that was given no limit."""
LONGEST = 2**31
"""Tokens; what clients make up is priced nonetheless."""
KINDS: tuple[Kind, ...] = ("requests", "tokens")
HEADERS = {
    kind: (f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}")
    for kind in KINDS
}
IDLE_SECONDS = 600.0
"""An account that was not used for so long is forgotten: what it has spent is in the ledger."""


class Question(Struct, frozen=True):
    """What is reserved for: tokens of prompt and answer, and who may answer for pay, with which model.

    `cost` is that of what is no token, as in a record; None where nobody knows. What is done `beside` the
    questions of a user is none itself, and keeps none of them from its place.
    """

    prompt: int
    answer: int
    targets: Sequence[tuple[str, str | None]]
    cost: int | None = 0
    beside: bool = False

    @classmethod
    def of(cls, ask: Ask, prompt: int, targets: Sequence[tuple[str, str | None]]) -> "Question":
        asked = ask.generation
        answer = asked.max_completion_tokens or asked.max_tokens or ANSWER_TOKENS
        tokens = min(max(0, answer) * max(1, asked.n or 1), LONGEST)
        ours = [target for target in targets if target[0] not in ask.keys]
        return cls(prompt, tokens, ours)


class Limiter:
    """Reserves for records, by their ids, and settles them; all of it in memory, on the event loop."""

    def __init__(
        self,
        service: Configured,
        users: Configured,
        keys: Keys,
        prices: Prices,
        database: Database,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        shared: tuple[tuple[Whose, Grant], ...] = (("user", _granted(users)), ("service", _granted(service)))
        self._shared = [(whose, grant) for whose, grant in shared if grant.limited]
        """What limits everybody, whatever the key."""
        self._keys = keys
        self._prices, self._database, self._clock = prices, database, clock
        self._rejections = metrics.rejections
        self._accounts: dict[tuple[Whose, str | None], Account] = {}
        self._held: dict[str, list[tuple[Account, Hold]]] = {}
        self._reading = asyncio.Lock()
        self._swept_at = clock()

    def limits(self, record: Record) -> bool:
        """Whether there is any limit for whoever asks."""
        return bool(self._shared) or self._keys.grant(record.key).limited

    async def reserve(self, record: Record, question: Question) -> None:
        """Takes everything or nothing; `settle` or `give_back` must follow.

        Raises `LimitReached`, `QuotaExceeded`, or `Unavailable` where nobody can look up what was spent.
        Between what it decides and its return nothing is awaited.
        """
        accounts = await self._opened(self._accounts_of(record))
        purses = [account.purse for account in accounts if account.purse]
        cost = await self._cost(record, question) if purses else 0
        need = Need(question.prompt, question.answer, cost, question.beside)
        now, today = self._clock(), date.today()
        if refusals := [error for account in accounts for error in account.refusals(need, now, today)]:
            raise self._rejected(refusals)
        self._held[record.id] = [(account, account.take(need, now)) for account in accounts]

    def free(self, record: Record) -> None:
        """Its turn is being stopped: somebody else may run, however long its provider takes to notice."""
        for account, hold in self._held.get(record.id, ()):
            account.free(hold)

    def settle(self, record: Record) -> None:
        """Counts what was used, once; where nothing is reserved it does nothing."""
        tokens = (record.prompt_tokens or 0) + (record.completion_tokens or 0)
        self._settle(record, 1, tokens, record.cost or 0)

    def give_back(self, record: Record) -> None:
        """As if nobody had asked."""
        self._settle(record, 0, 0, 0)

    def headers(self, record: Record) -> dict[str, str]:
        """`x-ratelimit-…`: what is left of the narrowest limits. Source: OpenAI's guide, "Rate limits"."""
        told: dict[str, str] = {}
        accounts, now = self._accounts_of(record), self._clock()
        for kind, (limit, remaining, reset) in HEADERS.items():
            if left := _narrowest(accounts, kind, now):
                told[limit], told[remaining] = str(left.limit), str(left.remaining)
                told[reset] = duration(left.account.clear_in(kind, now))
        return told

    async def quota(self, record: Record, *, operator: bool) -> Quota:
        """What is left of the narrowest limit and budget; those of the whole service are the operator's."""
        accounts = await self._opened(
            [account for account in self._accounts_of(record) if operator or account.whose != "service"]
        )
        now = self._clock()
        minutes = [minute for kind in KINDS if (minute := _narrowest(accounts, kind, now))]
        used_percents = [100 - 100 * minute.remaining / minute.limit for minute in minutes]
        budgets = [budget for account in accounts for budget in account.budgets(date.today())]
        left = [Credits(max(0.0, budget - used / NANO), budget) for _, budget, used in budgets]
        return Quota(
            min(left, key=lambda budget: budget.remaining, default=None),
            session_usage=Used(max(used_percents)) if used_percents else None,
        )

    def _settle(self, record: Record, requests: int, tokens: int, cost: int) -> None:
        now = self._clock()
        for account, hold in self._held.pop(record.id, ()):
            account.settle(hold, requests, tokens, cost, now)

    def _accounts_of(self, record: Record) -> list[Account]:
        now, grant = self._clock(), self._keys.grant(record.key)
        accounts = [self._account("key", record.key, grant, now)] if grant.limited else []
        for whose, grant in self._shared:
            id = record.user if whose == "user" else None
            accounts.append(self._account(whose, id, grant, now))
        return accounts

    def _account(self, whose: Whose, id: str | None, grant: Grant, now: float) -> Account:
        account = self._accounts.get((whose, id))
        if account is None:
            self._forget_idle(now)
            account = self._accounts[whose, id] = Account(whose, id)
        account.grant, account.used_at = grant, now
        return account

    def _forget_idle(self, now: float) -> None:
        before = now - IDLE_SECONDS
        if self._swept_at < before:
            self._swept_at = now
            for name, account in list(self._accounts.items()):
                if not account.running and account.used_at < before:
                    del self._accounts[name]

    async def _opened(self, accounts: list[Account]) -> list[Account]:
        """Reads once what each with a budget has spent before it had a purse."""
        for account in accounts:
            if account.purse is None and account.has_budget:
                async with self._reading:
                    if account.purse is None:
                        today = date.today()
                        sums = await spent(self._database, account.whose, account.id, today)
                        account.purse = Purse(today, sums.day, sums.month)
        return accounts

    async def _cost(self, record: Record, question: Question) -> int | None:
        """What the dearest of those who may answer takes; None where only nobody's price is known."""
        if not question.targets:
            return question.cost
        tokens = Tokens(question.prompt, question.answer)
        dearest, unknown = 0, False
        for provider, model in question.targets:
            cost = await self._prices.of(provider, [model] if model else [], tokens, record.opened_at)
            unknown = unknown or cost.amount is None
            dearest = max(dearest, cost.amount or 0)
        return None if unknown and not dearest else dearest

    def _rejected(self, refusals: Sequence[LimitReached]) -> LimitReached:
        """The one that lasts longest: whoever waits for it has waited for all."""
        longest = max(
            refusals, key=lambda error: math.inf if error.retry_after is None else error.retry_after
        )
        self._rejections.labels(longest.limit).inc()
        return longest


def duration(seconds: float) -> str:
    """As OpenAI tells it: 250ms, 12s, 1m0s."""
    if 0 < seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _narrowest(accounts: Sequence[Account], kind: Kind, now: float) -> Left | None:
    narrowest: Left | None = None
    for account in accounts:
        left = account.left(kind, now)
        if left and (narrowest is None or left.remaining < narrowest.remaining):
            narrowest = left
    return narrowest


def _granted(limits: Configured) -> Grant:
    return Grant(
        limits=Limits(
            limits.requests_per_minute or None, limits.tokens_per_minute or None, limits.turns_at_once or None
        ),
        budget=Budget(limits.budget_day or None, limits.budget_month or None),
    )
