"""`make bench`: measures the service, and prints a table. Other work on the machine spoils it."""

import argparse
import json
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from crowd import crowd
from engine import engine
from proxy import proxy
from rows import Options, Row
from start import idle, start
from stream import stream

MEASURES = {
    "start": start,
    "memory": idle,
    "stream": stream,
    "crowd": crowd,
    "proxy": proxy,
    "engine": engine,
}


def main() -> int:
    """Returns the exit status: 1 when something could not be measured, or not all streams were as sent."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else what was started would be left behind
    chosen = arguments()
    rows: list[Row] = []
    failed = False
    with TemporaryDirectory(prefix="causerie-bench-") as folder:
        rounds, starts = (1, 3) if chosen.quick else (chosen.rounds, 7)
        options = Options(rounds, starts, Path(folder))
        for name in chosen.only:
            print(f"measuring {name} …", file=sys.stderr)
            try:
                rows += MEASURES[name](options)
            except Exception as error:  # the other measures stand by themselves
                failed = True
                print(f"{name}: {error!r}", file=sys.stderr)
    print(table(rows))
    if chosen.out:
        chosen.out.write_text(json.dumps(report(rows, rounds), indent=1, ensure_ascii=False) + "\n")
    return int(failed or any(row.flawed for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=names, default=list(MEASURES), help=f"some of {','.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=5, help="of what is compared; fewer than 5 say little")
    parser.add_argument("--quick", action="store_true", help="one round: whether it works, not how well")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every figure there, as JSON")
    return parser.parse_args()


def names(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(MEASURES):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    return text.split(",")


def table(rows: list[Row]) -> str:
    lines = (f"| {row.measure} | {row.result} | {row.aim} |" for row in rows)
    return "\n".join(["| measure | result | aim |", "|---|---|---|", *lines])


def report(rows: list[Row], rounds: int) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "load_average": os.getloadavg(),
        "rounds": rounds,
        "measures": [row._asdict() for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
