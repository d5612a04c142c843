"""What limits are held against: what the last minute has taken, what a day and its month have cost."""

import math
from collections import deque
from datetime import date

MINUTE = 60.0


class Share:
    """What one turn has taken of a window, and when."""

    __slots__ = ("amount", "at")

    def __init__(self, amount: int, at: float) -> None:
        self.amount, self.at = amount, at


class Window:
    """What was taken within the last minute, exactly: each share leaves it a minute after it was taken.

    The library for this, `limits`, keeps an entry for every single token and takes nothing back; here a turn
    is one entry, which is corrected once it is known what it has used. `now` is any clock that only goes on.
    """

    __slots__ = ("_shares", "_taken")

    def __init__(self) -> None:
        self._shares: deque[Share] = deque()
        self._taken = 0

    def taken(self, now: float) -> int:
        while self._shares and _is_past(self._shares[0], now):
            self._taken -= self._shares.popleft().amount
        return self._taken

    def wait(self, amount: int, limit: int, now: float) -> float:
        """In how many seconds so much more fits: 0 where it does, infinite where it never will."""
        excess = self.taken(now) + amount - limit
        if excess <= 0:
            return 0.0
        for share in self._shares:
            excess -= share.amount
            if excess <= 0:
                return share.at + MINUTE - now
        return math.inf

    def clear_in(self, now: float) -> float:
        """In how many seconds nothing of it is taken any more."""
        if not self.taken(now):
            return 0.0
        return next(share.at for share in reversed(self._shares) if share.amount) + MINUTE - now

    def take(self, amount: int, now: float) -> Share:
        share = Share(amount, now)
        self.taken(now)
        self._shares.append(share)
        self._taken += amount
        return share

    def correct(self, share: Share, amount: int, now: float) -> None:
        """It was `amount`: what is less is given back, what is more is taken now."""
        self.taken(now)
        more = amount - share.amount
        if more > 0:
            self.take(more, now)
        elif not _is_past(share, now):
            share.amount += more
            self._taken += more


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
        if _month(on) >= _month(self.today):
            self.month += amount


def _is_past(share: Share, now: float) -> bool:
    return now - share.at >= MINUTE


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month
