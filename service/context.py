"""What handlers are built from, and what middleware and routes leave for each other in a request."""

import asyncio

from aiohttp import web
from msgspec import Struct

from service.providers.auto import Auto
from service.providers.registry import Registry
from service.settings import Settings
from service.stores.database import Database
from service.stores.ledger import Ledger, Record
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.admission import Turns

VERSION = "0.1.0"


class Context(Struct, frozen=True):
    """The parts of one running service."""

    settings: Settings
    tasks: Tasks
    metrics: Metrics
    database: Database
    ledger: Ledger
    registry: Registry
    auto: Auto
    turns: Turns
    started_at: float
    draining: asyncio.Event
    """Set when the service has been told to stop."""


class Caller(Struct, frozen=True):
    """Who asks; `admin` may see what others used."""

    user: str
    admin: bool


CONTEXT = web.AppKey("context", Context)
CALLER = web.RequestKey("caller", Caller)
RECORD = web.RequestKey("record", Record)
REQUEST_ID = web.RequestKey("request_id", str)
STARTED = web.RequestKey("started", bool)
"""The response has begun: what goes wrong now can no longer become a status."""
