"""The API's own description, for programs and for people."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from service.documents import markdown
from service.openapi import document
from service.replies import Html
from service.routes import Route, anyone, route

BODIES = {"application/json": "JSON", "multipart/form-data": "a form"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Causerie: the API</title>
<link rel="icon" href="/web/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/web/page.css">
<link rel="stylesheet" href="/web/markup.css">
</head>
<body>
<header><h1>Causerie</h1></header>
<main class="markup">
<h2>The API</h2>
<p>The same in full, for programs: <a href="/openapi.json">openapi.json</a></p>
{body}
</main>
</body>
</html>
"""


class Reference:
    """openapi.json and the page made of it; they describe `routes` and themselves."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = {"/openapi.json": route(GET=self.openapi), "/api": route(GET=self.page)}
        self._table = {**routes, **self.routes}

    @anyone
    async def openapi(self) -> dict[str, Any]:
        """This API as an OpenAPI 3.1 document."""
        return document(self._table)

    @anyone
    async def page(self) -> Html:
        """This API as a page to read."""
        text = "\n".join(_lines(document(self._table)))
        return Html(PAGE.format(body=await asyncio.to_thread(markdown.html, text)))


def _lines(api: Mapping[str, Any]) -> Iterator[str]:
    """The document as Markdown, whose headings begin at h3."""
    yield 'Every failure is JSON: `{"error": {"message", "type", "code", "param", "request_id"}}`.'
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            yield f"\n# `{method.upper()} {path}`\n"
            yield f"{operation['summary']} {operation['description']}\n"
            for parameter in operation["parameters"]:
                yield f"- `{parameter['name']}` in the {parameter['in']}"
            if body := operation.get("requestBody"):
                for kind, content in body["content"].items():
                    yield f"- in the body, as {BODIES[kind]}: {_fields(content['schema'], api)}"


def _fields(schema: Mapping[str, Any], api: Mapping[str, Any]) -> str:
    """The names of its members; of each thing that it may be, where it may be several."""
    if several := schema.get("anyOf"):
        return ", or ".join(filter(None, (_fields(each, api) for each in several)))
    name = schema.get("$ref", "").rpartition("/")[2]
    shape = api["components"]["schemas"][name] if name else schema
    return ", ".join(f"`{field}`" for field in shape.get("properties", ()))
