"""Asks one system once: what it cost, what it weighed, and what the load saw."""

import json
import subprocess
import sys
import time
from typing import Any, NamedTuple

from processes import ROOT, Program, cpu_seconds, memory
from scenarios import Scenario

LOAD_SECONDS = 60.0
LOOK_SECONDS = 0.2
KIND = "Anonymous"
"""Pages of its own; the share of others changes with whatever else the machine runs."""

Asked = dict[str, Any]
"""What bench/load.py says, and the seconds of CPU (`cpu`), the `streams`, the KiB by which it has `grown`."""


class Contender(NamedTuple):
    """Who is asked: over which wire, with which further fields; a `slow` one is asked for less."""

    name: str
    wire: str
    program: Program
    fields: dict[str, str] = {}  # noqa: RUF012
    slow: bool = False


def ask(contender: Contender, scenario: Scenario, *, weighed: bool = False) -> Asked:
    program = contender.program
    weight = most = weigh(program) if weighed else 0.0
    before, deadline = cpu_seconds(program.tree), time.monotonic() + LOAD_SECONDS * 2
    with subprocess.Popen(load_command(contender, scenario), stdout=subprocess.PIPE) as load:
        while weighed and load.poll() is None and time.monotonic() < deadline:
            most = max(most, weigh(program))
            time.sleep(LOOK_SECONDS)
        said: Asked = json.loads(load.communicate(timeout=LOAD_SECONDS * 2)[0])
    said |= {"cpu": cpu_seconds(program.tree) - before, "streams": scenario.streams}
    return said | {"grown": (most - weight) * 1024}


def load_command(contender: Contender, scenario: Scenario) -> list[str]:
    sizes = ("at_once", "streams", "tokens", "gap", "whole", "aborts", "slow", "ramp")
    options = [f"--{name.replace('_', '-')}={getattr(scenario, name)}" for name in sizes]
    whom = [f"--port={contender.program.port}", f"--wire={contender.wire}", f"--key={contender.program.key}"]
    fields = [f"--fields={json.dumps(contender.fields)}", f"--seconds={LOAD_SECONDS}"]
    return [sys.executable, str(ROOT / "bench/load.py"), *whom, *fields, *options]


def weigh(program: Program) -> float:
    """MiB of the whole tree."""
    return sum(memory(pid, KIND) for pid in program.tree)
