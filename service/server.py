"""The process: it listens, says what is ready, and ends when it is told to."""

import asyncio
import errno
import signal
import sys
from contextlib import suppress
from ipaddress import ip_address

import uvloop
from aiohttp import http_parser, web

from service.app import create_app
from service.context import CONTEXT, VERSION, Context
from service.settings import Settings, SettingsError
from service.stores.database import DatabaseError
from service.telemetry import set_up_logs

BACKLOG = 2048


def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; raises `SettingsError` for what the operator must change first."""
    _refuse_open(settings)
    _assert_extensions()
    set_up_logs(settings.log.level, settings.log.format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except DatabaseError as error:
        raise SettingsError(error.message) from error
    return 0


async def serve(settings: Settings) -> None:
    """Listens until it is told to stop; told a second time, it ends as programs do."""
    runner = runner_of(settings)
    try:
        await runner.setup()
        await listen(runner, settings)
        context = runner.app[CONTEXT]
        context.tasks.start(_announce(context, runner.addresses), "announcement")
        await _told_to_stop()
    finally:
        await runner.cleanup()


def runner_of(settings: Settings) -> web.AppRunner:
    """The application and how it is spoken to."""
    return web.AppRunner(
        create_app(settings),
        handler_cancellation=True,  # a client that leaves is noticed at once
        auto_decompress=False,  # a small compressed body may be a very large one
        access_log=None,
        keepalive_timeout=settings.server.keepalive,
        shutdown_timeout=settings.server.shutdown_timeout,
    )


async def _told_to_stop() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)


async def listen(runner: web.AppRunner, settings: Settings) -> None:
    """Raises `SettingsError` when the address cannot be had."""
    site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                reason = "is taken. Stop what uses it, or choose another: CAUSERIE_PORT=8081."
            case errno.EACCES:
                reason = "is not yours to take. Choose one above 1023: CAUSERIE_PORT=8080."
            case _:
                reason = f"of {settings.host} cannot be had: {error.strerror or error}. Check host and port."
        raise SettingsError(f"Port {settings.port} {reason}") from error


async def _announce(context: Context, addresses: list[tuple[str, int]]) -> None:
    """Says where the service is at once, and who answers as soon as that is known."""
    host, port = addresses[0][:2]
    name = f"[{host}]" if ":" in host else host
    _say(f"Causerie {VERSION} is on http://{name}:{port}")
    await context.registry.probed.wait()
    live = [provider.label for provider in context.registry if context.registry.listing(provider.name).live]
    _say(f"Ready: {', '.join(live)}" if live else f"Nobody can answer yet. {_advice(context)}")


def _advice(context: Context) -> str:
    reasons = (context.registry.listing(provider.name).reason for provider in context.registry)
    return " ".join(reason for reason in reasons if reason)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _refuse_open(settings: Settings) -> None:
    """Without keys whoever reaches the port is obeyed: it is the loopback's, unless the operator insists."""
    if settings.server.open_to_network or settings.host == "localhost":
        return
    with suppress(ValueError):
        if ip_address(settings.host).is_loopback:
            return
    raise SettingsError(
        f"{settings.host} is not a loopback address, and everybody who reaches it could use the service."
        " Set server.open_to_network = true (CAUSERIE_SERVER_OPEN_TO_NETWORK=true) if that is meant."
    )


def _assert_extensions() -> None:
    """The parser in pure Python is slower, and laxer with what it takes for a request."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise SettingsError(
            "aiohttp's C parser is not loaded. Unset AIOHTTP_NO_EXTENSIONS, or install again: make clean run."
        )
