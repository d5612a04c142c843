"""The real service on a real socket, and a client that sees what clients see."""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web, web_app

from service.context import CONTEXT
from service.server import listen, runner_of
from service.sources import load

Json = dict[str, Any]

CONVERSATION = "/backend-api/v2/conversation"


class Service:
    """A running service; paths are relative to its `url`."""

    def __init__(self, runner: web.AppRunner, http: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.context, self.http = runner.app[CONTEXT], http
        self._runner = runner

    def buffered(self) -> list[int]:
        """What waits in each connection's buffer, in bytes."""
        assert self._runner.server
        transports = [connection.transport for connection in self._runner.server.connections]
        return [transport.get_write_buffer_size() for transport in transports if transport]

    async def get(self, path: str, **options: Any) -> Any:
        """The JSON of a 200."""
        async with self.http.get(self.url + path, **options) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, body: object, **options: Any) -> tuple[int, Any]:
        """Status and JSON; `body` may be bytes that are no JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(self.url + path, data=data, **options) as answer:
            return answer.status, await answer.json()

    async def ask(self, prompt: str = "Hello", **body: Any) -> list[Json]:
        """The events of a conversation, but for the first, which names the turn."""
        async with self.asking(prompt, **body) as answer:
            assert answer.status == 200, await answer.text()
            first, *others = events(await answer.read())
            assert first == {"type": "turn", "turn": answer.headers["X-Turn-Id"]}
            return others

    def asking(self, prompt: str = "Hello", headers: Mapping[str, str] | None = None, **body: Any) -> Any:
        """The open response of a conversation, as a context manager."""
        body.setdefault("messages", [{"role": "user", "content": prompt}])
        return self.http.post(self.url + CONVERSATION, json=body, headers=headers)

    async def records(self) -> list[Json]:
        """What the ledger has of today."""
        async with self.http.get(f"{self.url}/backend-api/v2/usage/{date.today()}") as answer:
            return (
                [json.loads(line) for line in (await answer.text()).splitlines()]
                if answer.status == 200
                else []
            )


def events(stream: bytes) -> list[Json]:
    """The events of a stream of complete frames; the `event:` line and the JSON's type agree."""
    found = []
    for frame in stream.decode().split("\n\n"):
        if not frame or frame.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        event = json.loads(fields["data"])
        assert fields["event"] == event["type"]
        found.append(event)
    return found


def unnumbered(stream: bytes) -> bytes:
    """A stream as the contract has it: without ids, which count from 0, and without our own first event."""
    epochs = {id.partition("-")[0] for id in ids(stream)}
    assert len(epochs) == 1
    assert ids(stream) == [f"{epochs.copy().pop()}-{index}" for index in range(len(ids(stream)))]
    first, _, others = re.sub(rb"(?m)^id: .*\n", b"", stream).partition(b"\n\n")
    assert first.startswith(b"event: turn\n")
    return others


def ids(stream: bytes) -> list[str]:
    """The ids of a stream's events, in their order."""
    return [line.removeprefix("id: ") for line in stream.decode().splitlines() if line.startswith("id: ")]


def text(events: list[Json]) -> str:
    """What was answered."""
    return "".join(event["content"] for event in events if event["type"] == "content")


def kinds(events: list[Json]) -> list[str]:
    """The types, each run of the same type once."""
    types = [event["type"] for event in events]
    return [kind for index, kind in enumerate(types) if not index or types[index - 1] != kind]


@asynccontextmanager
async def serving(directory: Path, settings: str = "", **variables: str) -> AsyncGenerator[Service, None]:
    """Runs the service with a settings file of this text; without it nobody answers."""
    file = directory / "causerie.toml"
    file.write_text(settings)
    environment = {
        "CAUSERIE_CONFIG": str(file),
        "CAUSERIE_STATE_DIR": str(directory / "state"),
        "CAUSERIE_PORT": "0",
        "CAUSERIE_EMBEDDED_ENABLED": "false",
        "CAUSERIE_SPEECH_ORDER": "local",
        "CAUSERIE_CHATS_TITLES": "off",
    }
    chosen = load(environment | variables)
    runner = runner_of(chosen)
    try:
        await runner.setup()
        await listen(runner, chosen)
        await runner.app[CONTEXT].registry.probed.wait()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            yield Service(runner, http)
    finally:
        await runner.cleanup()
        # aiohttp keeps the middlewares of the last 1024 handlers, and with each its whole application.
        web_app._cached_build_middleware.cache_clear()
