"""Who vouches for users beside keys: an issuer of JSON Web Tokens.

Source: RFC 7519 (tokens), RFC 7517 (its keys), OpenID Connect Discovery 1.0 (where these are).
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from msgspec import Struct

from service.settings import Keys
from service.tasks import Tasks

if TYPE_CHECKING:  # loaded where an issuer is configured: 0.2 s
    from jwt import PyJWK

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256")
NEEDED = ("exp", "iss", "aud", "sub")
LEEWAY = 30.0
"""Seconds by which its clock and ours may differ."""
REFRESH_SECONDS = 3_600.0
PAUSE, PAUSE_AFTER_FAILURE = 60.0, 5.0
"""Seconds in which nobody can make us ask it again, whatever keys his tokens name."""
PATIENCE = 5.0
LARGEST = 1_000_000
LONGEST_NAME = 200


class Bearer(Struct, frozen=True):
    """Whom a token is about."""

    user: str
    admin: bool


class Configuration(Struct, frozen=True):
    """What of the issuer's own description matters."""

    issuer: str
    jwks_uri: str


class Issuer:
    """Its public keys, and what they have signed."""

    def __init__(self, settings: Keys, tasks: Tasks) -> None:
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._claim, _, self._value = settings.jwt_admin_claim.rpartition(":")
        self._tasks = tasks
        self._keys: dict[str | None, PyJWK] = {}
        self._asking: asyncio.Task[None] | None = None
        self._not_before = 0.0

    def open(self) -> None:
        """Learns its keys in the background, and again every hour."""
        self._tasks.start(self._keep_fresh(), "keys of the issuer")

    async def bearer(self, token: str) -> Bearer | None:
        """Whom a token is about; None for one that is not the issuer's, not for us, or over."""
        import jwt

        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": list(NEEDED)},
            )
        except (jwt.PyJWTError, LookupError, ValueError):
            return None
        user = claims["sub"]
        if not user.strip() or not user.isprintable() or len(user.encode(errors="replace")) > LONGEST_NAME:
            return None
        return Bearer(user, bool(self._claim) and self._value in _values(claims, self._claim))

    async def _key(self, id: str | None) -> "PyJWK":
        """Raises `LookupError` for a key that the issuer does not have, as far as we know."""
        if id not in self._keys:
            await self._refresh()
        return self._keys[id]

    async def _keep_fresh(self) -> None:
        while True:
            await self._refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _refresh(self) -> None:
        """Asks at most once in a while, for everybody who waits; goes on when one of them leaves."""
        if self._asking is None and time.monotonic() >= self._not_before:
            self._asking = self._tasks.start(self._ask(), "keys of the issuer")
        if self._asking is not None:
            await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        import jwt

        pause = PAUSE_AFTER_FAILURE
        try:
            self._keys = _usable(await self._published())
            pause = PAUSE
        except (aiohttp.ClientError, OSError, ValueError, msgspec.MsgspecError, jwt.PyJWTError) as error:
            log.error("The keys of %s cannot be had: %s", self._issuer, str(error) or type(error).__name__)
        finally:
            self._not_before, self._asking = time.monotonic() + pause, None

    async def _published(self) -> dict[str, Any]:
        """Its keys as it publishes them, a JWK Set."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            described = msgspec.json.decode(await _body(http, address), type=Configuration)
            if described.issuer != self._issuer:
                raise ValueError(f"it calls itself {described.issuer!r}. Set keys.jwt_issuer to that.")
            if self._issuer.startswith("https:") and not described.jwks_uri.startswith("https:"):
                raise ValueError(
                    f"they are at {described.jwks_uri!r}, which anybody could change on the way."
                )
            return msgspec.json.decode(await _body(http, described.jwks_uri), type=dict[str, Any])


async def _body(http: aiohttp.ClientSession, address: str) -> bytes:
    """Raises `ValueError` for one that is too large."""
    async with http.get(address, allow_redirects=False, raise_for_status=True) as answer:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > LARGEST:
                raise ValueError(f"{address} has more than {LARGEST} bytes.")
        return bytes(body)


def _usable(published: dict[str, Any]) -> "dict[str | None, PyJWK]":
    """Those with which tokens are signed in one of our ways, by their ids; a single one needs none."""
    from jwt import PyJWKSet

    keys = [
        key
        for key in PyJWKSet.from_dict(published).keys
        if key.algorithm_name in ALGORITHMS and key.public_key_use in {None, "sig"}
    ]
    by_id: dict[str | None, PyJWK] = {key.key_id: key for key in keys}
    return by_id | {None: keys[0]} if len(keys) == 1 else by_id


def _values(claims: Mapping[str, Any], name: str) -> list[Any]:
    """A claim's values; a name with dots leads into the claims within, unless there is one of this name."""
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, list) else [found]
