"""What handlers are built from, and what middleware and routes leave for each other in a request."""

import asyncio

from aiohttp import web
from msgspec import Struct

from service.issuer import Issuer
from service.providers.auto import Auto
from service.providers.registry import Registry
from service.settings import Settings
from service.silence import Silence
from service.stores.chats import Chats
from service.stores.database import Database
from service.stores.keys import EVERYTHING, Grant, Keys
from service.stores.ledger import Ledger, Record
from service.stores.shares import Shares
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.admission import Turns
from service.turns.filing import Filing
from service.turns.limits import Limiter
from service.turns.media import Media
from service.turns.speech import Speech

VERSION = "0.1.0"


class Context(Struct, frozen=True):
    """The parts of one running service."""

    settings: Settings
    tasks: Tasks
    metrics: Metrics
    database: Database
    keys: Keys
    issuer: Issuer | None
    ledger: Ledger
    registry: Registry
    auto: Auto
    limiter: Limiter
    turns: Turns
    speech: Speech
    filing: Filing
    media: Media
    chats: Chats
    shares: Shares
    silence: Silence
    """Of streams, which is broken by a sign of life."""
    started_at: float
    draining: asyncio.Event
    """Set when the service has been told to stop."""

    @property
    def needs_key(self) -> bool:
        """Whether who comes without a key, or a token of the issuer's, is nobody."""
        return bool(self.keys) or self.issuer is not None


class Caller(Struct, frozen=True):
    """Who asks; `admin` may see what others used. `key` is the id of the key he came with, if he did."""

    user: str
    admin: bool
    key: str | None = None
    grant: Grant = EVERYTHING
    anonymous: bool = False
    """Nobody knows who it is, and somebody should: only what is for anyone is for him."""


CONTEXT = web.AppKey("context", Context)
CALLER = web.RequestKey("caller", Caller)
RECORD = web.RequestKey("record", Record)
SESSION = "causerie_session"
"""The cookie of a browser that has logged in."""
REQUEST_ID = web.RequestKey("request_id", str)
STARTED = web.RequestKey("started", bool)
"""The response has begun: what goes wrong now can no longer become a status."""
