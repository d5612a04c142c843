"""Event -> bytes, without I/O: a file here is a wire format."""

from typing import Protocol

from service.events import Batch, Event


class Wire(Protocol):
    """Turns the events of one stream into bytes and knows nothing else; one instance serves one stream."""

    content_type: str
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
