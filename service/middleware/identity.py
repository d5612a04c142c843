"""Who asks: without keys the local user, or whoever `x-user` says; from the first key on, who has one."""

import base64
import binascii

from aiohttp import web
from aiohttp.typedefs import Handler

from service.context import CALLER, CONTEXT, SESSION, Caller, Context
from service.errors import BadRequest, Forbidden
from service.middleware.guard import same
from service.stores.keys import FORM, Key

LOCAL = "local"
NAME_BYTES = 200
ANONYMOUS = Caller("anonymous", admin=False, anonymous=True)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@web.middleware
async def identity(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Without keys whatever a client sends as one of ours is ignored: SDKs always send something."""
    context = request.app[CONTEXT]
    request[CALLER] = await _keyed(request, context) if context.needs_key else _local(request)
    return await handler(request)


def _local(request: web.Request) -> Caller:
    """Web clients of before 2025-09 spell the header with an underscore."""
    name = request.headers.get("x-user") or request.headers.get("x_user") or ""
    user = name.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore").strip()
    return Caller(user or LOCAL, admin=not user)


async def _keyed(request: web.Request, context: Context) -> Caller:
    """Raises `BadRequest` for a key in the address, where logs and histories keep it."""
    if FORM.search(request.path_qs):
        raise BadRequest("A key must not stand in an address. Send it as a header, and have it rotated.")
    sent = _sent(request)
    if sent is not None:
        return await _shown(sent, context)
    if session := request.cookies.get(SESSION):
        return _logged_in(request, context.keys.find_session(session))
    return ANONYMOUS


async def _shown(text: str, context: Context) -> Caller:
    """Whose key or token this is."""
    key = context.keys.find(text)
    if key is None and context.issuer and (bearer := await context.issuer.bearer(text)):
        return Caller(bearer.user, bearer.admin)
    return _holder(key)


def _holder(key: Key | None) -> Caller:
    return Caller(key.user, key.role == "admin", key.id, key.grant) if key else ANONYMOUS


def _sent(request: web.Request) -> str | None:
    """What a header has as a key; where there is an `Authorization`, that counts, whatever it says."""
    authorization = request.headers.get("Authorization")
    if authorization is None:
        return (request.headers.get("x-api-key") or None) if request.path.startswith("/v1/") else None
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            return _password(rest)
        case _:
            return ""


def _password(credentials: str) -> str:
    """The user's name may be any. Source: RFC 7617."""
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[2]


def _logged_in(request: web.Request, key: Key | None) -> Caller:
    """A browser shows its cookie whoever makes it ask: raises `Forbidden` where that was no page of ours."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    ours = same(origin, request.headers.get("Host", "")) if origin else site == "same-origin"
    if key and request.method not in SAFE and not ours:
        raise Forbidden("Whoever is logged in may change something from our own pages only.")
    return _holder(key)
