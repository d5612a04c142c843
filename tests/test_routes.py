"""The route table: how it is declared, and how rows are sent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from service.app import GROUPS, assemble, table
from service.context import CONTEXT
from service.handlers.cards import Version
from service.handlers.catalog import Catalog
from service.middleware.identity import identity
from service.replies import Lines, Text
from service.routes import anyone, mount, route
from service.sources import load
from tests.upstream import until

PARTS = assemble(load({"CAUSERIE_EMBEDDED_ENABLED": "false"}))
TABLE = table(PARTS)


# Declaring


def test_a_path_declares_its_function_and_its_methods() -> None:
    for entry in TABLE.values():
        assert callable(entry["function"])
        assert entry["methods"] == list(entry["handlers"])


def test_no_group_takes_another_ones_path() -> None:
    paths = [path for group in GROUPS for path in group(PARTS).routes]
    assert len(paths) == len(set(paths))


async def test_a_handler_can_be_called_without_http() -> None:
    assert await Catalog(PARTS).version({}) == Version()
    assert await Catalog(PARTS).version({"Accept": "text/plain"}) == "API Version: 2.0"


async def test_a_handler_without_a_policy_cannot_be_mounted() -> None:
    async def handler() -> Text:
        """Says nothing."""
        return Text()

    with pytest.raises(TypeError, match="handler needs a policy"):
        route(GET=handler)
    assert route(GET=anyone(handler))["methods"] == ["GET"]


async def test_a_handler_without_a_docstring_or_a_return_type_cannot_be_mounted() -> None:
    @anyone
    async def undocumented() -> Text:
        return Text()

    @anyone
    async def untyped():  # type: ignore[no-untyped-def]
        """Says nothing."""

    for handler in (undocumented, untyped):
        with pytest.raises(TypeError, match="docstring"):
            route(GET=handler)


# Rows that are sent as they come


class Rows:
    """A table with one route, which sends `pages` pages of `size` bytes and notes when it is let go."""

    def __init__(self, pages: int, size: int) -> None:
        self.pages, self.size = pages, size
        self.sent, self.closed = 0, False

    async def generate(self) -> AsyncGenerator[list[str], None]:
        try:
            for _ in range(self.pages):
                self.sent += 1
                yield ["x" * (self.size - 3)]
        finally:
            self.closed = True

    @anyone
    async def rows(self) -> Lines:
        """Many rows."""
        return Lines(self.generate())

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[BaseTestServer, None]:
        app = web.Application(middlewares=[identity])
        app[CONTEXT] = assemble(load({"CAUSERIE_STREAM_WRITE_TIMEOUT": "0.05"}))
        mount(app, {"/rows": route(GET=self.rows)})
        async with TestServer(app, host="127.0.0.1", handler_cancellation=True) as server:
            yield server


async def test_rows_are_json_a_line_each() -> None:
    rows = Rows(pages=3, size=10)
    async with (
        rows.serving() as server,
        aiohttp.ClientSession() as http,
        http.get(server.make_url("/rows")) as answer,
    ):
        assert await answer.read() == b'"xxxxxxx"\n' * 3
    assert rows.closed


async def test_a_reader_who_does_not_read_loses_his_connection() -> None:
    rows = Rows(pages=10_000, size=100_000)
    async with rows.serving() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.write(b"GET /rows HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until(lambda: rows.closed)
        assert rows.sent < rows.pages
        writer.close()


async def test_a_reader_who_leaves_stops_the_reading() -> None:
    rows = Rows(pages=10_000, size=100_000)
    async with rows.serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /rows HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readexactly(1000)
        writer.transport.abort()
        await until(lambda: rows.closed)
        assert rows.sent < rows.pages
