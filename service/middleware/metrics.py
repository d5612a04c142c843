"""Counts the requests."""

import asyncio
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from service.context import CONTEXT

CLIENT_LEFT = 499
"""Nobody saw a status; nginx writes this one."""


@web.middleware
async def metrics(request: web.Request, handler: Handler) -> web.StreamResponse:
    """By route and by the status that the client saw, to the end of the answer."""
    began, status = time.monotonic(), 500
    try:
        response = await handler(request)
        status = response.status
        return response
    except asyncio.CancelledError:
        status = CLIENT_LEFT
        raise
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "unknown"
        seen = request.app[CONTEXT].metrics
        seen.requests.labels(request.method, route, status).inc()
        seen.request_seconds.labels(route).observe(time.monotonic() - began)
