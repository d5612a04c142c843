"""The circuit of a provider: who fails again and again is left out for a while, then tried with one request.

Whether a provider answers for its models is another fact, which the registry keeps.
"""

import asyncio
import logging
from math import ceil
from typing import Literal

from service.errors import ServiceError
from service.settings import Routing
from service.telemetry import Metrics

log = logging.getLogger(__name__)

State = Literal["closed", "half-open", "open"]
LEVELS: dict[State, int] = {"closed": 0, "half-open": 1, "open": 2}

LONGEST_REST = 3600.0
"""Seconds; a provider that asks for more rest is asked again nonetheless."""


class Circuit:
    """What is known of one provider from the questions that it was asked.

    Whole answers close it. A first word closes it as well, but forgets nothing: the next failure opens it
    again.
    """

    def __init__(self, name: str, routing: Routing, metrics: Metrics) -> None:
        self._name, self._allowed, self._cool_down = name, routing.failures, routing.cool_down
        self._attempts = metrics.attempts
        self._failures, self._last = 0, ""
        self._opened_at: float | None = None
        self._probing = False
        self._rested_at = self._rests_until = 0.0
        metrics.circuit.labels(name).set_function(lambda: LEVELS[self.state])

    @property
    def state(self) -> State:
        if self._opened_at is None:
            return "closed"
        return "open" if _now() < self._opened_at + self._cool_down else "half-open"

    @property
    def rest(self) -> float:
        """For how many seconds the provider wants to be left alone."""
        return max(0.0, self._rests_until - _now())

    @property
    def free(self) -> bool:
        """Whether a question that others can answer may go to it: never two to one that is being tried."""
        state = self.state
        return not self.rest and (state == "closed" or (state == "half-open" and not self._probing))

    @property
    def reason(self) -> str | None:
        """Why it is left out, None where it is not; not in its own words, which may repeat a question."""
        if self.state != "closed":
            return (
                f"It is left out for a while: {self._failures} failures in a row, the last one {self._last}."
            )
        return f"It wants to be left alone for another {ceil(self.rest)} s." if self.rest else None

    def leave_alone(self, seconds: float) -> None:
        self._rested_at = _now()
        self._rests_until = self._rested_at + min(seconds, LONGEST_REST)

    def asked(self) -> "Question":
        """Held while the provider answers; its `heard` is to be called at the first word.

        The first question while it is half-open is the one that tries.
        """
        tries = self.state == "half-open" and not self._probing
        self._probing |= tries
        return Question(self, tries)

    def heard(self, began: float) -> None:
        """A question that began then has got its first word."""
        self._close(began, self._allowed - 1)

    def ended(self, question: "Question", error: BaseException | None) -> None:
        outcome = "stopped"
        if error is None:
            self._close(question.began, 0)
            outcome = "answered"
        elif isinstance(error, ServiceError):
            outcome = type(error).code
            if error.outage:
                self._fail(error)
        self._attempts.labels(self._name, outcome).inc()
        if question.tries:
            self._probing = False

    def _close(self, began: float, failures: int) -> None:
        """What was asked before it opened, or wanted to rest, says nothing about now."""
        if began >= self._rested_at:
            self._rests_until = 0.0
        if self._opened_at is not None and began < self._opened_at:
            return
        if self._opened_at is not None:
            log.info("%s answers again", self._name)
        self._failures, self._opened_at = min(self._failures, failures), None

    def _fail(self, error: ServiceError) -> None:
        if self.state == "open":
            return
        self._failures, self._last = self._failures + 1, error.code
        if self._failures >= self._allowed:
            self._opened_at = _now()
            said = "%s is left out for %g s after %d failures in a row, the last one %s"
            log.warning(said, self._name, self._cool_down, self._failures, self._last)


class Question:
    """The context of one question; no generator, for a frame is kept as long as a stream."""

    __slots__ = ("_circuit", "began", "tries")

    def __init__(self, circuit: Circuit, tries: bool) -> None:
        self._circuit, self.tries, self.began = circuit, tries, _now()

    def __enter__(self) -> "Question":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._circuit.ended(self, error)

    def heard(self) -> None:
        """The first word has come."""
        self._circuit.heard(self.began)


def _now() -> float:
    return asyncio.get_running_loop().time()
