"""Keys: `keys create`, `list`, `revoke`, `rotate`."""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from service.commands import table
from service.commands.database import beside
from service.errors import BadRequest
from service.settings import SECRET, Settings
from service.sources import CUSTOM, TARGETS

if TYPE_CHECKING:  # the database is loaded for the commands that need it
    from service.stores.keys import Grant, Key, Keys, Role

    Action = Callable[[Keys, Settings, argparse.Namespace], Awaitable[None]]

UNITS = {"h": 3_600, "d": 86_400, "w": 604_800}
COLUMNS = ("ID", "USER", "ROLE", "NAME", "CREATED", "ENDS", "FOR", "LIMITS")

Subparsers = Any
"""What `add_subparsers` returns, which has no public name."""


def add_keys(subparsers: Subparsers) -> None:
    """`keys create`, `list`, `revoke`, `rotate`."""
    keys = subparsers.add_parser("keys", help="make, list and end keys")
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_create(actions.add_parser("create", help="make a key, and print it once"))
    actions.add_parser("list", help="print all keys, without their secrets").set_defaults(do=_with(_list))
    for action, told, do in (
        ("revoke", "end a key for good, and what runs with it", _revoke),
        ("rotate", "give a key a new secret, and print it once", _rotate),
    ):
        parser = actions.add_parser(action, help=told)
        parser.add_argument("id", help="its first eight characters after ck-, as the list has them")
        parser.set_defaults(do=_with(do))


def _add_create(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--user", required=True, help="whose key it is; all keys of a user share what is his")
    add("--admin", action="store_true", help="it may see and do everything")
    add("--name", default="", help="a note for people")
    add("--expires", type=duration, metavar="TIME", help="when it ends, such as 12h, 90d or 4w")
    add("--models", type=names, metavar="A,B", help="the only models or aliases that it is for")
    add("--providers", type=names, metavar="A,B", help="the only providers that it is for")
    add("--requests-per-minute", type=count, metavar="N")
    add("--tokens-per-minute", type=count, metavar="N")
    add("--turns-at-once", type=count, metavar="N")
    add("--budget-day", type=dollars, metavar="USD")
    add("--budget-month", type=dollars, metavar="USD")
    parser.set_defaults(do=_with(_create))


def duration(text: str) -> float:
    """Seconds; argparse says what is wrong."""
    match = re.fullmatch(r"([1-9]\d{0,5})([hdw])", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write it as 12h, 90d or 4w")
    return int(match[1]) * UNITS[match[2]]


def names(text: str) -> frozenset[str]:
    found = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError("name one at least, several with commas between them")
    return found


def count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,14}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def dollars(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in US dollars, such as 5 or 0.50")
    return float(text)


def _with(do: "Action") -> Callable[[Settings, argparse.Namespace], int]:
    """The action as a command: with the keys opened and closed around it."""

    async def acted(settings: Settings, arguments: argparse.Namespace) -> None:
        async with _opened(settings) as keys:
            await do(keys, settings, arguments)

    def command(settings: Settings, arguments: argparse.Namespace) -> int:
        asyncio.run(acted(settings, arguments))
        return 0

    return command


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator["Keys", None]:
    """The keys; a running service notices what is changed."""
    from service.stores.keys import Keys
    from service.stores.secret import Secret

    async with beside(settings) as database:
        keys = Keys(database, Secret(settings.state, settings.secrets.get(SECRET)))
        await keys.refresh()
        yield keys


async def _create(keys: "Keys", settings: Settings, arguments: argparse.Namespace) -> None:
    expires_at = time.time() + arguments.expires if arguments.expires else None
    role: Role = "admin" if arguments.admin else "user"
    grant = _grant(settings, arguments)
    _show(await keys.create(arguments.user, role, arguments.name, expires_at, grant))


def _grant(settings: Settings, asked: argparse.Namespace) -> "Grant":
    from service.messages import Allowed
    from service.stores.keys import Budget, Grant, Limits

    known = {row.name for row in settings.providers} | TARGETS | {CUSTOM}
    if unknown := sorted((asked.providers or set()) - known):
        raise BadRequest(f"There is no provider {unknown[0]}, but there are {', '.join(sorted(known))}.")
    limits = Limits(asked.requests_per_minute, asked.tokens_per_minute, asked.turns_at_once)
    return Grant(Allowed(asked.providers, asked.models), limits, Budget(asked.budget_day, asked.budget_month))


async def _list(keys: "Keys", _: Settings, __: argparse.Namespace) -> None:
    table.show([COLUMNS, *map(_row, keys)])


async def _revoke(keys: "Keys", _: Settings, arguments: argparse.Namespace) -> None:
    key = await keys.revoke(arguments.id)
    print(f"The key {key.id} of {key.user} is revoked.")


async def _rotate(keys: "Keys", _: Settings, arguments: argparse.Namespace) -> None:
    _show(await keys.rotate(arguments.id))


def _show(made: tuple["Key", str]) -> None:
    """The key alone is what another program reads."""
    key, text = made
    print(text)
    print(f"This is the key of {key.user} ({key.role}). Keep it, nobody can show it again.", file=sys.stderr)


def _row(key: "Key") -> tuple[str, ...]:
    """A line of the list."""
    ends = key.over or (_day(key.expires_at) if key.expires_at else "-")
    allowed = [*(key.grant.allowed.providers or ()), *(key.grant.allowed.models or ())]
    limited = [
        f"{name}={value:g}"
        for limits in (key.grant.limits, key.grant.budget)
        for name in limits.__struct_fields__
        if (value := getattr(limits, name)) is not None
    ]
    asked = (key.name, _day(key.created_at), ends, ",".join(sorted(allowed)), ",".join(limited))
    return (key.id, key.user, key.role, *(text or "-" for text in asked))


def _day(seconds: float) -> str:
    return date.fromtimestamp(seconds).isoformat()
