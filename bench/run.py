"""`make bench`: measures the service, and prints a table. Other work on the machine spoils it."""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryDirectory

import peers
from document import write_document
from engine import engine
from growth import growth
from proxy import proxy
from rows import Options, Row, Table, comparison
from scenarios import SCENARIOS
from start import idle, start
from stream import stream
from systems import nginx_binary

MEASURES: dict[str, Callable[[Options], list[Row]]] = {
    "start": start,
    "memory": idle,
    "stream": stream,
    "proxy": proxy,
    "engine": engine,
}
ALL = [*MEASURES, "growth"]
QUICK_MEASURES, QUICK_SCENARIOS = ["start", "memory", "stream"], ["short16", "burst50", "whole16", "alone"]


def main() -> int:
    """Returns the exit status: 1 when something could not be measured, or not all streams were as sent."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else what was started would be left behind
    chosen = arguments()
    rows: list[Row] = []
    grown: list[Table] = []
    failed = False
    with TemporaryDirectory(prefix="causerie-bench-") as folder:
        rounds, starts = (1, 3) if chosen.quick else (chosen.rounds, 7)
        options = Options(rounds, starts, Path(folder), tuple(chosen.scenarios))
        for name in chosen.only:
            print(f"measuring {name} …", file=sys.stderr)
            try:
                if name == "growth":
                    grown += growth(options)
                else:
                    rows += MEASURES[name](options)
            except Exception as error:  # the other measures stand by themselves
                failed = True
                print(f"{name}: {error!r}", file=sys.stderr)
    tables = [comparison(rows), *grown] if rows else grown
    print("\n\n".join(table.text() for table in tables))
    report = described(rounds) | {"measures": [row._asdict() for row in rows], "tables": tables}
    if chosen.out:
        chosen.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if chosen.document:
        write_document(report)
    return int(failed or any(row.flawed for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    scenarios = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--only", type=partial(some_of, ALL), default=ALL, help=f"some of {','.join(ALL)}")
    parser.add_argument(
        "--scenarios", type=partial(some_of, scenarios), default=(), help=f"some of {','.join(scenarios)}"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of what is compared; fewer than 5 say little")
    parser.add_argument("--quick", action="store_true", help="one round: whether it works, not how well")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every figure there, as JSON")
    parser.add_argument("--document", action="store_true", help="write docs/performance.md and .svg anew")
    chosen = parser.parse_args()
    if chosen.quick and chosen.only == ALL:
        chosen.only, chosen.scenarios = QUICK_MEASURES, chosen.scenarios or QUICK_SCENARIOS
    return chosen


def some_of(names: list[str], text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(names):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(names)}")
    return text.split(",")


def described(rounds: int) -> dict[str, object]:
    """When and on what it was measured; nothing by which somebody could tell whose machine it is."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "processor": processor(), "system": platform.system()},
        "versions": {name: version for name, version in versions().items() if version},
        "load_average": os.getloadavg(),
        "rounds": rounds,
    }


def processor() -> str:
    named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return named[1] if named else platform.machine()


def versions() -> dict[str, str]:
    return {
        "Python": platform.python_version(),
        **{name: package_version(name) for name in ("aiohttp", "uvloop", "msgspec")},
        "nginx": nginx_version(),
        "LiteLLM": peers.version("litellm"),
        "g4f": peers.version("g4f"),
    }


def nginx_version() -> str:
    """Empty where it is not installed."""
    if not (binary := nginx_binary()):
        return ""
    told = subprocess.run([binary, "-v"], stderr=subprocess.PIPE, check=True).stderr.decode()
    return told.strip().rpartition("/")[2]


if __name__ == "__main__":
    sys.exit(main())
