"""What request headers say about who asks, and in which form he wants his answer."""

import re
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from service.errors import BadRequest
from service.turns.turn import OnDisconnect, Terms

KEY = re.compile(r"[\x21-\x7e]{1,255}")
UNDERSCORED = ("x_user", "x_secret", "x_api_key", "x_api_base", "x_ignored")


def legacy(headers: Mapping[str, str], setting: str) -> bool:
    """Whether this is a web client of before 2025-12-24, by `server.legacy`.

    "auto" looks for headers that are spelled with underscores, as before 2025-09. "on" takes everybody for
    one who sends no Idempotency-Key: that is for coming back, by ids, and what such clients read has none.
    """
    if setting == "on":
        return "Idempotency-Key" not in headers
    return setting == "auto" and any(name in headers for name in UNDERSCORED)


def prefers_text(headers: Mapping[str, str]) -> bool:
    """Whether plain text is named in `Accept`, and JSON not before it."""
    accept = headers.get("Accept", "")
    return "text/plain" in accept.partition("application/json")[0]


def wants_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser asks."""
    return "text/html" in headers.get("Accept", "")


def wants_lines(headers: Mapping[str, str]) -> bool:
    return "application/x-ndjson" in headers.get("Accept", "")


def left(headers: Mapping[str, str]) -> OnDisconnect | None:
    """X-On-Disconnect: what becomes of a turn that nobody reads. Raises `BadRequest`."""
    match headers.get("X-On-Disconnect"):
        case None:
            return None
        case "cancel" | "wait" | "detach" as choice:
            return choice
        case other:
            raise BadRequest(f"X-On-Disconnect is cancel, wait or detach, not {other!r}.", "x-on-disconnect")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Idempotency-Key; raises `BadRequest`."""
    key = headers.get("Idempotency-Key")
    if key is None or KEY.fullmatch(key):
        return key
    raise BadRequest("An Idempotency-Key has 1 to 255 printable ASCII characters.", "idempotency-key")


def terms(
    headers: Mapping[str, str],
    grace: float,
    body: msgspec.Struct,
    on_disconnect: OnDisconnect | None = None,
    request: bytes | None = None,
    chat: str | None = None,
) -> Terms:
    """How the turn that `body` asks for is held; what the headers leave open is `on_disconnect`."""
    key = idempotency_key(headers)
    return Terms(
        on_disconnect=left(headers) or on_disconnect or ("wait" if key else "cancel"),
        grace=grace,
        idempotency_key=key,
        digest=sha256(msgspec.json.encode(body)).hexdigest() if key else None,
        request=request,
        chat=chat,
    )
