"""The service, nginx and the peers in front of the same provider, asked in turns."""

import http.client
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import shown
from asking import Asked, Contender, ask
from peers import g4f, litellm
from processes import ROOT, Program, await_answer, free_port, running
from rows import Options, Row, turns
from scenarios import SCENARIOS, Scenario
from systems import nginx, plain, service

SLOW_EVERY = 3
"""Rounds: of systems that take fifty times as long a figure needs no more."""
SLOW_PART = 10
LEFT_SECONDS = 2.0
WARM = Scenario("warm", "", 16, 100, 5)
OURS = {"provider": "Bench"}
Start = Callable[[Path, int], AbstractContextManager[Program | None]]
PEERS: dict[str, Start] = {
    "nginx": lambda folder, upstream: nginx(folder, plain(upstream)),
    "LiteLLM": litellm,
    "g4f": g4f,
}
START: dict[str, Start] = PEERS | {
    "ours": lambda folder, upstream: service(folder, embedded=False, upstream=upstream, limited=True),
    "open": lambda folder, upstream: service(folder, embedded=False, upstream=upstream),
}
PROBES = {
    "nginx": "/v1/models",
    "LiteLLM": "/health/liveliness",
    "g4f": "/backend-api/v2/version?cache=1",
}


def stream(options: Options) -> list[Row]:
    take_files()
    scenarios = [one for one in SCENARIOS if options.wanted(one.name)]
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        folder, names = options.folder / "stream", SCENARIOS[0].asked
        with contenders(folder, port, names) as everybody:
            everybody["direct"] = Contender("direct", "v1", upstream)
            return [row for one in scenarios for row in compared(one, everybody, upstream, options)]


def take_files() -> None:
    """As many as there may be, for what is started from here: a connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def contenders(folder: Path, upstream: int, names: Sequence[str]) -> Iterator[dict[str, Contender]]:
    """Those who are named and installed, in front of the provider at port `upstream`."""
    with ExitStack() as stack:
        found: list[Contender] = []
        for column in dict.fromkeys(name.partition(" ")[0] for name in names):
            if program := stack.enter_context(START[column](folder / column, upstream)):
                await_answer(program, PROBES.get(column, "/health/ready"))
                wires = [name.partition(" ")[2] for name in names if name.startswith(f"{column} ")]
                found += [Contender(f"{column} {wire}", wire, program, OURS) for wire in wires]
                found += [] if wires else [other(column, program, upstream)]
        for contender in found:
            warm_up(contender)
        yield {contender.name: contender for contender in found}


def other(column: str, program: Program, upstream: int) -> Contender:
    """g4f has the v2 wire, and is told where the provider is; everybody else speaks OpenAI's."""
    if column == "g4f":
        fields = {"provider": "Custom", "base_url": f"http://127.0.0.1:{upstream}/v1"}
        return Contender(column, "v2", program, fields, slow=True)
    return Contender(column, "v1", program, slow=column == "LiteLLM")


def upstream_command(port: int) -> list[str]:
    return [sys.executable, str(ROOT / "bench/upstream.py"), str(port)]


def warm_up(contender: Contender) -> None:
    """What is only done once shall not count. Raises `RuntimeError` where streams are flawed already."""
    first = ask(contender, WARM)
    if first["complete"] < WARM.streams:
        raise RuntimeError(f"{contender.name} does not stream completely and in order: {first['flaw']}")


def compared(
    scenario: Scenario, everybody: dict[str, Contender], upstream: Program, options: Options
) -> list[Row]:
    """Pooled over the rounds: a single one can be wrong by a factor of two."""
    print(f"  {scenario.name}: {scenario.what} …", file=sys.stderr)
    names = [name for name in scenario.asked if name in everybody]
    asked: dict[str, list[Asked]] = {name: [] for name in names}
    for number, name in turns(names, min(options.rounds, scenario.rounds)):
        if everybody[name].slow and number % SLOW_EVERY:
            continue
        if "memory" in scenario.shown:
            asked[name].append(weighed(scenario, name, upstream, options))
        else:
            asked[name].append(once(scenario, everybody[name], upstream))
    wires = [wire for wire in ("v2", "v1") if asked.get(f"ours {wire}")]
    return [shown.row(kind, scenario, asked, wire) for wire in wires for kind in scenario.shown]


def once(scenario: Scenario, contender: Contender, upstream: Program) -> Asked:
    if contender.slow:
        scenario = scenario._replace(streams=max(scenario.at_once, scenario.streams // SLOW_PART))
    before = left(upstream)
    answer = ask(contender, scenario)
    if scenario.aborts:
        answer["left"] = wait_for_leavers(upstream, before, answer["aborted"])
    return answer


def weighed(scenario: Scenario, name: str, upstream: Program, options: Options) -> Asked:
    """In a process of its own: one that was larger before has room that it need not ask for."""
    folder = options.folder / f"{scenario.name} {name}"
    with contenders(folder, upstream.port, [name]) as found:
        return ask(found[name], scenario, weighed=True)


def left(upstream: Program) -> int:
    """From how many streams clients have gone as yet."""
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=10)
    connection.request("GET", "/left")
    with connection.getresponse() as response:
        return int(response.read())


def wait_for_leavers(upstream: Program, before: int, expected: int) -> int:
    """How many the provider has seen leave, as soon as it is all of them, or after some seconds."""
    deadline = time.monotonic() + LEFT_SECONDS
    while (seen := left(upstream) - before) < expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen
