"""What is kept of a person: `persons export`, `forget`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from service.commands.database import beside
from service.errors import BadRequest
from service.settings import SECRET, Settings

if TYPE_CHECKING:  # the database is loaded for the commands that need it
    from service.stores.people import People


def add_persons(subparsers: Any) -> None:
    """`persons export`, `forget`."""
    persons = subparsers.add_parser("persons", help="hand out or remove what is kept of somebody")
    actions = persons.add_subparsers(title="actions", metavar="ACTION", required=True)
    for action, told, do in (
        ("export", "print all that is kept of a user, as JSON lines", _export),
        (
            "forget",
            "remove what a user asked, was told, uploaded; the ledger goes on without the name",
            _forget,
        ),
    ):
        parser = actions.add_parser(action, help=told)
        parser.add_argument("name", help="the user, as keys and the ledger have it")
        parser.set_defaults(do=_with(do))


def _with(
    do: "Callable[[Settings, People, str], Awaitable[None]]",
) -> Callable[[Settings, argparse.Namespace], int]:
    """The action as a command: with the database opened and closed around it."""

    async def acted(settings: Settings, name: str) -> None:
        async with _opened(settings) as people:
            await do(settings, people, name)

    def command(settings: Settings, arguments: argparse.Namespace) -> int:
        asyncio.run(acted(settings, arguments.name))
        return 0

    return command


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator["People", None]:
    from service.stores.blobs import blobs_at
    from service.stores.people import People

    async with beside(settings) as database:
        yield People(database, blobs_at(settings.files.url, settings.files_directory))


async def _export(_: Settings, people: "People", name: str) -> None:
    async with aclosing(people.export(name)) as rows:
        async for row in rows:
            sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
    sys.stdout.buffer.flush()


async def _forget(settings: Settings, people: "People", name: str) -> None:
    from service.stores.recordings import remove
    from service.stores.secret import Secret

    if running := await people.running(name):
        raise BadRequest(
            f"{running} of the answers for {name} still run, and would be kept when they end. Let the service"
            " do it (DELETE /backend-api/v2/persons/NAME stops them), or, after a crash, start it once."
        )
    gone = await people.forget(name)
    remove(settings.state / "voices", Secret(settings.state, settings.secrets.get(SECRET)), name)
    sys.stdout.write(
        f"{name} is forgotten: {gone.turns} turns, {gone.chats} chats and {gone.files} files are gone,"
        f" {gone.records} records have no name.\n"
    )
