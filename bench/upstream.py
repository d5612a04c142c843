"""A model provider that costs next to nothing, in OpenAI's format: `python bench/upstream.py PORT`.

A question with "BENCH 100 tokens, 10000 us" in it is answered by the tokens "0:81723 ", "1:91688 " …, each
with the time at which it is sent, in microseconds of the machine's one monotonic clock. Each is one write, so
far apart on average, ± 90 % at random: without that, streams stay in phase, a server handles them in batches,
and looks up to twice as cheap as it is. With 0 us they come as fast as they are taken. `GET /left` counts who
left before the end of a stream.
"""

import asyncio
import random
import re
import signal
import sys
import time
from typing import cast

import uvloop

QUESTION = re.compile(rb"BENCH (\d+) tokens, (\d+) us")
STREAMED = re.compile(rb'"stream": ?true')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
JITTER = 0.9

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nX-Request-Id: req_5c1b0a3f2e4d4b6f9a8e7d6c5b4a3f2e\r\n\r\n"
)
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":1760000000,"owned_by":"bench"}]}'
BEGIN = (
    '{"id":"chatcmpl-CkQ8vW3mR5tYpL2nXb7JdF1aZs9Hg","object":"%s","created":1760000000,"model":"bench",'
    '"service_tier":"default","system_fingerprint":"fp_560af6e559",'
)
CHUNK = BEGIN % "chat.completion.chunk" + '"choices":[%s],"usage":%s,"obfuscation":"Yd3kQ0vTz7LpWmR4sX8c"}'
CHOICE = '{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}'
USAGE = '{"prompt_tokens":25,"completion_tokens":%d,"total_tokens":%d}'
COMPLETION = BEGIN % "chat.completion" + (
    '"choices":[{"index":0,"message":{"role":"assistant","content":"%s","refusal":null},'
    '"logprobs":null,"finish_reason":"stop"}],"usage":%s}'
)


def frame(data: str) -> bytes:
    event = f"data: {data}\n\n"
    return f"{len(event):x}\r\n{event}\r\n".encode()


FIRST = frame(CHUNK % (CHOICE % ('{"role":"assistant","content":"","refusal":null}', "null"), "null"))
BEFORE, AFTER = (
    part.encode() for part in ("data: " + CHUNK % (CHOICE % ('{"content":"|"}', "null"), "null")).split("|")
)
AFTER += b"\n\n"
AROUND = len(BEFORE) + len(AFTER)


def token(number: int) -> bytes:
    content = b"%d:%d " % (number, time.monotonic_ns() // 1000)
    return b"%x\r\n%b%b%b\r\n" % (AROUND + len(content), BEFORE, content, AFTER)


def last(tokens: int) -> bytes:
    finish = frame(CHUNK % (CHOICE % ("{}", '"stop"'), "null"))
    return finish + frame(CHUNK % ("", USAGE % (tokens, tokens + 25))) + frame("[DONE]") + b"0\r\n\r\n"


def whole(tokens: int) -> bytes:
    """The answer to who does not want a stream."""
    now = time.monotonic_ns() // 1000
    content = "".join(f"{number}:{now} " for number in range(tokens))
    return (COMPLETION % (content, USAGE % (tokens, tokens + 25))).encode()


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    transport: asyncio.Transport
    left = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.received = b""
        self.tokens = self.sent = 0
        self.gap = 0.0
        self.full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, complete, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if complete and len(body) >= (int(length[1]) if length else 0):
            self.received = b""
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        question = QUESTION.search(body)
        if question is None:
            self.write_json(b"%d" % Connection.left if head.startswith(b"GET /left") else MODELS)
        elif STREAMED.search(body):
            self.tokens, self.sent, self.gap = int(question[1]), 0, int(question[2]) / 1e6
            self.transport.write(HEAD + FIRST)
            self.speak()
        else:
            self.write_json(whole(int(question[1])))

    def write_json(self, body: bytes) -> None:
        self.transport.write(JSON_HEAD % len(body) + body)

    def speak(self) -> None:
        """Sends a token, and sees to the next one."""
        if self.full or self.transport.is_closing():
            return
        self.transport.write(token(self.sent))
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

    def connection_lost(self, error: Exception | None) -> None:
        Connection.left += self.sent < self.tokens


async def main(port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", port, backlog=4096)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
