"""The backend-api v2 on the wire: server-sent events, or JSON lines for web clients of before 2025-12-24."""

import msgspec

from service.events import Batch, Event

_encode = msgspec.json.Encoder().encode
_heads = {kind: f"event: {kind.__struct_config__.tag}\ndata: ".encode() for kind in Event.__subclasses__()}


class EventStream:
    """`event: <type>\\ndata: <JSON>\\n\\n`, the frames that the web clients' own parser understands."""

    content_type = "text/event-stream; charset=utf-8"
    heartbeat = b": ping\n\n"

    def encode(self, events: Batch) -> bytes:
        return b"".join([_heads[type(event)] + _encode(event) + b"\n\n" for event in events])

    def end(self) -> bytes:
        return b""


class JsonLines:
    """One JSON object a line; the clients that read it trip over everything else, comments included."""

    content_type = "text/event-stream; charset=utf-8"
    heartbeat = b""

    def encode(self, events: Batch) -> bytes:
        return b"".join([_encode(event) + b"\n" for event in events])

    def end(self) -> bytes:
        return b""
