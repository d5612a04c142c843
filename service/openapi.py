"""The route table as an OpenAPI 3.1 document; `python -m service.openapi` prints it."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from service.context import VERSION
from service.downloads import Download
from service.replies import Events, File, Html, Lines, Pieces, Text
from service.routes import Handler, Route, Signature
from service.streaming import Stream, Whole

MEDIA = {
    Stream: "text/event-stream",
    Whole: "application/json",
    Text: "text/plain",
    Lines: "text/plain",
    Html: "text/html",
    Events: "text/event-stream",
    File: "*/*",
    Download: "*/*",
    Pieces: "*/*",
}
"""What is no JSON, by the type that a handler returns."""
ERROR = {
    "description": "What went wrong, and what to do about it.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


class Problem(msgspec.Struct):
    """`message` is for people, `code` for programs; `param` names what is wrong in the request."""

    message: str
    type: str
    code: str
    param: str | None
    request_id: str | None


class Error(msgspec.Struct):
    """The body of every failure."""

    error: Problem


def document(table: Mapping[str, Route]) -> dict[str, Any]:
    """The document of a whole route table."""
    endpoints = [
        (path, method, handler, Signature.of(handler))
        for path, entry in table.items()
        for method, handler in entry["handlers"].items()
    ]
    kinds = [kind for *_, signature in endpoints for kind in _json_kinds(signature)]
    schemas, components = msgspec.json.schema_components(
        [*kinds, Error], ref_template="#/components/schemas/{name}"
    )
    for schema in components.values():
        schema["description"] = " ".join(schema.get("description", "").split())
    by_kind = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=False)}
    paths: dict[str, dict[str, Any]] = {_template(path): {} for path in table}
    for path, method, handler, signature in endpoints:
        paths[_template(path)][method.lower()] = _operation(method, handler, signature, by_kind, components)
    info = {"title": "Causerie", "version": VERSION, "license": {"name": "Apache-2.0"}}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": components}}


def _template(path: str) -> str:
    """The path as OpenAPI writes it: without the patterns that a name in it must match."""
    return re.sub(r"\{(\w+):[^}]+\}", r"{\1}", path)


def _json_kinds(signature: Signature) -> list[Any]:
    kinds = [signature.body, signature.query, *_returned(signature)]
    return [kind for kind in kinds if kind is not None and kind not in MEDIA]


def _returned(signature: Signature) -> tuple[Any, ...]:
    """What a handler may return, a kind of answer each."""
    parts = get_args(signature.returns)
    return parts if any(part in MEDIA for part in parts) else (signature.returns,)


def _operation(
    method: str,
    handler: Handler,
    signature: Signature,
    by_kind: Mapping[str, Any],
    components: Mapping[str, Any],
) -> dict[str, Any]:
    summary, _, description = (handler.__doc__ or "").strip().partition("\n")
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}_{handler.__qualname__.partition('.')[2]}",
        "tags": [handler.__qualname__.partition(".")[0].lower()],
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": [*_path(signature), *_query(signature, by_kind, components)],
        "responses": {"200": _success(signature, by_kind), "default": ERROR},
        "x-policy": signature.policy,
    }
    if taken := _taken(handler, signature, by_kind):
        operation["requestBody"] = {"required": True, "content": taken}
    return operation


def _taken(handler: Handler, signature: Signature, by_kind: Mapping[str, Any]) -> dict[str, Any]:
    """What a body may be, by its media type."""
    taken: dict[str, Any] = {}
    if signature.body:
        taken["application/json"] = {"schema": by_kind[repr(signature.body)]}
    if "content" in signature.injected:
        taken["application/json"] = {"schema": _content(handler)}
    if signature.form:
        taken["multipart/form-data"] = {"schema": {"type": "object", "properties": signature.form}}
    return taken


def _content(handler: Handler) -> Any:
    """Of a body that the handler reads itself: `content: Annotated[Content, schema]`."""
    (schema,) = get_type_hints(handler, include_extras=True)["content"].__metadata__
    return schema


def _path(signature: Signature) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in signature.path
    ]


def _query(
    signature: Signature, by_kind: Mapping[str, Any], components: Mapping[str, Any]
) -> list[dict[str, Any]]:
    if not signature.query:
        return []
    name = by_kind[repr(signature.query)]["$ref"].rpartition("/")[2]
    properties = components[name]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]


def _success(signature: Signature, by_kind: Mapping[str, Any]) -> dict[str, Any]:
    content = {
        MEDIA.get(kind, "application/json"): {"schema": by_kind.get(repr(kind), {"type": "string"})}
        for kind in _returned(signature)
    }
    return {"description": "The answer.", "content": content}


if __name__ == "__main__":
    from service.app import assemble, table
    from service.sources import load

    api = document(table(assemble(load({}))))
    sys.stdout.write(json.dumps(api, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
