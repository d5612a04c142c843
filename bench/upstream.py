"""A model provider that costs next to nothing, in OpenAI's format: `python bench/upstream.py PORT`.

A question with "BENCH 100 tokens, 10000 us" in it is answered by the tokens "0 ", "1 " …, one write each, so
far apart on average, ± 90 % at random: without that, streams stay in phase, a server handles them in batches,
and looks up to twice as cheap as it is. With 0 us they come as fast as they are taken. "us stamped" adds to
each the time at which it is sent, in microseconds of the monotonic clock: "0:81723 ".
"""

import asyncio
import random
import re
import signal
import sys
import time
from functools import cache
from typing import cast

import uvloop

QUESTION = re.compile(rb"BENCH (\d+) tokens, (\d+) us( stamped)?")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
JITTER = 0.9

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nX-Request-Id: req_5c1b0a3f2e4d4b6f9a8e7d6c5b4a3f2e\r\n\r\n"
)
MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":1760000000,"owned_by":"bench"}]}'
CHUNK = (
    '{"id":"chatcmpl-CkQ8vW3mR5tYpL2nXb7JdF1aZs9Hg","object":"chat.completion.chunk","created":1760000000,'
    '"model":"bench","service_tier":"default","system_fingerprint":"fp_560af6e559","choices":[%s],"usage":%s,"obfuscation":"Yd3kQ0vTz7LpWmR4sX8c"}'
)
CHOICE = '{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}'
USAGE = '{"prompt_tokens":25,"completion_tokens":%d,"total_tokens":%d}'


def frame(data: str) -> bytes:
    event = f"data: {data}\n\n"
    return f"{len(event):x}\r\n{event}\r\n".encode()


FIRST = frame(CHUNK % (CHOICE % ('{"role":"assistant","content":"","refusal":null}', "null"), "null"))


@cache
def token(number: int) -> bytes:
    return frame(CHUNK % (CHOICE % (f'{{"content":"{number} "}}', "null"), "null"))


def stamped(number: int) -> bytes:
    content = f'{{"content":"{number}:{time.monotonic_ns() // 1000} "}}'
    return frame(CHUNK % (CHOICE % (content, "null"), "null"))


@cache
def last(tokens: int) -> bytes:
    finish = frame(CHUNK % (CHOICE % ("{}", '"stop"'), "null"))
    return finish + frame(CHUNK % ("", USAGE % (tokens, tokens + 25))) + frame("[DONE]") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.received = b""
        self.tokens = self.sent = 0
        self.gap = 0.0
        self.full = False
        self.token = stamped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, complete, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not complete or len(body) < (int(length[1]) if length else 0):
            return
        self.received = b""
        if question := QUESTION.search(body):
            self.tokens, self.sent, self.gap = int(question[1]), 0, int(question[2]) / 1e6
            self.token = stamped if question[3] else token
            self.transport.write(HEAD + FIRST)
            self.speak()
        else:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % len(MODELS) + MODELS)

    def speak(self) -> None:
        """Sends a token, and sees to the next one."""
        if self.full or self.transport.is_closing():
            return
        self.transport.write(self.token(self.sent))
        self.sent += 1
        if self.sent == self.tokens:
            self.transport.write(last(self.tokens))
        elif self.gap:
            self.loop.call_later(self.gap * random.uniform(1 - JITTER, 1 + JITTER), self.speak)
        else:
            self.loop.call_soon(self.speak)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.sent < self.tokens:
            self.speak()


async def main(port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", port, backlog=4096)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
