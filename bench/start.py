"""How soon a system is there, and what it costs while it does nothing."""

import time
from pathlib import Path
from statistics import median

from processes import Program, await_answer, cpu_seconds, free_port, memory, running
from rows import Bound, Options, Row
from stream import PEERS, PROBES, upstream_command
from systems import service

IDLE_SECONDS = 3.0
SOON, LITTLE, QUIET = Bound("", 0.8, 0.5, " s"), Bound("", 75, 55, " MiB"), Bound("", 2, 0.5, " ms/s")


def start(options: Options) -> list[Row]:
    peers = peers_started(options)
    return [started(options, embedded, first, peers) for embedded in (False, True) for first in (False, True)]


def peers_started(options: Options) -> dict[str, str]:
    """Each once: of those that take seconds a figure needs no more."""
    found: dict[str, str] = {}
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        for name, peer in PEERS.items():
            began = time.perf_counter()
            with peer(options.folder / f"start-{name}", port) as program:
                if program:
                    await_answer(program, PROBES[name])
                    found[name] = f"{time.perf_counter() - began:.2f} s"
    return found


def started(options: Options, embedded: bool, first: bool, peers: dict[str, str]) -> Row:
    """`first`: each time in an empty state directory, else in one that has its database."""
    folder = options.folder / f"start-{embedded}-{first}"
    if not first:
        seconds_to_answer(folder, embedded)
    folders = [folder / str(number) if first else folder for number in range(options.starts)]
    seconds = [seconds_to_answer(each, embedded) for each in folders]
    measure = f"Start to listening, {said(embedded)}{', the very first' if first else ''}"
    result = f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
    bounds = [] if first else [(SOON, median(seconds))]
    return Row(measure, result, {} if embedded or first else peers, bounds, {"seconds": seconds})


def seconds_to_answer(folder: Path, embedded: bool) -> float:
    began = time.perf_counter()
    with service(folder, embedded=embedded) as program:
        await_answer(program, "/health/live")
        return time.perf_counter() - began


def idle(options: Options) -> list[Row]:
    return [*resting(options, embedded=False), *resting(options, embedded=True)]


def resting(options: Options, *, embedded: bool) -> list[Row]:
    """After some seconds of rest: the memory, and the CPU of as many more seconds; the model's apart."""
    with service(options.folder / f"idle-{embedded}", embedded=embedded) as program:
        await_answer(program, "/health/ready")
        (mebibytes, *theirs), milliseconds = rest(program)
    peers = {} if embedded else peers_resting(options)
    beside = f" (the model's process: {sum(theirs):.0f} MiB)" if theirs else ""
    memory_said, cpu_said = f"{mebibytes:.1f} MiB{beside}", f"{milliseconds:.2f} ms/s"
    memory_of = {name: f"{sum(weights):.0f} MiB" for name, (weights, _) in peers.items()}
    cpu_of = {name: f"{cpu:.2f} ms/s" for name, (_, cpu) in peers.items()}
    details: dict[str, object] = {"service": mebibytes, "others": theirs, "milliseconds": milliseconds}
    return [
        Row(f"Idle memory (PSS), {said(embedded)}", memory_said, memory_of, [(LITTLE, mebibytes)], details),
        Row(f"Idle CPU, {said(embedded)}", cpu_said, cpu_of, [(QUIET, milliseconds)], details),
    ]


def rest(program: Program) -> tuple[list[float], float]:
    """The MiB of each process, and the milliseconds of CPU that the first one takes in a second."""
    time.sleep(IDLE_SECONDS)
    weights, own = [memory(pid) for pid in program.tree], program.tree[:1]
    before = cpu_seconds(own)
    time.sleep(IDLE_SECONDS)
    return weights, (cpu_seconds(own) - before) / IDLE_SECONDS * 1000


def peers_resting(options: Options) -> dict[str, tuple[list[float], float]]:
    found = {}
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        for name, peer in PEERS.items():
            with peer(options.folder / f"idle-{name}", port) as program:
                if program:
                    await_answer(program, PROBES[name])
                    found[name] = rest(program)
    return found


def said(embedded: bool) -> str:
    return "with the model" if embedded else "without the model"
