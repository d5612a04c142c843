"""An HTTP/1.1 answer: where it ends (RFC 9112, 6.3), and whether all of it is there, in order."""

import re
from functools import cache

END = b"\r\n0\r\n\r\n"
COUNT = re.compile(rb'"completion_tokens": ?(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close\r\n|\AHTTP/1\.0", re.IGNORECASE)
ANSWERED = re.compile(rb"HTTP/1\.[01] 200 ")
SHOWN = 300


class Wire:
    """Where a format is asked; how it says the first token, one with its time, any number of them."""

    def __init__(self, path: str, before: bytes) -> None:
        self.path = path
        self.first = re.compile(before + rb'"content": ?"0:')
        self.stamped = re.compile(before + rb'"content": ?"(\d+):(\d+) "')
        self.content = re.compile(before + rb'"content": ?"([\d: ]+)"')


WIRES = {
    "v2": Wire(
        "/backend-api/v2/conversation", rb'"type": ?"content", ?'
    ),  # some repeat the provider's beside it
    "v1": Wire("/v1/chat/completions", b""),
}


class Framing:
    """How the end of an answer is told; nothing is known before its head is there."""

    def __init__(self) -> None:
        self.head = self.length = 0
        self.chunked = self.closes = False

    def learn(self, received: bytes) -> bool:
        """Reads the head; False while it is not all there."""
        if (end := received.find(b"\r\n\r\n")) < 0:
            return False
        self.head = end + 4
        head = received[: self.head]
        length = LENGTH.search(head)
        self.length = self.head + int(length[1]) if length else 0
        self.chunked = bool(CHUNKED.search(head))
        self.closes = self.until_closed or bool(CLOSES.search(head))
        return True

    @property
    def until_closed(self) -> bool:
        return not self.chunked and not self.length

    def over(self, tail: bytes, size: int) -> bool:
        """Whether that is all: `size` bytes, with this at their end."""
        return tail == END if self.chunked else 0 < self.length <= size

    def content(self, answer: bytes) -> bytes:
        """The body; what is no 200 is given whole."""
        if not ANSWERED.match(answer):
            return answer
        return unchunked(answer[self.head :]) if self.chunked else answer[self.head :]


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body (RFC 9112, 7.1) without extensions or trailers."""
    pieces: list[bytes] = []
    position = 0
    while True:
        start = body.index(b"\r\n", position) + 2
        size = int(body[position:start], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[start : start + size])
        position = start + size + 2


@cache
def numbers(tokens: int) -> list[bytes]:
    return [b"%d" % number for number in range(tokens)]


def flaw(wire: Wire, body: bytes, tokens: int) -> str:
    """What is wrong with an answer: nothing where each token came once, in order, and was counted."""
    said = b"".join(wire.content.findall(body)).split()
    counts = COUNT.findall(body)
    if [token.partition(b":")[0] for token in said] != numbers(tokens):
        return f"{len(said)} of {tokens} tokens: {body[-SHOWN:]!r}"
    if not counts or int(counts[-1]) != tokens:
        return f"not counted: {body[-SHOWN:]!r}"
    return ""
