"""Event -> bytes, without I/O: a file here is a wire format."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from service.events import Batch, Event

Fold: TypeAlias = Callable[[Sequence[Event]], object]
"""A whole log, which has not failed, as the one JSON answer of a request that does not stream."""


class Wire(Protocol):
    """Turns the events of one stream into bytes and knows nothing else; one instance serves one stream."""

    content_type: str
    headers: Mapping[str, str]
    """Of the response, beside those that every stream has."""
    heartbeat: bytes
    """What is sent in silence; empty where the format has no room for it."""

    def encode(self, events: Batch, first: int) -> bytes:
        """Events of the log; `first` is the index of the first of them."""
        ...

    def aside(self, event: Event) -> bytes:
        """An event that is no part of the log, but belongs to this connection."""
        ...

    def end(self) -> bytes:
        """What closes the stream."""
        ...
