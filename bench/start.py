"""How soon the service is there, and what it costs while it does nothing."""

import time
from pathlib import Path
from statistics import median

from processes import await_answer, cpu_seconds, memory
from rows import Options, Row
from systems import service

IDLE_SECONDS = 3.0


def start(options: Options) -> list[Row]:
    return [started(options, embedded, first) for embedded in (False, True) for first in (False, True)]


def started(options: Options, embedded: bool, first: bool) -> Row:
    """`first`: each time in an empty state directory, else in one that has its database."""
    folder = options.folder / f"start-{embedded}-{first}"
    if not first:
        seconds_to_answer(folder, embedded)
    folders = [folder / str(number) if first else folder for number in range(options.starts)]
    seconds = [seconds_to_answer(each, embedded) for each in folders]
    measure = f"Process start to /health/live, {said(embedded)}{', the very first' if first else ''}"
    result = f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
    return Row(measure, result, "–" if first else "≤ 0.9 s", {"seconds": seconds})


def seconds_to_answer(folder: Path, embedded: bool) -> float:
    began = time.perf_counter()
    with service(folder, embedded=embedded) as program:
        await_answer(program, "/health/live")
        return time.perf_counter() - began


def idle(options: Options) -> list[Row]:
    return [row for embedded in (False, True) for row in resting(options, embedded)]


def resting(options: Options, embedded: bool) -> list[Row]:
    """After some seconds of rest: the memory, and the CPU of as many more seconds; the model's apart."""
    with service(options.folder / f"idle-{embedded}", embedded=embedded) as program:
        await_answer(program, "/health/ready")
        time.sleep(IDLE_SECONDS)
        own, *children = program.tree
        mebibytes, theirs = memory(own), sum(map(memory, children))
        before = cpu_seconds([own])
        time.sleep(IDLE_SECONDS)
        milliseconds = (cpu_seconds([own]) - before) / IDLE_SECONDS * 1000
    beside = f" (the model's process: {theirs:.0f} MiB)" if children else ""
    details: dict[str, object] = {"service": mebibytes, "children": theirs}
    return [
        Row(f"Idle memory (PSS), {said(embedded)}", f"{mebibytes:.1f} MiB{beside}", "≤ 80 MiB", details),
        Row(f"Idle CPU, {said(embedded)}", f"{milliseconds:.2f} ms/s", "–", {"milliseconds": milliseconds}),
    ]


def said(embedded: bool) -> str:
    return "with the model" if embedded else "without the model"
