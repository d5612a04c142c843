"""Asks for answers, and checks that each arrives complete and in order: `python bench/load.py --help`.

It keeps what it receives and looks at it when the answer has ended, so that it costs little while it runs.
All times are of the machine's one monotonic clock, which the provider writes into each token.
"""

import argparse
import asyncio
import json
import random
import time
from bisect import bisect_left
from functools import partial
from typing import cast

import uvloop
from answers import END, SHOWN, WIRES, Framing, flaw
from slow import read_slowly

LONG, SHORT = 10_000, 10_000
"""Tokens that slow readers ask for, and microseconds between them: 100 a second, and 2 KB hold about 20."""
PROMPT = (
    "BENCH {tokens} tokens, {gap} us. You are asked a question by a user of a chat service: answer it in"
    " a friendly tone. Why is the sky blue at noon and red in the evening? Explain it with Rayleigh"
    " scattering, and give one simple experiment that can be done at home with a glass of water and some"
    " milk."
)


def now() -> int:
    return time.monotonic_ns() // 1000


def request(chosen: argparse.Namespace, tokens: int, gap: int) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": PROMPT.format(tokens=tokens, gap=gap)},
    ]
    fields = {"model": "bench", "stream": not chosen.whole, "messages": messages} | json.loads(chosen.fields)
    if chosen.wire == "v1" and not chosen.whole:
        fields["stream_options"] = {"include_usage": True}
    body = json.dumps(fields)
    head = f"POST {WIRES[chosen.wire].path} HTTP/1.1\r\nHost: 127.0.0.1:{chosen.port}\r\n"
    key = f"Authorization: Bearer {chosen.key}\r\n" if chosen.key else ""
    described = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{key}{described}\r\n{body}".encode()


class Run:
    """What to ask for, and what became of it; times in microseconds."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.wire = WIRES[chosen.wire]
        self.request = request(chosen, chosen.tokens, chosen.gap)
        self.tokens, self.left, self.streamed = chosen.tokens, chosen.streams, not chosen.whole
        self.aborts = chosen.aborts / 100
        self.complete = self.aborted = self.together = 0
        self.flaw = ""
        self.first: list[int] = []
        self.late: list[int] = []

    def check(self, answer: bytes, framing: Framing) -> None:
        found = flaw(self.wire, framing.content(answer), self.tokens)
        self.flaw = self.flaw or found
        self.complete += not found

    def note(self, answer: bytes, ends: list[int], times: list[int]) -> None:
        """How late each token came; one that a chunk's border cuts in two is left out."""
        before = -1
        for token in self.wire.stamped.finditer(answer):
            piece = bisect_left(ends, token.end())
            self.late.append(times[piece] - int(token[2]))
            self.together += piece == before
            before = piece


class Connection(asyncio.Protocol):
    """Asks for one answer after the other while any are left; `closed` is done at its end."""

    transport: asyncio.Transport

    def __init__(self, run: Run, closed: asyncio.Future[None]) -> None:
        self.run, self.closed = run, closed
        self.pieces: list[bytes] = []
        self.times: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def ask(self) -> None:
        if not self.run.left:
            self.transport.close()
            return
        self.run.left -= 1
        self.pieces, self.times, self.tail, self.size = [], [], b"", 0
        self.framing, self.spoke = Framing(), False
        leaves = random.random() < self.run.aborts
        self.leaves_after = random.randint(1, self.run.tokens // 2) if leaves else 0
        self.asked_at = now()
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.times.append(now())
        self.size += len(data)
        if not self.framing.head and not self.framing.learn(b"".join(self.pieces)):
            return
        if not self.spoke and self.run.wire.first.search(data):
            self.spoke = True
            self.run.first.append(self.times[-1] - self.asked_at)
        self.tail = (self.tail + data[-len(END) :])[-len(END) :]
        if self.framing.over(self.tail, self.size):
            self.finish()
        elif self.spoke and len(self.pieces) >= self.leaves_after > 0:
            self.run.aborted += 1
            self.pieces = []
            self.transport.abort()

    def finish(self) -> None:
        answer, total = b"".join(self.pieces), 0
        ends = [total := total + len(piece) for piece in self.pieces]
        self.run.check(answer, self.framing)
        if self.run.streamed:
            self.run.note(answer, ends, self.times)
        self.pieces = []
        if self.framing.closes:
            self.transport.close()
        else:
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self.pieces and self.framing.head and self.framing.until_closed:
            self.finish()
        elif self.pieces:
            self.run.flaw = self.run.flaw or f"cut off: {self.pieces[-1][-SHOWN:]!r}"
        if not self.closed.done():  # as it is when the whole run is given up
            self.closed.set_result(None)


async def ask(run: Run, port: int, delay: float) -> None:
    """Over one connection after the other, until nothing is left to ask."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(delay)
    while run.left:
        closed = loop.create_future()
        await loop.create_connection(partial(Connection, run, closed), "127.0.0.1", port)
        await closed


def percentiles(values: list[int]) -> dict[str, int]:
    values = sorted(values) or [0]
    return {"p50": values[len(values) // 2], "p99": values[len(values) * 99 // 100]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "at-once", "streams", "tokens", "gap"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--wire", choices=WIRES, required=True)
    parser.add_argument("--fields", default="{}", help="further fields of the body, as a JSON object")
    parser.add_argument("--key", default="")
    parser.add_argument("--whole", type=int, default=0, help="1: answers that are not streamed")
    parser.add_argument("--aborts", type=int, default=0, help="how many in a hundred leave before the end")
    parser.add_argument("--slow", type=int, default=0, help="how many further readers take 2 KB/s")
    parser.add_argument("--ramp", type=float, default=0, help="seconds over which the streams begin")
    parser.add_argument("--seconds", type=float, default=120, help="when it is given up")
    return parser.parse_args()


async def main() -> None:
    chosen = arguments()
    run, began = Run(chosen), time.monotonic()
    slow = [
        asyncio.create_task(read_slowly(chosen.port, request(chosen, LONG, SHORT)))  # noqa: TID251
        for _ in range(chosen.slow)
    ]
    await asyncio.sleep(1 if slow else 0)
    delays = [number * chosen.ramp / chosen.at_once for number in range(chosen.at_once)]
    try:
        asked = asyncio.gather(*(ask(run, chosen.port, delay) for delay in delays))
        await asyncio.wait_for(asked, chosen.seconds)
    except (OSError, TimeoutError) as error:
        run.flaw = run.flaw or repr(error)
    seconds = time.monotonic() - began
    for task in slow:
        task.cancel()
    said = {name: getattr(run, name) for name in ("complete", "aborted", "together", "flaw")}
    times = {"first": percentiles(run.first), "delay": percentiles(run.late), "tokens": len(run.late)}
    print(json.dumps(said | times | {"seconds": seconds, "cpu_of_load": time.process_time()}))


if __name__ == "__main__":
    uvloop.run(main())
