"""The backend-api v2 on the wire: server-sent events, or JSON lines for web clients of before 2025-12-24."""

from collections.abc import Mapping

import msgspec

from service.events import Batch, Event, Resumable

RETRY_MILLISECONDS = 1000
"""When to come back after the service has sent a reader away; it is starting again."""

_encode = msgspec.json.Encoder().encode
_heads = {kind: f"event: {kind.__struct_config__.tag}\ndata: ".encode() for kind in Event.__subclasses__()}
_heads[Resumable] = b"retry: %d\n" % RETRY_MILLISECONDS + _heads[Resumable]


class EventStream:
    """`id: <epoch>-<index>`, `event: <type>`, `data: <JSON>`: the web clients' parser looks at the data only.

    The epoch changes when a log had to be rebuilt: an id of another one does not say what was read.
    """

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = {}
    heartbeat = b": ping\n\n"

    __slots__ = ("_id",)

    def __init__(self, epoch: str) -> None:
        self._id = f"id: {epoch}-".encode()

    def encode(self, events: Batch, first: int) -> bytes:
        id = self._id
        return b"".join(
            [
                b"%b%d\n%b%b\n\n" % (id, index, _heads[type(event)], _encode(event))
                for index, event in enumerate(events, first)
            ]
        )

    def aside(self, event: Event) -> bytes:
        return _heads[type(event)] + _encode(event) + b"\n\n"

    def end(self) -> bytes:
        return b""


class JsonLines:
    """One JSON object a line; the clients that read it trip over everything else, comments included.

    Blanks before an object are no more to any of them than the white space that JSON allows there.
    """

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = {}
    heartbeat = b" "

    def encode(self, events: Batch, first: int) -> bytes:
        return b"".join([_encode(event) + b"\n" for event in events])

    def aside(self, event: Event) -> bytes:
        return _encode(event) + b"\n"

    def end(self) -> bytes:
        return b""
