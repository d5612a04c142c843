"""Whatever goes wrong becomes one JSON shape, the framework's own errors included."""

import logging
import math
import re
import secrets

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from service.context import CONTEXT, REQUEST_ID, STARTED
from service.errors import MethodNotAllowed, NotFound, RateLimited, ServiceError
from service.telemetry import request_id

log = logging.getLogger(__name__)

ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Names the request, and answers for what fails in it; a stream that has begun is not answered again."""
    sent = request.headers.get("X-Request-ID", "")
    request[REQUEST_ID] = sent if ID.fullmatch(sent) else secrets.token_hex(8)
    token = request_id.set(request[REQUEST_ID])
    try:
        return await handler(request)
    except ServiceError as error:
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
    if REQUEST_ID in request:
        response.headers["X-Request-ID"] = request[REQUEST_ID]
    if origins := request.config_dict[CONTEXT].settings.server.origins:
        _complete_cors(response, request.headers.get("Origin", ""), origins)


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
        body=msgspec.json.encode(error.body(request[REQUEST_ID])),
        content_type="application/json",
    )
    if allow:
        response.headers["Allow"] = allow
    if isinstance(error, RateLimited) and error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return response
