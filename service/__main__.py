"""The command: `python -m service` runs the service; the other commands are for its operator."""

import argparse
import sys

from service.commands.keys import add_keys
from service.commands.ledger import add_ledger
from service.commands.persons import add_persons
from service.commands.settings import describe
from service.errors import ServiceError
from service.settings import Settings, SettingsError
from service.sources import load


def main() -> int:
    """Returns the exit status; what an operator can mend is told in a sentence, without a trace."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.set_defaults(do=run)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    subparsers.add_parser("run", help="run the service (the default)")
    subparsers.add_parser("check", help="print the settings, and where they stand").set_defaults(do=check)
    add_keys(subparsers)
    add_ledger(subparsers)
    add_persons(subparsers)
    arguments = parser.parse_args()
    try:
        return int(arguments.do(load(), arguments))
    except (SettingsError, ServiceError) as error:
        print(f"causerie: {error}", file=sys.stderr)
        return 1


def run(settings: Settings, _: argparse.Namespace) -> int:
    from service.server import run as serve  # the framework is only needed to run

    return serve(settings)


def check(settings: Settings, _: argparse.Namespace) -> int:
    print(describe(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
