"""Whatever goes wrong becomes JSON of one shape, the framework's own errors included.

Paths of another vendor's interface have that vendor's shape, and its name for the request's id.
"""

import logging
import math
import re
from collections.abc import Callable
from random import getrandbits

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct

from service.context import CONTEXT, RECORD, REQUEST_ID, STARTED
from service.errors import (
    LimitReached,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    ServiceError,
    Unauthenticated,
)
from service.telemetry import request_id
from service.wire.anthropic import problem

log = logging.getLogger(__name__)

ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class Dialect(Struct, frozen=True):
    """How errors look, and the header with the request's id."""

    body: Callable[[ServiceError, str], object]
    header: str


OURS = Dialect(ServiceError.body, "X-Request-ID")
DIALECTS = {"/v1/messages": Dialect(problem, "request-id")}
"""By the path where a vendor's interface begins."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Names the request, and answers for what fails in it; a stream that has begun is not answered again."""
    sent = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = sent if ID.fullmatch(sent) else f"{getrandbits(64):016x}"
    token = request_id.set(request[REQUEST_ID])
    try:
        return await handler(request)
    except ServiceError as error:
        if STARTED in request:  # its connection is closed, so that nobody takes a part for the whole
            raise
        return _response(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _response(request, _ours(request, error), error.headers.get("Allow"))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        if STARTED in request:
            raise
        return _response(request, ServiceError("The service failed; its log says why."))
    finally:
        request_id.reset(token)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: what every response carries."""
    response.headers.extend(HEADERS)
    if RECORD in request and request[RECORD].wire:  # somebody asks for an answer
        response.headers.extend(request.app[CONTEXT].limiter.headers(request[RECORD]))
    if REQUEST_ID in request:
        response.headers["X-Request-ID"] = response.headers[_dialect(request).header] = request[REQUEST_ID]
    if origins := request.app[CONTEXT].settings.server.origins:
        _complete_cors(response, request.headers.get("Origin", ""), origins)


def _dialect(request: web.Request) -> Dialect:
    """By the path alone: what fails before a route is found is told in it too."""
    for path, dialect in DIALECTS.items():
        if request.path == path or request.path.startswith(f"{path}/"):
            return dialect
    return OURS


def _complete_cors(response: web.StreamResponse, origin: str, origins: tuple[str, ...]) -> None:
    """What aiohttp-cors leaves out: `Vary`, and everything where no route was found: pages read 404s too."""
    response.headers.add("Vary", "Origin")
    if origin in origins and "Access-Control-Allow-Origin" not in response.headers:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Turn-Id,X-Request-Id"


def _ours(request: web.Request, error: web.HTTPException) -> ServiceError:
    match error:
        case web.HTTPNotFound():
            return NotFound(f"There is nothing at {request.path}. GET /openapi.json lists what there is.")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return MethodNotAllowed(f"{request.path} does not take {request.method}, but {allowed}.")
        case _:
            pass
    ours = ServiceError(error.text or error.reason)
    ours.status, ours.type, ours.code = error.status, "invalid_request_error", "invalid_request"
    return ours


def _response(request: web.Request, error: ServiceError, allow: str | None = None) -> web.Response:
    response = web.Response(
        status=error.status,
        body=msgspec.json.encode(_dialect(request).body(error, request[REQUEST_ID])),
        content_type="application/json",
    )
    if allow:
        response.headers["Allow"] = allow
    if isinstance(error, RateLimited | LimitReached) and error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, Unauthenticated):
        response.headers.extend(_challenges(request))
    return response


def _challenges(request: web.Request) -> list[tuple[str, str]]:
    """How to log in. Browsers that read "Basic" ask their user: that is for whoever opens an address."""
    opened = request.headers.get("Sec-Fetch-Mode") == "navigate"
    schemes = ["Bearer", "Basic"] if opened else ["Bearer"]
    return [("WWW-Authenticate", f'{scheme} realm="Causerie"') for scheme in schemes]
