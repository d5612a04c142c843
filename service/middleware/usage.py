"""Opens each request's record, in memory; settles those that a handler filled in and no turn took."""

import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from service.context import CALLER, CONTEXT, RECORD, REQUEST_ID
from service.stores.ledger import Record

UNUSED = ""
"""The kind of a record that nothing has claimed: most requests use nothing."""
TURN = "turn"


@web.middleware
async def usage(request: web.Request, handler: Handler) -> web.StreamResponse:
    context = request.config_dict[CONTEXT]
    record = Record(
        id=secrets.token_urlsafe(16),
        kind=UNUSED,
        user=request[CALLER].user,
        request_id=request[REQUEST_ID],
    )
    request[RECORD] = record
    began, status = time.monotonic(), 500
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        route = request.match_info.route.resource
        path = route.canonical if route else "unknown"
        context.metrics.requests.labels(request.method, path, status).inc()
        context.metrics.request_seconds.labels(path).observe(time.monotonic() - began)
        if record.kind not in {UNUSED, TURN}:
            record.ended_at, record.ending = time.time(), "done" if status < 400 else "failed"
            context.ledger.settle(record)
