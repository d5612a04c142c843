"""What is exchanged with any upstream: the fields of a question, the payloads of its answer."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from msgspec.structs import asdict

from service.events import Event
from service.messages import Generation

LIMITS = ("max_tokens", "max_completion_tokens")
"""Two names for one thing: whoever says one has not left out the other."""


class Framing(Protocol):
    """Finds the payloads in the bytes of a stream, whatever pieces they arrive in."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Those that this chunk completes."""
        ...

    def end(self) -> list[bytes]:
        """What a stream left behind that ended."""
        ...


class Reading(Protocol):
    """Turns the payloads of one answer into events."""

    done: bool
    """The upstream said that nothing follows."""

    def events(self, payloads: list[bytes]) -> list[Event]:
        """What these payloads say; one that makes no sense is skipped."""
        ...

    def left(self) -> list[Event]:
        """What was withheld to be judged later, as the text that it is: for an answer that has broken off."""
        ...

    def end(self) -> list[Event]:
        """What is left to say when the stream is over; raises `ServiceError` if it failed or broke off."""
        ...


def asked(generation: Generation, options: Mapping[str, Any]) -> dict[str, Any]:
    """How to answer, as far as that is said; options where the client is silent."""
    said = {name: value for name, value in asdict(generation).items() if value is not None}
    if not options:
        return said
    limited = "max_tokens" in said or "max_completion_tokens" in said
    return {name: value for name, value in options.items() if not (limited and name in LIMITS)} | said


def accepted(fields: dict[str, Any], refused: Collection[str]) -> dict[str, Any]:
    """The fields without those that are refused; a limit under a name that is refused moves to the other."""
    if not refused:
        return fields
    left = {name: value for name, value in fields.items() if name not in refused}
    for name, other in (LIMITS, LIMITS[::-1]):
        if name in fields and name not in left:
            left.setdefault(other, fields[name])
    return left


def joined(fields: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both; what both have is the first's, but for lists, which are joined."""
    if not more:
        return fields
    both = {
        name: [*fields[name], *value]
        for name, value in more.items()
        if isinstance(value, list) and isinstance(fields.get(name), list)
    }
    return {**more, **fields, **both}
