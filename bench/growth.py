"""How cost grows with open streams, with turns kept to be read again, with records in the ledger."""

import http.client
import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

from asking import Contender, ask, load_command
from processes import Program, await_answer, cpu_seconds, free_port, running
from rows import Options, Table
from scenarios import SCENARIOS, Scenario
from stream import WARM, take_files, upstream_command
from systems import service

V2 = "/backend-api/v2"
CROWDS = (0, 1_000, 4_000)
SIZES = {"turns": (0, 10_000, 100_000), "records": (0, 100_000, 1_000_000)}
DAYS = 30
"""Over which the records are spread."""
ASKED = 20
PROBE = next(one for one in SCENARIOS if one.name == "short16")
CROWD_SECONDS = 60
LINES = {
    "turn": "CPU of a turn of one token, µs",
    "read": "GET turns/{id} of an ended turn, ms",
    "stats": "GET stats, ms",
    "usage": "GET usage/{today}, first byte, ms",
    "start": "start to listening, s",
}

COPIED = """
WITH RECURSIVE number(n) AS (VALUES(0) UNION ALL SELECT n + 1 FROM number WHERE n < :last)
INSERT INTO {table} ({columns}) SELECT {values} FROM number, (SELECT * FROM {table} LIMIT 1) AS one
"""
CHANGED = {
    "turns": {"id": "lower(hex(randomblob(16)))", "ended_at": "one.ended_at - n % 80000"},
    "records": {
        "id": "lower(hex(randomblob(16)))",
        "day": f"date(one.day, '-' || (n % {DAYS}) || ' days')",
        "model": "'model-' || (n % 20)",
        **{
            name: f"one.{name} - (n % {DAYS}) * 86400" for name in ("opened_at", "first_token_at", "ended_at")
        },
    },
}


class Cost(NamedTuple):
    """One column of a table: figures by the names of its lines."""

    size: int
    figures: dict[str, float]


def growth(options: Options) -> list[Table]:
    take_files()
    sizes = 2 if options.rounds == 1 else 3
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        crowds = list(with_crowds(options.folder / "crowds", port, CROWDS[:sizes]))
        found = [table("streams open beside it", crowds)]
        for what, some in SIZES.items():
            costs = list(with_rows(options.folder / what, port, what, some[:sizes]))
            found.append(table(f"{what} kept", costs))
    return found


def table(what: str, costs: list[Cost]) -> Table:
    lines = [name for name in LINES if name in costs[0].figures]
    heads = [what, *(f"{cost.size:,}" for cost in costs)]
    return Table(heads, [[LINES[name], *(f"{cost.figures[name]:.3g}" for cost in costs)] for name in lines])


def with_crowds(folder: Path, upstream: int, sizes: tuple[int, ...]) -> Iterator[Cost]:
    with service(folder, embedded=False, upstream=upstream) as ours:
        contender = prepared(ours)
        for size in sizes:
            with crowd(contender, size):
                yield Cost(size, {"turn": cost(contender)})


@contextmanager
def crowd(contender: Contender, size: int) -> Iterator[None]:
    """So many streams that say next to nothing. Raises `RuntimeError` where they do not come up."""
    if not size:
        yield
        return
    quiet = Scenario("quiet", "", size, size, 2, 600_000_000, ramp=size / 1000)
    with subprocess.Popen(load_command(contender, quiet), stdout=subprocess.DEVNULL) as load:
        try:
            deadline = time.monotonic() + CROWD_SECONDS
            while len(json.loads(answer(contender.program, f"{V2}/turns")[1])) < size:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{size} streams do not open.")
                time.sleep(0.2)
            yield
        finally:
            load.terminate()


def with_rows(folder: Path, upstream: int, what: str, sizes: tuple[int, ...]) -> Iterator[Cost]:
    with service(folder, embedded=False, upstream=upstream) as ours:
        prepared(ours)  # the row that is copied
    there = 0
    for size in sizes:
        fill(folder / "state/causerie.db", what, size - there)
        there = size
        seconds = median(seconds_to_listen(folder, upstream) for _ in range(3))
        with service(folder, embedded=False, upstream=upstream) as ours:
            yield Cost(size, asked(prepared(ours)) | {"start": seconds})


def seconds_to_listen(folder: Path, upstream: int) -> float:
    began = time.perf_counter()
    with service(folder, embedded=False, upstream=upstream) as program:
        await_answer(program, "/health/live")
        return time.perf_counter() - began


def fill(file: Path, what: str, count: int) -> None:
    """Copies one row so many times; the service is not running."""
    if not count:
        return
    with closing(sqlite3.connect(file)) as database, database:
        names = [row[1] for row in database.execute(f"PRAGMA table_info({what})")]
        values = [CHANGED[what].get(name, f'one."{name}"') for name in names]
        columns = ", ".join(f'"{name}"' for name in names)
        statement = COPIED.format(table=what, columns=columns, values=", ".join(values))
        database.execute(statement, {"last": count - 1})


def prepared(program: Program) -> Contender:
    """What is only done once is done."""
    await_answer(program, "/health/ready")
    contender = Contender("ours", "v2", program, {"provider": "Bench"})
    ask(contender, WARM)
    return contender


def cost(contender: Contender) -> float:
    """Microseconds of CPU of a turn, without what goes on beside it."""
    tree, began = contender.program.tree, cpu_seconds(contender.program.tree)
    time.sleep(1)
    beside = cpu_seconds(tree) - began
    found = ask(contender, PROBE)
    if found["complete"] < PROBE.streams:
        raise RuntimeError(f"Streams are not complete and in order: {found['flaw']}")
    return float((found["cpu"] - beside * found["seconds"]) / PROBE.streams * 1e6)


def asked(contender: Contender) -> dict[str, float]:
    turn = cost(contender)  # which leaves a page of records of today, the same for every size
    paths = {"stats": f"{V2}/stats", "usage": f"{V2}/usage/{date.today()}"}
    paths["read"] = f"{V2}/turns/{ended_turn(contender.program)}"
    times = {
        name: median(milliseconds(contender.program, path) for _ in range(ASKED))
        for name, path in paths.items()
    }
    return times | {"turn": turn}


def ended_turn(program: Program) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
    question = {"provider": "Bench", "prompt": "BENCH 20 tokens, 0 us"}
    connection.request("POST", f"{V2}/conversation", json.dumps(question))
    with connection.getresponse() as response:
        response.read()
        return str(response.headers["x-turn-id"])


def milliseconds(program: Program, path: str) -> float:
    return answer(program, path)[0]


def answer(program: Program, path: str) -> tuple[float, bytes]:
    """After how many milliseconds the first byte of the body came, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    connection.request("GET", path)
    with closing(connection), connection.getresponse() as response:
        first = response.read(1)
        passed = time.perf_counter() - began
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} is answered with {response.status}.")
        return passed * 1000, first + response.read()
