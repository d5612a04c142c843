"""What a streamed token costs: the service and nginx, each in front of the same provider, in turns."""

import json
import subprocess
import sys
from typing import NamedTuple

from processes import ROOT, Program, await_answer, cpu_seconds, free_port, running
from rows import Options, Row, turns
from systems import nginx, plain, service

LOAD_SECONDS = 150.0


class Scenario(NamedTuple):
    """`gap` is the mean time between two tokens of a stream in microseconds; 0: as fast as they come."""

    name: str
    what: str
    at_once: int
    streams: int
    tokens: int
    gap: int
    aim: str = "–"


SCENARIOS = (
    Scenario("paced200", "200 streams, a token each 10 ms ± 90 %", 200, 200, 100, 10_000, "≤ 6"),
    Scenario("burst50", "50 streams, as fast as they come", 50, 250, 200, 0),
    Scenario("short16", "16 at once, of one token", 16, 1000, 1, 0),
)


class Cost(NamedTuple):
    """What one round of a scenario took of a system: seconds of CPU, and of time."""

    cpu: float
    seconds: float
    complete: int
    flaw: str


def stream(options: Options) -> list[Row]:
    rounds = options.rounds
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        with (
            service(options.folder / "streaming", embedded=False, upstream=port) as ours,
            nginx(options.folder / "nginx", plain(port)) as peer,
        ):
            await_answer(ours, "/health/ready")
            if peer:
                await_answer(peer, "/v1/models")
            systems = {"backend": ours} | ({"openai": peer} if peer else {})
            for wire, program in systems.items():
                warm_up(program, wire)
            return [compared(scenario, systems, rounds) for scenario in SCENARIOS]


def upstream_command(port: int) -> list[str]:
    return [sys.executable, str(ROOT / "bench/upstream.py"), str(port)]


def warm_up(program: Program, wire: str) -> None:
    """What is only done once shall not count; raises `RuntimeError` where the streams are flawed already."""
    trial = SCENARIOS[-1]._replace(streams=50)
    if (first := cost(program, wire, trial)).complete < trial.streams:
        raise RuntimeError(f"The {wire} stream is not complete and in order: {first.flaw}")


def compared(scenario: Scenario, systems: dict[str, Program], rounds: int) -> Row:
    costs: dict[str, list[Cost]] = {wire: [] for wire in systems}
    for wire in turns(systems, rounds):
        costs[wire].append(cost(systems[wire], wire, scenario))
    return row(scenario, costs)


def load_command(program: Program, wire: str, scenario: Scenario) -> list[str]:
    sizes = {name: getattr(scenario, name) for name in ("at_once", "streams", "tokens", "gap")}
    arguments = [f"--{name.replace('_', '-')}={size}" for name, size in sizes.items()]
    where = [f"--port={program.port}", f"--wire={wire}"]
    return [sys.executable, str(ROOT / "bench/load.py"), *where, *arguments]


def cost(program: Program, wire: str, scenario: Scenario) -> Cost:
    command = load_command(program, wire, scenario)
    before = cpu_seconds(program.tree)
    said = subprocess.run(command, stdout=subprocess.PIPE, timeout=LOAD_SECONDS, check=True).stdout
    return Cost(cpu_seconds(program.tree) - before, **json.loads(said))


def row(scenario: Scenario, costs: dict[str, list[Cost]]) -> Row:
    """Pooled over the rounds: a single one can be wrong by a factor of two."""
    ours, peer = costs["backend"], costs.get("openai", [])
    result = f"{pooled(ours, scenario):.1f} µs"
    if peer:
        ratios = [one.cpu / other.cpu for one, other in zip(ours, peer, strict=True)]
        ratio = sum(one.cpu for one in ours) / sum(other.cpu for other in peer)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        result = f"{ratio:.2f} ({spread}): {result} ÷ {pooled(peer, scenario):.1f} µs"
    else:
        result += " (no ratio: nginx is not installed)"
    lost = sum(scenario.streams - one.complete for one in ours + peer)
    if lost:
        result += f"; {lost} streams were not complete and in order"
    rounds = {wire: [one._asdict() for one in some] for wire, some in costs.items()}
    details: dict[str, object] = {"scenario": scenario._asdict(), "rounds": rounds}
    measure = f"CPU a token ÷ nginx, {scenario.name} ({scenario.what})"
    return Row(measure, result, scenario.aim, details, flawed=lost > 0)


def pooled(costs: list[Cost], scenario: Scenario) -> float:
    """Microseconds of CPU a token."""
    return sum(one.cpu for one in costs) / (len(costs) * scenario.streams * scenario.tokens) * 1e6
