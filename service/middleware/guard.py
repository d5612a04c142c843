"""Without keys, whoever reaches the port is obeyed; with keys, a browser that has logged in: so no page of
another site may reach it from a browser.

A page can send requests here by itself (their `Origin` gives it away), or have its own name resolve to this
address ("DNS rebinding": the `Host` gives it away).
"""

from collections.abc import Awaitable
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from service.context import CONTEXT
from service.errors import Forbidden
from service.settings import Server

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@web.middleware
def guard(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
    """Refuses hosts and origins that the operator has not named."""
    context = request.app[CONTEXT]
    settings, host = context.settings, request.headers.get("Host", "")
    any_address = settings.server.open_to_network or context.needs_key
    if not _known(host, settings.host, settings.server, any_address):
        raise Forbidden(f"The host {host!r} is not known here. Add it to server.hosts in the settings.")
    origin = request.headers.get("Origin")
    if origin and origin not in settings.server.origins and not same(origin, host):
        raise Forbidden(f"Pages of {origin!r} may not call this service. Add it to server.origins.")
    if origin is None and _foreign(request):
        raise Forbidden(
            "Pages of other sites may not load this. Open it by itself, or add them to server.origins."
        )
    return handler(request)


def _known(host: str, bound: str, server: Server, any_address: bool) -> bool:
    """Names must be the loopback's or the operator's; an address cannot be rebound, so any will do."""
    name = _hostname(host)
    if name is None:
        return False
    if name in LOOPBACK or name == bound or name in map(_hostname, server.hosts):
        return True
    return any_address and _is_address(name)


def _hostname(host: str) -> str | None:
    """The name in lower case, without a port; None for what is no host."""
    try:
        return URL(f"http://{host}").host
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def same(origin: str, host: str) -> bool:
    """The origin's authority is the host's; the scheme may differ behind a proxy that ends TLS."""
    return origin.partition("://")[2] == host


def _foreign(request: web.Request) -> bool:
    """A page of another site embeds this: it sends no Origin for images and scripts, but browsers say so."""
    site, mode = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
    return site in {"cross-site", "same-site"} and mode != "navigate"
