"""Opens each request's record, in memory; settles those that a handler filled in and no turn took."""

import asyncio
import secrets
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from service.context import CALLER, CONTEXT, RECORD, REQUEST_ID
from service.stores.ledger import Ending, Record

UNUSED = ""
"""The kind of a record that nothing has claimed: most requests use nothing."""
TURN = "turn"


@web.middleware
async def usage(request: web.Request, handler: Handler) -> web.StreamResponse:
    record = request[RECORD] = Record(
        id=secrets.token_urlsafe(16),
        kind=UNUSED,
        user=request[CALLER].user,
        key=request[CALLER].key,
        request_id=request[REQUEST_ID],
    )
    ending: Ending = "failed"
    try:
        response = await handler(request)
        ending = "done"
        return response
    except asyncio.CancelledError:  # the client has gone
        ending = "abandoned"
        raise
    finally:
        if record.kind not in {UNUSED, TURN}:
            record.ended_at, record.ending = time.time(), record.ending or ending
            await request.app[CONTEXT].turns.settle(record)
