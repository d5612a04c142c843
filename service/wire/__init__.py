"""Event -> bytes, without I/O: a file here is a wire format."""

from typing import Protocol

from service.events import Batch


class Wire(Protocol):
    """Turns the events of one stream into bytes and knows nothing else; one instance serves one stream."""

    content_type: str
    heartbeat: bytes
    """What is sent in silence; empty where the format has no room for it."""

    def encode(self, events: Batch) -> bytes: ...

    def end(self) -> bytes:
        """What closes the stream."""
        ...
