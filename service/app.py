"""The whole service on one page: its parts, its routes, its middleware, its start and its end."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import aiohttp_cors
from aiohttp import web

from service.context import CONTEXT, Context
from service.documents.extraction import Extractor
from service.handlers.accounts import Accounts
from service.handlers.books import Bookkeeping
from service.handlers.catalog import Catalog
from service.handlers.chats import KeptChats
from service.handlers.completions import Completions
from service.handlers.conversation import Conversations
from service.handlers.cookies import Cookies
from service.handlers.create import Creation
from service.handlers.endpoints import Endpoints
from service.handlers.files import Files
from service.handlers.interchange import Interchange
from service.handlers.keys import Administration
from service.handlers.media import Media as GeneratedMedia
from service.handlers.messages import Messages
from service.handlers.models import Models
from service.handlers.operations import Operations
from service.handlers.pages import Pages
from service.handlers.persons import Persons
from service.handlers.quota import Quotas
from service.handlers.reference import Reference
from service.handlers.rendering import Rendering
from service.handlers.responses import Responses
from service.handlers.session import Session
from service.handlers.shares import SharedChats
from service.handlers.speech import Speeches
from service.handlers.transcription import Transcription
from service.handlers.turns import Resumption
from service.handlers.uichat import UIChat
from service.handlers.v1_files import FileObjects
from service.issuer import Issuer
from service.middleware import MIDDLEWARE
from service.middleware.errors import add_headers
from service.middleware.identity import LOCAL
from service.providers.auto import Auto
from service.providers.circuit import Circuit
from service.providers.fetching import Fetcher
from service.providers.registry import Registry
from service.providers.roster import roster
from service.routes import Route, mount
from service.settings import SECRET, Settings
from service.silence import Silence
from service.speakers.encoding import Encoders
from service.speakers.language import Languages
from service.speakers.roster import roster as speakers
from service.stores.blobs import blobs_at
from service.stores.buckets import Buckets
from service.stores.chats import Chats
from service.stores.database import Database
from service.stores.generated import Generated
from service.stores.journal import Journal
from service.stores.keys import Keys
from service.stores.ledger import Ledger
from service.stores.passages import Passages
from service.stores.prices import Prices
from service.stores.recordings import Recordings
from service.stores.retention import retain, retain_chats
from service.stores.secret import Secret
from service.stores.shares import Shares
from service.stores.vectors import Vectors
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.admission import Turns
from service.turns.attachments import Attachments
from service.turns.books import Books
from service.turns.chats import Scribe
from service.turns.copies import Copier
from service.turns.downloads import AT_ONCE, Downloads
from service.turns.excerpts import Excerpts
from service.turns.filing import Filing
from service.turns.indexing import Indexing
from service.turns.limits import Limiter
from service.turns.meanings import Meanings
from service.turns.media import Media
from service.turns.speech import Speech

log = logging.getLogger(__name__)

GROUPS = (
    Pages,
    Catalog,
    Conversations,
    Creation,
    Quotas,
    Completions,
    Messages,
    Models,
    Endpoints,
    Speeches,
    Transcription,
    Responses,
    UIChat,
    Resumption,
    Files,
    FileObjects,
    GeneratedMedia,
    Cookies,
    KeptChats,
    SharedChats,
    Interchange,
    Accounts,
    Bookkeeping,
    Persons,
    Session,
    Administration,
    Rendering,
    Operations,
)


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
    upstream, url = settings.upstream, settings.database_url
    database = Database(url, settings.database.linger, tasks)
    secret = Secret(settings.state, settings.secrets.get(SECRET))
    keys = Keys(database, secret)
    ledger = Ledger(database)
    registry = Registry(
        roster(settings), metrics, refresh=upstream.models_refresh, probe_timeout=upstream.probe_timeout
    )
    auto = Auto(registry, settings.aliases, settings.default_model, settings.routing, metrics)
    metrics.queue.set_function(lambda: database.waiting)
    prices = Prices(registry, settings.providers)
    books = Books(database, ledger, Journal(database), prices, settings.database.settle_timeout)
    limiter = Limiter(settings.limits, settings.user_limits, keys, prices, database, metrics)
    extractor = Extractor(settings.documents, tasks)
    blobs = blobs_at(settings.files.url, settings.files_directory)
    filing = Filing(Buckets(database), blobs, extractor, settings.files, tasks)
    shares = Shares(database, settings.chats.share_quota)
    filing.released.append(shares.remove)
    filing.sweeps.append(shares.sweep)
    fetcher = Fetcher(settings.files.media_hosts, upstream.connect_timeout)
    media = Media(filing, Generated(database), fetcher)
    if settings.files.downloads:
        downloads = Downloads(filing, fetcher, settings.files.downloads, settings.documents.timeout)
        filing.reading.fetch = downloads.fetch
        filing.workers += [filing.reading.run_fetching] * AT_ONCE
    copier = Copier(media, settings.files, tasks)
    attached = _attachments(filing, Passages(database), extractor, registry, settings)
    chats = Chats(database, settings.chats)
    turns = Turns(
        registry,
        auto,
        keys,
        ledger,
        books,
        limiter,
        copier,
        attached,
        Scribe(chats),
        tasks,
        metrics,
        settings.stream.keep,
        settings.chats,
    )
    if meanings := _meanings(database, registry, turns, settings, metrics):
        attached.excerpts.near = meanings.near
        filing.reading.after.append(meanings.add)
        filing.sweeps.append(meanings.resume)
        filing.workers.append(meanings.run)
    recordings = Recordings(settings.state / "voices", settings.speech.cache_size, secret)
    speech = Speech(settings, speakers(settings), Encoders(), Languages(), recordings, turns, tasks, metrics)
    context = Context(
        settings=settings,
        tasks=tasks,
        metrics=metrics,
        database=database,
        keys=keys,
        issuer=Issuer(settings.keys, tasks) if settings.keys.jwt_issuer else None,
        ledger=ledger,
        registry=registry,
        auto=auto,
        limiter=limiter,
        turns=turns,
        speech=speech,
        filing=filing,
        media=media,
        chats=chats,
        shares=shares,
        silence=Silence(settings.stream.heartbeat * 0.9),  # it is noticed up to a tenth late
        started_at=time.time(),
        draining=asyncio.Event(),
    )
    # Web clients name their user when they ask, and not when they upload.
    attached.common = lambda: None if context.needs_key else LOCAL
    return context


def _attachments(
    filing: Filing, passages: Passages, reader: Extractor, registry: Registry, settings: Settings
) -> Attachments:
    """What is read is indexed, what is removed is forgotten, and questions find both."""
    indexing = Indexing(filing.buckets, passages)
    filing.reading.after.append(indexing.index)
    filing.deleted.append(indexing.drop)
    filing.sweeps.append(indexing.sweep)
    return Attachments(filing, Excerpts(filing.texts, passages), reader, registry, settings.files)


def _meanings(
    database: Database, registry: Registry, turns: Turns, settings: Settings, metrics: Metrics
) -> Meanings | None:
    """None where the settings name nobody, or somebody who cannot."""
    model, limits = settings.files.embeddings, settings.files
    if not model:
        return None
    name = model.partition("/")[0]
    if name not in registry or not hasattr(registry[name], "embed"):
        log.warning("files.embeddings: %s makes no embeddings here; words alone rank passages", name)
        return None
    circuit = Circuit(f"embeddings:{name}", settings.routing, metrics)
    return Meanings(Vectors(database, model), registry[name], turns, circuit, limits)


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
        await context.keys.refresh()
        context.keys.watch(context.tasks, context.turns.end_refused)
        if context.issuer:
            context.issuer.open()
        await context.turns.open()
        await context.speech.open()
        await context.filing.open(context.settings.documents.processes)
        await context.registry.open(context.tasks)
        context.tasks.start(retain(context.database, context.settings.ledger.keep), "retention of records")
        context.tasks.start(retain_chats(context.chats, context.settings.chats.keep), "retention of chats")
        yield
        await context.registry.close()
    finally:
        await context.speech.close()
        await context.media.close()
        await context.filing.close()
        await context.keys.close()
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
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
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
