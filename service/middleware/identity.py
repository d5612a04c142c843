"""Who asks: until there are keys the local user, or whoever `x-user` says."""

from aiohttp import web
from aiohttp.typedefs import Handler

from service.context import CALLER, Caller

LOCAL = "local"
NAME_BYTES = 200


@web.middleware
async def identity(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Web clients of before 2025-09 spell the header with an underscore."""
    name = request.headers.get("x-user") or request.headers.get("x_user") or ""
    user = name.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore").strip()
    request[CALLER] = Caller(user or LOCAL, admin=not user)
    return await handler(request)
