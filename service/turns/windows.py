"""What limits are held against: what the last minute has taken, what a day and its month have cost."""

import math
from collections import deque
from datetime import date
from typing import Literal

from msgspec import Struct

MINUTE = 60.0

Kind = Literal["requests", "tokens"]


class Share(Struct, gc=False):
    """What one turn has taken of a minute, and when."""

    at: float
    requests: int
    tokens: int


class Window:
    """What was taken within the last minute, exactly: each share leaves it a minute after it was taken.

    The library for this, `limits`, keeps an entry for every single token and takes nothing back; here a turn
    is one entry, which is corrected once it is known what it has used. `now` is any clock that only goes on;
    `requests` and `tokens` are what was taken when it was last passed to.
    """

    __slots__ = ("_shares", "requests", "tokens")

    def __init__(self) -> None:
        self._shares: deque[Share] = deque()
        self.requests = self.tokens = 0

    def pass_to(self, now: float) -> None:
        """Lets go of what was taken a minute before."""
        shares = self._shares
        while shares and now - shares[0].at >= MINUTE:
            past = shares.popleft()
            self.requests -= past.requests
            self.tokens -= past.tokens

    def wait(self, kind: Kind, excess: int, now: float) -> float:
        """In how many seconds so much of what is taken will have gone; infinite where it never will."""
        for share in self._shares:
            excess -= getattr(share, kind)
            if excess <= 0:
                return share.at + MINUTE - now
        return math.inf

    def clear_in(self, kind: Kind, now: float) -> float:
        """In how many seconds nothing of it is taken any more."""
        for share in reversed(self._shares):
            if getattr(share, kind):
                return share.at + MINUTE - now
        return 0.0

    def take(self, share: Share) -> None:
        self._shares.append(share)
        self.requests += share.requests
        self.tokens += share.tokens

    def correct(self, share: Share, requests: int, tokens: int, now: float) -> None:
        """It was so much: what is less is given back, tokens that are more are taken now."""
        if tokens > share.tokens:
            self.take(Share(now, 0, tokens - share.tokens))
            tokens = share.tokens
        if now - share.at < MINUTE:
            self.requests += requests - share.requests
            self.tokens += tokens - share.tokens
            share.requests, share.tokens = requests, tokens


class Purse:
    """What a local day and its month have cost, in billionths of a US dollar, with what running turns may."""

    __slots__ = ("day", "month", "today")

    def __init__(self, today: date, day: int = 0, month: int = 0) -> None:
        self.today, self.day, self.month = today, day, month

    def turn_to(self, today: date) -> None:
        """A clock that is put back changes nothing: what is spent stays spent."""
        if today > self.today:
            self.day = 0
            self.month = self.month if _month(today) == _month(self.today) else 0
            self.today = today

    def add(self, amount: int, on: date) -> None:
        """Counts where that day, or its month, is not over."""
        if on >= self.today:
            self.day += amount
            self.month += amount
        elif _month(on) == _month(self.today):
            self.month += amount


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month
