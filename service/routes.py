"""The route table: each handler class declares `{path: {function, methods}}`; here it is read and mounted.

A handler's signature is read once: a name in the path, `body` and `query` by their types, `headers`,
`caller`, `record`, `method`, `cookie` and the `parts` of a form, which a `body` may be as well (`T | Parts`),
or the `content` of a body that is not read yet; what it returns is encoded. So handlers can be called without
HTTP.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from types import UnionType
from typing import Any, TypedDict, TypeVar, get_args, get_type_hints

import msgspec
from aiohttp import web

from service.bodies import Content
from service.context import CALLER, CONTEXT, RECORD, Caller
from service.downloads import PERSONAL
from service.errors import BadRequest, Forbidden, Unauthenticated
from service.multipart import Limits, Parts
from service.replies import Cookie, leave, respond
from service.settings import Settings
from service.streaming import Stream, streamed

Handler = Callable[..., Awaitable[Any]]
Function = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Handler)

INJECTED = frozenset({"headers", "caller", "record", "method", "cookie", "parts", "content"})
OTHER_FIELDS = 16
"""Parts of a form beside its files."""
OVERHEAD = 2**20
"""Bytes of a form beside those of its files."""


class Route(TypedDict):
    """One path: `function` answers its `methods`; `handlers` says to whom each of them goes."""

    function: Function
    methods: list[str]
    handlers: dict[str, Handler]


def anyone(handler: H) -> H:
    """Policy: whoever reaches the service."""
    return _policed(handler, "anyone")


def user(handler: H) -> H:
    """Policy: whoever is identified, be it as the local user."""
    return _policed(handler, "user")


def admin(handler: H) -> H:
    """Policy: the operator."""
    return _policed(handler, "admin")


def kept(seconds: int) -> Callable[[H], H]:
    """The answer may be kept for so long by whoever asked, with the same name and the same key."""

    def marked(handler: H) -> H:
        handler.__dict__["seconds"] = seconds
        return handler

    return marked


def form(**fields: Mapping[str, Any]) -> Callable[[H], H]:
    """The handler takes a form, whose `parts` it reads; these are its fields, as JSON schemas."""

    def marked(handler: H) -> H:
        handler.__dict__["form"] = fields
        return handler

    return marked


def _policed(handler: H, policy: str) -> H:
    handler.__dict__["policy"] = policy
    return handler


class Signature(msgspec.Struct, frozen=True):
    """What a handler takes and gives, read from its annotations."""

    path: tuple[str, ...]
    body: Any
    query: Any
    injected: tuple[str, ...]
    returns: Any
    policy: str
    form: Mapping[str, Any] | None

    @classmethod
    def of(cls, handler: Handler) -> "Signature":
        """Raises `TypeError` for a handler that could not be called, or that nobody may call."""
        hints = get_type_hints(handler)
        names = list(inspect.signature(handler).parameters)
        policy = getattr(handler, "policy", None)
        if policy is None or "return" not in hints or not handler.__doc__:
            raise TypeError(f"{handler.__qualname__} needs a policy, a return type and a docstring")
        return cls(
            path=tuple(name for name in names if name not in INJECTED | {"body", "query"}),
            body=_json_of(hints.get("body")),
            query=hints.get("query"),
            injected=tuple(name for name in names if name in INJECTED),
            returns=hints["return"],
            policy=policy,
            form=getattr(handler, "form", None),
        )


def _json_of(body: Any) -> Any:
    """What a body is where it is no form."""
    return get_args(body)[0] if isinstance(body, UnionType) and Parts in get_args(body) else body


def route(**handlers: Handler) -> Route:
    """`route(GET=f, POST=g)`: one entry of a route table."""
    endpoints = {method: _endpoint(handler) for method, handler in handlers.items()}

    async def function(request: web.Request) -> web.StreamResponse:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return {"function": function, "methods": list(handlers), "handlers": handlers}


def mount(app: web.Application, table: Mapping[str, Route]) -> None:
    """Adds the routes to the application; what answers GET answers HEAD."""
    for path, entry in table.items():
        # By itself aiohttp takes no braces in a name, and clients choose ids and names of files.
        resource = app.router.add_resource(re.sub(r"{(\w+)}", r"{\1:[^/]+}", path))
        for method in [*entry["methods"], *(["HEAD"] if "GET" in entry["methods"] else [])]:
            resource.add_route(method, entry["function"])


def _endpoint(handler: Handler) -> Function:
    signature = Signature.of(handler)
    body = msgspec.json.Decoder(signature.body) if signature.body else None
    seconds = getattr(handler, "seconds", None)

    async def endpoint(request: web.Request) -> web.StreamResponse:
        settings = request.app[CONTEXT].settings
        _admit(request[CALLER], signature.policy)
        arguments: dict[str, Any] = {name: request.match_info[name] for name in signature.path}
        if body:
            arguments["body"] = await _body(request, signature, body, settings)
        if signature.query:
            arguments["query"] = _query(request.query, signature.query)
        for name in signature.injected:
            arguments[name] = _injected(request, name)
        answer, cookie = await handler(**arguments), arguments.get("cookie")
        del arguments  # what was asked would be kept for as long as a stream lasts
        if isinstance(answer, Stream):
            response = await streamed(request, answer)
        else:
            response = await respond(request, answer, settings)
        if cookie:
            leave(cookie, response)
        if seconds:
            response.headers["Cache-Control"] = f"private, max-age={seconds}"
            response.headers["Vary"] = PERSONAL
        return response

    return endpoint


def _admit(caller: Caller, policy: str) -> None:
    """Raises `Unauthenticated` for nobody in particular, `Forbidden` for somebody who may not."""
    if caller.anonymous and policy != "anyone":
        raise Unauthenticated()
    if policy == "admin" and not caller.admin:
        raise Forbidden("Only the operator may do this.")


def decoded(data: bytes | bytearray, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The body as its type; raises `BadRequest` with the JSON path of what does not fit."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        path = path.rstrip("`") or "$"
        raise BadRequest(
            f"{what} at {path} of the JSON body. GET /openapi.json describes it.", path
        ) from error
    except RecursionError as error:
        raise BadRequest("The JSON body is nested too deeply. Send it flatter.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"Invalid JSON data: {error}. Send one JSON object in UTF-8.") from error


async def _body(
    request: web.Request, signature: Signature, decoder: msgspec.json.Decoder[Any], settings: Settings
) -> Any:
    """The body as its type, or the parts of a form where it may be one."""
    if signature.form is not None and request.content_type == "multipart/form-data":
        return _parts(request)
    return decoded(await _read(request, settings), decoder)


def _query(query: Mapping[str, str], kind: Any) -> Any:
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`")
        raise BadRequest(f"{what} in the query parameter {name}.", name) from error


async def _read(request: web.Request, settings: Settings) -> bytearray:
    """The body, within the limits on its size and on the time it may take."""
    server = settings.server
    return await Content(request, server.body_timeout).whole(server.body_limit, "server.body_limit")


def _injected(request: web.Request, name: str) -> Mapping[str, str] | Caller | str | object:
    match name:
        case "headers":
            return request.headers
        case "caller":
            return request[CALLER]
        case "method":
            return request.method
        case "cookie":
            return Cookie()
        case "parts":
            return _parts(request)
        case "content":
            return Content(request, request.app[CONTEXT].settings.server.body_timeout)
        case _:
            return request[RECORD]


def _parts(request: web.Request) -> Parts:
    settings = request.app[CONTEXT].settings
    files = settings.files
    size, count = files.bucket_limit + OVERHEAD, files.bucket_files + OTHER_FIELDS
    return Parts.of(request, Limits(size, count, files.upload_timeout, settings.server.body_timeout))
