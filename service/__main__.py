"""The command: `python -m service` runs the service, `python -m service check` says what it would run."""

import argparse
import sys

from service.settings import SettingsError, describe
from service.sources import load


def main() -> int:
    """Returns the exit status; what an operator can mend is told in a sentence, without a trace."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "check"], default="run")
    command = parser.parse_args().command
    try:
        settings = load()
        if command == "check":
            print(describe(settings))
            return 0
        from service.server import run  # the framework is only needed to run

        return run(settings)
    except SettingsError as error:
        print(f"causerie: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
