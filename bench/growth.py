"""How cost grows with open streams, turns kept to be read again, records in the ledger, messages in chats."""

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
MILLION = (0, 100_000, 1_000_000)
SIZES = {"turns": (0, 10_000, 100_000), "records": MILLION, "messages": MILLION}
DAYS = 30
"""Over which the records are spread."""
TALK = 10
"""Messages of a chat."""
QUESTION = "BENCH 20 tokens, 0 us"
CHAT = "growing"
"""The chat that is begun by a question, and asked for."""
ASKED = 20
PROBE = next(one for one in SCENARIOS if one.name == "short16")
CROWD_SECONDS = 60
LINES = {
    "turn": "CPU of a turn of one token, µs",
    "read": "GET turns/{id} of an ended turn, ms",
    "stats": "GET stats, ms",
    "usage": "GET usage/{today}, first byte, ms",
    "list": "GET chats, the first page, ms",
    "rare": "GET chats?q=, a word of some messages, ms",
    "common": "GET chats?q=, a word of all messages, ms",
    "chat": "GET chats/{id}, a chat of two messages, ms",
    "start": "start to listening, s",
}

COPIED = """
WITH RECURSIVE number(n) AS (
  VALUES(:first) UNION ALL SELECT n + :step FROM number WHERE n + :step < :end
)
INSERT INTO {table} ({columns}) SELECT {values} FROM number, (SELECT * FROM {table} LIMIT 1) AS one
"""
PLACED = f"(((1000 + n / {TALK}) << 20) + 1 + n % {TALK})"
"""The number of a message, as service.stores.schema_chats has it."""
CHANGED = {
    "turns": {"turns": {"id": "lower(hex(randomblob(16)))", "ended_at": "one.ended_at - n % 80000"}},
    "records": {
        "records": {
            "id": "lower(hex(randomblob(16)))",
            "day": f"date(one.day, '-' || (n % {DAYS}) || ' days')",
            "model": "'model-' || (n % 20)",
            **{
                name: f"one.{name} - (n % {DAYS}) * 86400"
                for name in ("opened_at", "first_token_at", "ended_at")
            },
        }
    },
    "messages": {
        "chats": {
            "number": f"1000 + n / {TALK}",
            "id": "'copy-' || n",
            "updated_at": "one.updated_at - n",
            "leaf": f"((1000 + n / {TALK}) << 20) + {TALK}",
        },
        "chat_messages": {
            "number": PLACED,
            "chat": f"1000 + n / {TALK}",
            "parent": f"CASE n % {TALK} WHEN 0 THEN NULL ELSE {PLACED} - 1 END",
            "role": "CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END",
        },
        "chat_words": {"rowid": PLACED, "words": "one.words || ' everywhere word' || (n / 1000)"},
    },
}
"""Which rows are copied into which tables, and what is another in each copy."""


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
        prepared(ours)  # the rows that are copied
        answered(ours, conversation_id=CHAT)
    there = 0
    for size in sizes:
        fill(folder / "state/causerie.db", what, there, size)
        there = size
        seconds = median(seconds_to_listen(folder, upstream) for _ in range(3))
        with service(folder, embedded=False, upstream=upstream) as ours:
            yield Cost(size, asked(prepared(ours), what) | {"start": seconds})


def seconds_to_listen(folder: Path, upstream: int) -> float:
    began = time.perf_counter()
    with service(folder, embedded=False, upstream=upstream) as program:
        await_answer(program, "/health/live")
        return time.perf_counter() - began


def fill(file: Path, what: str, there: int, count: int) -> None:
    """Copies one row of each table until there are so many; the service is not running."""
    if count == there:
        return
    with closing(sqlite3.connect(file)) as database, database:
        for table, changed in CHANGED[what].items():
            names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            named = dict.fromkeys([*names, *changed])
            columns = ", ".join(f'"{name}"' for name in named)
            values = ", ".join(changed.get(name, f'one."{name}"') for name in named)
            statement = COPIED.format(table=table, columns=columns, values=values)
            step = TALK if table == "chats" else 1
            database.execute(statement, {"first": there, "step": step, "end": count})


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


def asked(contender: Contender, what: str) -> dict[str, float]:
    turn = cost(contender)  # which leaves a page of records of today, the same for every size
    times = {
        name: median(milliseconds(contender.program, path) for _ in range(ASKED))
        for name, path in paths(contender.program, what).items()
    }
    return times | {"turn": turn}


def paths(program: Program, what: str) -> dict[str, str]:
    if what == "messages":
        chats = f"{V2}/chats"
        return {
            "list": chats,
            "rare": f"{chats}?q=word42",
            "common": f"{chats}?q=everywhere",
            "chat": f"{chats}/{CHAT}",
        }
    turn = answered(program)
    return {"stats": f"{V2}/stats", "usage": f"{V2}/usage/{date.today()}", "read": f"{V2}/turns/{turn}"}


def answered(program: Program, **fields: str) -> str:
    """The id of a turn that has ended."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
    question = {"provider": "Bench", "prompt": QUESTION, **fields}
    connection.request("POST", f"{V2}/conversation", json.dumps(question))
    with closing(connection), connection.getresponse() as response:
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
