"""The process: it listens, says what is ready, and ends when it is told to."""

import asyncio
import errno
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import http_parser, web

from service.app import create_app
from service.context import CONTEXT, VERSION, Context
from service.settings import Settings, SettingsError
from service.stores.database import DatabaseError
from service.supervisor import Supervisor
from service.telemetry import set_up_logs

BACKLOG = 2048
FAREWELL = 0.5
"""Seconds in which clients learn that their idle connections will be closed, before they are."""


def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; raises `SettingsError` for what the operator must change first."""
    supervisor = Supervisor(os.environ)
    _assert_extensions()
    _take_files()
    set_up_logs(settings.log.level, settings.log.format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, supervisor))
    except DatabaseError as error:
        raise SettingsError(error.message) from error
    return 0


async def serve(settings: Settings, supervisor: Supervisor) -> None:
    """Listens until it is told to stop, and then ends gently."""
    runner = runner_of(settings)
    try:
        await runner.setup()
        if not (settings.server.open_to_network or runner.app[CONTEXT].needs_key):
            _refuse_open(_hosts(settings, supervisor.sockets))
        await listen(runner, settings, supervisor.sockets)
        context, place = runner.app[CONTEXT], _place(runner.addresses[0])
        context.tasks.start(_announce(context, place), "announcement")
        context.tasks.start(supervisor.attend(partial(_status, context, place)), "supervisor")
        gc.freeze()  # what is there now stays: no collection needs to look at it again
        supervisor.notify("READY=1")
        await _told_to_stop()
        supervisor.notify("STOPPING=1")
        await drain(runner)
    finally:
        await runner.cleanup()


def runner_of(settings: Settings) -> web.AppRunner:
    """The application and how it is spoken to."""
    app = create_app(settings)
    app.on_response_prepare.append(_part)
    return web.AppRunner(
        app,
        handler_cancellation=True,  # a client that leaves is noticed at once
        auto_decompress=False,  # a small compressed body may be a very large one
        access_log=None,
        keepalive_timeout=settings.server.keepalive,
        shutdown_timeout=settings.server.shutdown_timeout,
    )


async def drain(runner: web.AppRunner) -> None:
    """Takes no new connections, and lets clients leave those they have: `runner.cleanup()` may follow.

    A socket that a supervisor handed over stays open on its side: newcomers wait there for the next process.
    """
    runner.app[CONTEXT].draining.set()
    for site in runner.sites:
        await site.stop()
    if runner.server and runner.server.connections:
        await asyncio.sleep(FAREWELL)


async def _part(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: who is told sends nothing into a connection that is being closed."""
    if request.app[CONTEXT].draining.is_set():
        response.headers["Connection"] = "close"
        response.force_close()


async def _told_to_stop() -> None:
    """Waits for SIGTERM or SIGINT; a SIGINT after that ends the process on the spot."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    loop.remove_signal_handler(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def listen(runner: web.AppRunner, settings: Settings, given: Sequence[socket.socket] = ()) -> None:
    """On the sockets that are given, else where the settings say; raises `SettingsError` when that fails."""
    try:
        for site in _sites(runner, settings, given):
            await site.start()
    except OSError as error:
        where = f"The socket {settings.socket}" if settings.socket else f"Port {settings.port}"
        raise SettingsError(f"{where} {_reason(error, settings)}") from error


def _sites(runner: web.AppRunner, settings: Settings, given: Sequence[socket.socket]) -> list[web.BaseSite]:
    if not given and not settings.socket:
        return [web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)]
    return [web.SockSite(runner, one, backlog=BACKLOG) for one in given or [_unix(settings.socket)]]


def _unix(path: str) -> socket.socket:
    """A unix socket for its owner and its group, in the place of one that a dead process left."""
    if Path(path).is_socket() and not _answers(path):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o117)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def _reason(error: OSError, settings: Settings) -> str:
    match settings.socket, error.errno:
        case "", errno.EADDRINUSE:
            return "is taken. Stop what uses it, or choose another: CAUSERIE_PORT=8081."
        case "", errno.EACCES:
            return "is not yours to take. Choose one above 1023: CAUSERIE_PORT=8080."
        case "", _:
            return f"of {settings.host} cannot be had: {error.strerror or error}. Check host and port."
        case _, errno.EADDRINUSE:
            return "is taken. Stop what uses it, or choose another path: CAUSERIE_SOCKET=/run/…."
        case _:
            return f"cannot be had: {error.strerror or error}. Choose another path: CAUSERIE_SOCKET=/run/…."


def _place(address: Any) -> str:
    """What `getsockname` says, as an address to show."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _status(context: Context, place: str) -> str:
    """One line for the supervisor."""
    doing = "Stopping" if context.draining.is_set() else f"On {place}"
    return f"{doing}, turns running: {len(context.turns.running(None))}"


async def _announce(context: Context, place: str) -> None:
    """Says where the service is at once, and who answers as soon as that is known."""
    _say(f"Causerie {VERSION} is on {place}")
    await context.registry.probed.wait()
    live = [provider.label for provider in context.registry if context.registry.listing(provider.name).live]
    _say(f"Ready: {', '.join(live)}" if live else f"Nobody can answer yet. {_advice(context)}")


def _advice(context: Context) -> str:
    reasons = (context.registry.listing(provider.name).reason for provider in context.registry)
    return " ".join(reason for reason in reasons if reason)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _hosts(settings: Settings, given: Sequence[socket.socket]) -> list[str]:
    """Those that would be listened on; a unix socket has none."""
    if given:
        return [one.getsockname()[0] for one in given if one.family != socket.AF_UNIX]
    return [] if settings.socket else [settings.host]


def _refuse_open(hosts: list[str]) -> None:
    """Without keys whoever reaches the port is obeyed: it is the loopback's, unless the operator insists."""
    for host in hosts:
        if not _is_loopback(host):
            raise SettingsError(
                f"{host} is not a loopback address, and everybody who reaches it could use the service."
                " Create a key first (python -m service keys create --user NAME --admin), or set"
                " server.open_to_network = true (CAUSERIE_SERVER_OPEN_TO_NETWORK=true) if that is meant."
            )


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _take_files() -> None:
    """As many open files as the system allows: a stream takes two, and shells begin with 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems call it unlimited, and allow less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _assert_extensions() -> None:
    """The parser in pure Python is slower, and laxer with what it takes for a request."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise SettingsError(
            "aiohttp's C parser is not loaded. Unset AIOHTTP_NO_EXTENSIONS, or install again: make clean run."
        )
