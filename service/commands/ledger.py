"""The ledger: `ledger reprice`."""

import argparse
import asyncio
from contextlib import aclosing
from datetime import date
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from service.commands import table
from service.commands.database import beside
from service.settings import Settings

if TYPE_CHECKING:  # the database is loaded for the commands that need it
    from service.turns.repricing import Change

BEGINNING = date(1970, 1, 2)
NANO = 1_000_000_000
COLUMNS = ("PROVIDER", "MODEL", "RECORDS", "UNPRICED", "USD BEFORE", "USD AFTER")


class Line(Struct):
    """What changes for a model; `unpriced` is how many of its records had no price."""

    records: int = 0
    unpriced: int = 0
    before: int = 0
    after: int = 0

    def add(self, change: "Change") -> None:
        self.records += 1
        self.unpriced += change.before is None
        self.before += change.before or 0
        self.after += change.after.amount or 0

    def cells(self) -> tuple[str, ...]:
        return (str(self.records), str(self.unpriced), _dollars(self.before), _dollars(self.after))


def add_ledger(subparsers: Any) -> None:
    """`ledger reprice`."""
    ledger = subparsers.add_parser("ledger", help="see to what turns have cost")
    actions = ledger.add_subparsers(title="actions", metavar="ACTION", required=True)
    parser = actions.add_parser("reprice", help="say what the prices of today would change")
    parser.add_argument("--since", type=day, default=BEGINNING, metavar="DATE", help="such as 2026-01-31")
    parser.add_argument("--apply", action="store_true", help="correct the ledger; no row of it is changed")
    parser.set_defaults(do=_reprice)


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write it as 2026-01-31") from None


def _reprice(settings: Settings, arguments: argparse.Namespace) -> int:
    asyncio.run(reprice(settings, arguments.since, arguments.apply))
    return 0


async def reprice(settings: Settings, since: date, really: bool) -> None:
    """Prints what would change, by model, and writes the corrections where it is really meant."""
    from service.providers.roster import roster
    from service.stores.ledger import Ledger
    from service.stores.prices import Prices
    from service.turns.repricing import apply, changes

    lines: dict[tuple[str, str], Line] = {}
    async with beside(settings) as database:
        ledger, prices = Ledger(database), Prices(roster(settings), settings.providers)
        async with aclosing(changes(ledger, prices, settings.speakers, since)) as pages:
            async for page in pages:
                if really:
                    await apply(ledger, page)
                for change in page:
                    lines.setdefault(_names(change), Line()).add(change)
    _show(lines, really)


def _names(change: "Change") -> tuple[str, str]:
    record = change.record
    provider, model = record.provider or record.provider_asked, record.model or record.model_asked
    return provider or "unknown", model or "unknown"


def _show(lines: dict[tuple[str, str], Line], really: bool) -> None:
    if not lines:
        print("The prices of today change nothing.")
        return
    table.show([COLUMNS, *((*names, *line.cells()) for names, line in sorted(lines.items()))])
    changed = sum(line.records for line in lines.values())
    many = changed > 1
    corrected = "were corrected" if many else "was corrected"
    told = corrected if really else f"would change; --apply corrects {'them' if many else 'it'}"
    print(f"{changed} record{'s' if many else ''} {told}.")


def _dollars(amount: int) -> str:
    return f"{amount / NANO:.6f}"
