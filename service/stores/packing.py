"""Events -> bytes for the database, and back: runs of plain text, most of a log, become lists of pieces."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

import msgspec
from msgspec import Struct

from service.events import Content, Event


class Run(Struct, frozen=True, tag="run"):
    """Neighbouring `Content` events that are nothing but text."""

    run: list[str]


_PACKED: Any = list[reduce(or_, Event.__subclasses__(), Run)]  # type: ignore[misc]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_PACKED).decode


def packed(events: Iterable[Event]) -> bytes:
    """The events, each still there by itself: an index into a log stays one."""
    parts: list[Event | Run] = []
    for event in events:
        if not (isinstance(event, Content) and event == Content(event.content)):
            parts.append(event)
        elif parts and isinstance(parts[-1], Run):
            parts[-1].run.append(event.content)
        else:
            parts.append(Run([event.content]))
    return _encode(parts)


def unpacked(data: bytes) -> list[Event]:
    """What was packed."""
    events: list[Event] = []
    for part in _decode(data):
        events += map(Content, part.run) if isinstance(part, Run) else [part]
    return events
