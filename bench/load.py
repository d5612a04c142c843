"""Asks for streams, and checks that each arrives complete and in order: `python bench/load.py --help`.

It keeps what it receives and looks at it when the stream has ended, so that it costs little while it runs.
"""

import argparse
import asyncio
import json
import re
import time
from functools import cache, partial
from typing import NamedTuple, cast

import uvloop

SECONDS = 120.0
END = b"\r\n0\r\n\r\n"
PROMPT = (
    "BENCH {tokens} tokens, {gap} us{how}. You are asked a question by a user of a chat service: answer it in"
    " a friendly tone. Why is the sky blue at noon and red in the evening? Explain it with Rayleigh"
    " scattering, and give one simple experiment that can be done at home with a glass of water and some"
    " milk."
)


class Wire(NamedTuple):
    """How a format says things: where it is asked, a token with its number, and the end with their count."""

    path: str
    token: re.Pattern[bytes]
    end: re.Pattern[bytes]


WIRES = {
    "backend": Wire(
        "/backend-api/v2/conversation",
        re.compile(rb'event: content\ndata: {"type":"content","content":"(\d+) "}\n\n'),
        re.compile(rb'event: usage\ndata: {"type":"usage",[^\n]*"completion_tokens":(\d+)[^\n]*}\n\n\Z'),
    ),
    "openai": Wire(
        "/v1/chat/completions",
        re.compile(rb'data: {[^\n]*"delta":{"content":"(\d+) "}[^\n]*}\n\n'),
        re.compile(rb'"usage":{[^\n]*"completion_tokens":(\d+)[^\n]*}\n\ndata: \[DONE\]\n\n\Z'),
    ),
}


@cache
def numbers(tokens: int) -> list[bytes]:
    return [b"%d" % number for number in range(tokens)]


def unchunked(body: bytes) -> bytes:
    """The content of an HTTP/1.1 chunked body (RFC 9112, 7.1) without extensions or trailers."""
    pieces: list[bytes] = []
    position = 0
    while True:
        start = body.index(b"\r\n", position) + 2
        size = int(body[position:start], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[start : start + size])
        position = start + size + 2


class Run:
    """Streams to ask for, and what became of them."""

    def __init__(
        self, wire: Wire, port: int, tokens: int, gap: int, streams: int, *, stamped: bool = False
    ) -> None:
        self.wire, self.tokens, self.left = wire, tokens, streams
        self.complete, self.flaw = 0, ""
        messages = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": PROMPT.format(tokens=tokens, gap=gap, how=" stamped" * stamped)},
        ]
        fields = {"provider": "Bench", "model": "bench", "stream": True, "messages": messages}
        body = json.dumps(fields | {"stream_options": {"include_usage": True}})
        head = f"POST {wire.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        self.request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def check(self, answer: bytes) -> None:
        body = unchunked(answer.partition(b"\r\n\r\n")[2])
        end = self.wire.end.search(body)
        if end and int(end[1]) == self.tokens and self.wire.token.findall(body) == numbers(self.tokens):
            self.complete += 1
        else:
            self.flaw = self.flaw or repr(answer[-300:])


class Connection(asyncio.Protocol):
    """Asks for one stream after the other while there are any left; `closed` is done after the last."""

    transport: asyncio.Transport

    def __init__(self, run: Run, closed: asyncio.Future[None]) -> None:
        self.run, self.closed = run, closed
        self.pieces: list[bytes] = []
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.ask()

    def ask(self) -> None:
        if not self.run.left:
            self.transport.close()
            return
        self.run.left -= 1
        self.pieces, self.tail = [], b""
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.tail = (self.tail + data[-len(END) :])[-len(END) :]
        if self.tail == END:
            self.run.check(b"".join(self.pieces))
            self.ask()
        elif len(self.pieces) == 1 and not data.startswith(b"HTTP/1.1 200 "):
            self.run.flaw = repr(data[:300])
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "at-once", "streams", "tokens", "gap"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--wire", choices=WIRES, required=True)
    chosen = parser.parse_args()
    loop = asyncio.get_running_loop()
    run = Run(WIRES[chosen.wire], chosen.port, chosen.tokens, chosen.gap, chosen.streams)
    began, ends = time.monotonic(), [loop.create_future() for _ in range(chosen.at_once)]
    streams = [
        loop.create_connection(partial(Connection, run, end), "127.0.0.1", chosen.port) for end in ends
    ]
    try:
        await asyncio.wait_for(asyncio.gather(*streams, *ends), SECONDS)
    except (OSError, TimeoutError) as error:
        run.flaw = run.flaw or repr(error)
    print(json.dumps({"complete": run.complete, "flaw": run.flaw, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    uvloop.run(main())
