"""Reads streams of stamped tokens, and says how late each came: `python bench/delays.py --help`.

All clocks are the machine's one monotonic clock. Streams begin one after the other: what so many beginnings
at once take is another measure.
"""

import argparse
import asyncio
import json
import re
import time
from functools import partial
from typing import cast

import uvloop
from load import END, WIRES, Run

SECONDS = 120.0
RAMP_SECONDS = 5.0
TOKEN = re.compile(rb'"content":"(\d+):(\d+) "')
LONGEST = 64
"""A token that is cut in two is no longer than this on either side."""


class Delays:
    """In microseconds, of all streams; `together` counts tokens that came with another one."""

    def __init__(self) -> None:
        self.late: list[int] = []
        self.together = self.disordered = self.complete = 0


class Connection(asyncio.Protocol):
    """Asks for one stream; `closed` is done after its end."""

    def __init__(self, run: Run, delays: Delays, closed: asyncio.Future[None]) -> None:
        self.run, self.delays, self.closed = run, delays, closed
        self.rest = b""
        self.next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns() // 1000
        data = self.rest + data
        tokens = list(TOKEN.finditer(data))
        self.rest = data[max(tokens[-1].end() if tokens else 0, len(data) - LONGEST) :]
        self.delays.together += len(tokens) if len(tokens) > 1 else 0
        for token in tokens:
            self.delays.disordered += int(token[1]) != self.next
            self.next = int(token[1]) + 1
            self.delays.late.append(now - int(token[2]))
        if data.endswith(END):
            self.delays.complete += self.next == self.run.tokens
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "streams", "tokens", "gap"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--wire", choices=WIRES, required=True)
    chosen = parser.parse_args()
    loop, delays = asyncio.get_running_loop(), Delays()
    run = Run(WIRES[chosen.wire], chosen.port, chosen.tokens, chosen.gap, chosen.streams, stamped=True)
    ends = [loop.create_future() for _ in range(chosen.streams)]
    async with asyncio.timeout(SECONDS):
        for end in ends:
            await loop.create_connection(partial(Connection, run, delays, end), "127.0.0.1", chosen.port)
            await asyncio.sleep(RAMP_SECONDS / chosen.streams)
        await asyncio.gather(*ends)
    late = sorted(delays.late)
    said = {"p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "tokens": len(late)}
    counts = {name: getattr(delays, name) for name in ("together", "disordered", "complete")}
    print(json.dumps(said | counts))


if __name__ == "__main__":
    uvloop.run(main())
