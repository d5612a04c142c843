"""The whole service on one page: its parts, its routes, its middleware, its start and its end."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp_cors
from aiohttp import web

from service.context import CONTEXT, Context
from service.handlers.accounts import Accounts
from service.handlers.catalog import Catalog
from service.handlers.conversation import Conversations
from service.handlers.operations import Operations
from service.handlers.pages import Pages
from service.handlers.reference import Reference
from service.handlers.rendering import Rendering
from service.handlers.turns import Resumption
from service.middleware import MIDDLEWARE
from service.middleware.errors import add_headers
from service.providers.auto import Auto
from service.providers.registry import Registry
from service.providers.roster import roster
from service.routes import Route, mount
from service.settings import Settings
from service.stores.database import Database
from service.stores.journal import Journal
from service.stores.ledger import Ledger
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.admission import Turns
from service.turns.books import Books

GROUPS = (Pages, Catalog, Conversations, Resumption, Accounts, Rendering, Operations)


def create_app(settings: Settings) -> web.Application:
    """The application; nothing is opened before it starts."""
    app = web.Application(middlewares=MIDDLEWARE, client_max_size=settings.server.body_limit)
    app[CONTEXT] = context = assemble(settings)
    mount(app, table(context))
    _allow(app, settings.server.origins)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_turns)
    app.cleanup_ctx.append(_running)
    return app


def assemble(settings: Settings) -> Context:
    """The parts, put together."""
    tasks, metrics = Tasks(), Metrics()
    upstream, url = settings.upstream, settings.database.url or f"sqlite:///{settings.state}/causerie.db"
    database = Database(url, settings.database.linger, tasks)
    ledger = Ledger(database)
    registry = Registry(
        roster(settings), metrics, refresh=upstream.models_refresh, probe_timeout=upstream.probe_timeout
    )
    auto = Auto(registry, settings.default_model or None)
    metrics.queue.set_function(lambda: database.waiting)
    books = Books(database, ledger, Journal(database), settings.database.settle_timeout)
    turns = Turns(registry, auto, ledger, books, tasks, metrics, settings.stream.keep)
    return Context(
        settings, tasks, metrics, database, ledger, registry, auto, turns, time.time(), asyncio.Event()
    )


def table(context: Context) -> dict[str, Route]:
    """Every route of the service by its path."""
    routes = {path: route for group in GROUPS for path, route in group(context).routes.items()}
    routes |= Reference(routes).routes
    return routes


async def _running(app: web.Application) -> AsyncIterator[None]:
    """Opens what must be open, from the ground up, and closes it the other way round."""
    context = app[CONTEXT]
    await context.database.open()
    try:
        await context.turns.open()
        await context.registry.open(context.tasks)
        yield
        await context.registry.close()
    finally:
        await context.database.close()
        await context.tasks.close()


async def _end_turns(app: web.Application) -> None:
    context = app[CONTEXT]
    await context.turns.close(context.settings.server.shutdown_timeout)


def _allow(app: web.Application, origins: tuple[str, ...]) -> None:
    """Lets pages of these origins call every route; with none of them, no browser is told anything."""
    if not origins:
        return
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers="*",
        expose_headers=["x-turn-id", "x-request-id"],
        max_age=600,
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for resource in list(app.router.resources()):
        cors.add(resource)
        for route in list(resource):
            if route.method != "HEAD":
                cors.add(route)
