"""The ways in: how a key is shown."""

import base64
from collections.abc import Callable, Mapping

from service.context import SESSION
from service.stores.keys import Key
from tests.serving import Service

Headers = Mapping[str, str]
Way = Callable[[str], Headers]


def bearer(text: str) -> Headers:
    return {"Authorization": f"Bearer {text}"}


def basic(text: str) -> Headers:
    """As a password; the user's name may be any."""
    credentials = base64.b64encode(f"anybody:{text}".encode(errors="surrogateescape"))
    return {"Authorization": f"Basic {credentials.decode()}"}


def x_api_key(text: str) -> Headers:
    return {"x-api-key": text}


def cookie(session: str) -> Headers:
    return {"Cookie": f"{SESSION}={session}"}


def logged_in(service: Service, key: Key, seconds: float = 60) -> Headers:
    """As a browser that has logged in, on our own page."""
    session = service.context.keys.session(key, service.context.started_at + seconds)
    return {**cookie(session), "Origin": service.url}
