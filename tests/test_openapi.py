"""The API's description: current, valid, and complete."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.app import assemble, table
from service.openapi import document
from service.routes import Signature
from service.sources import load
from tests.serving import Json, Service

ROOT = Path(__file__).parent.parent
TABLE = table(assemble(load({"CAUSERIE_EMBEDDED_ENABLED": "false"})))
API = document(TABLE)
OPERATIONS: dict[str, Json] = {
    f"{method.upper()} {path}": operation
    for path, operations in API["paths"].items()
    for method, operation in operations.items()
}


def test_the_document_is_current() -> None:
    command = [sys.executable, "-m", "service.openapi"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert (ROOT / "docs/openapi.json").read_text() == printed, "docs/openapi.json is stale: run `make docs`"


def plain(path: str) -> str:
    """The path without the patterns of its names, which OpenAPI has no room for."""
    return re.sub(r"{(\w+):[^}]+}", r"{\1}", path)


def test_every_route_is_in_it() -> None:
    routes = {f"{method} {plain(path)}" for path, entry in TABLE.items() for method in entry["handlers"]}
    assert set(OPERATIONS) == routes


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_does_and_who_may_do_it(name: str) -> None:
    operation = OPERATIONS[name]
    assert re.fullmatch(r"[A-Z].*[.;]", operation["summary"])
    assert operation["x-policy"] in {"anyone", "user", "admin"}


def test_every_body_and_answer_says_what_it_is() -> None:
    for name, schema in API["components"]["schemas"].items():
        assert re.fullmatch(r"\S+( \S+)*", schema["description"]), name


# OpenAPI 3.1, as far as it can be broken here: https://spec.openapis.org/oas/v3.1.0


def references(value: Any) -> Iterator[str]:
    """Every $ref below a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_document_is_of_openapi_3_1() -> None:
    assert API["openapi"] == "3.1.0"
    assert API.keys() == {"openapi", "info", "paths", "components"}
    assert {"title", "version"} <= API["info"].keys()
    assert all(re.fullmatch(r"[\w.-]+", name) for name in API["components"]["schemas"])


def test_every_reference_leads_somewhere() -> None:
    schemas = {f"#/components/schemas/{name}" for name in API["components"]["schemas"]}
    assert set(references(API)) <= schemas


def test_no_two_operations_have_the_same_id() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_the_keys_that_it_needs(name: str) -> None:
    operation = OPERATIONS[name]
    for response in operation["responses"].values():
        assert response["description"]
        assert all("schema" in media for media in response["content"].values())
    assert {"200", "default"} <= operation["responses"].keys()
    for parameter in operation["parameters"]:
        assert {"name", "in", "schema"} <= parameter.keys()
        assert parameter["in"] != "path" or parameter["required"] is True
    in_path = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", name))


def test_what_a_handler_takes_is_described() -> None:
    for path, entry in TABLE.items():
        for method, handler in entry["handlers"].items():
            signature, operation = Signature.of(handler), OPERATIONS[f"{method} {plain(path)}"]
            assert ("requestBody" in operation) is bool(
                signature.body or signature.form or "content" in signature.injected
            )
            queries = [parameter for parameter in operation["parameters"] if parameter["in"] == "query"]
            assert bool(queries) is bool(signature.query)


def test_a_failure_is_described_for_every_operation() -> None:
    for operation in OPERATIONS.values():
        schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Error"}
    problem = API["components"]["schemas"]["Problem"]
    assert set(problem["properties"]) == {"message", "type", "code", "param", "request_id"}


# As it is served


async def test_it_is_served(service: Service) -> None:
    assert await service.get("/openapi.json") == json.loads(json.dumps(API))


async def test_its_page_lists_every_path(service: Service) -> None:
    async with service.http.get(service.url + "/api") as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
        page = await answer.text()
    assert page.startswith("<!doctype html>")
    for name, operation in OPERATIONS.items():
        assert f"<code>{name}</code></h3>" in page
        assert operation["summary"].split("`")[0].split("'")[0] in page
    assert '<a href="/openapi.json">' in page


async def test_what_its_page_asks_for_is_there(service: Service) -> None:
    async with service.http.get(service.url + "/api") as answer:
        page = await answer.text()
    for path in re.findall(r'(?:href|src)="(/[^"]*)"', page):
        async with service.http.get(service.url + path) as answer:
            assert answer.status == 200, path
