"""Silence that lasts for too long, of many at once."""

import asyncio
from time import monotonic
from typing import Protocol


class Listened(Protocol):
    """What may fall silent."""

    def silent(self) -> None:
        """It has been silent for too long, and is listened to no longer."""
        ...


class Silence:
    """Tells those that have been silent for some seconds, or for up to a tenth more.

    One timer serves all: each one's own would take 700 bytes, and moving it as long as a token.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._heard: dict[Listened, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def heard(self, one: Listened) -> None:
        """It has said something, or is listened to from now on."""
        self._heard[one] = monotonic()
        if self._timer is None:
            self._wait()

    def forget(self, one: Listened) -> None:
        self._heard.pop(one, None)

    def _look(self) -> None:
        self._wait()  # first, for one of them may fail
        last = monotonic() - self._seconds
        for one in [one for one, heard_at in self._heard.items() if heard_at <= last]:
            del self._heard[one]
            one.silent()

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds / 10, self._look) if self._heard else None
