"""The service in front of several upstreams, and what it has of their turns."""

import asyncio
import json

from sqlalchemy import select

from service.stores.schema import records
from tests.serving import Json, Service
from tests.upstream import Request, Upstream, until


def row(name: str, upstream: Upstream, deadline: float = 30) -> str:
    """A provider in the operator's file; `deadline` in seconds is that of each token."""
    return f"""
[[providers]]
name = "{name}"
url = "{upstream.url}"
local = true
first_token_timeout = {deadline}
idle_timeout = {deadline}
"""


def routing(failures: int = 100, cool_down: float = 60, patience: float = 4) -> str:
    return f"\n[routing]\nfailures = {failures}\ncool_down = {cool_down}\npatience = {patience}\n"


def alias(name: str, *targets: str, more: str = "") -> str:
    """The targets are written as `Provider/model`, or with fields of TOML after a comma."""
    tables = ", ".join(_target(target) for target in targets)
    return f'\n[[aliases]]\nname = "{name}"\ntargets = [{tables}]\n{more}\n'


def _target(written: str) -> str:
    target, _, more = written.partition(", ")
    provider, _, model = target.partition("/")
    fields = [f'provider = "{provider}"', f'model = "{model}"', *([more] if more else [])]
    return "{ " + ", ".join(fields) + " }"


def chats(upstream: Upstream) -> list[Request]:
    """The questions that it was asked."""
    return [request for request in upstream.requests if request.path.endswith("/completions")]


def providers(events: list[Json]) -> list[str]:
    """Who was asked, in order."""
    return [event["provider"]["name"] for event in events if event["type"] == "provider"]


def switches(events: list[Json]) -> list[tuple[str, str, bool]]:
    """Who failed, with which error, and whether something had been said."""
    found = [event for event in events if event["type"] == "switch"]
    return [
        (event["switch"]["provider"], event["switch"]["error"], event.get("seam", False)) for event in found
    ]


async def offers(service: Service) -> dict[str, Json]:
    return {offer["name"]: offer for offer in await service.get("/backend-api/v2/providers")}


async def settled(service: Service, count: int = 1) -> list[Json]:
    """The ledger's rows, oldest first, once so many are there and all are settled; `legs` are read."""
    for _ in range(400):
        await until(lambda: not service.context.database.waiting)
        found = await service.context.database.read(select(records).order_by(records.c.opened_at))
        rows = [dict(row) for row in found if row["kind"] == "turn"]
        if len(rows) >= count and all(row["ending"] for row in rows):
            return [{**row, "legs": json.loads(row["legs"] or "null")} for row in rows]
        await asyncio.sleep(0.01)
    raise TimeoutError("The turns were not settled.")
