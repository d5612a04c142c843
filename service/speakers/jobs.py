"""What a child of the speakers is asked, and what it answers: MessagePack with its length before it."""

from typing import TypeAlias

import msgspec
from msgspec import Struct

LENGTH = 4
"""Bytes, big-endian, of the length before each."""


class Say(Struct, frozen=True, tag=True):
    """A sentence, of an engine; answered with its samples."""

    text: str
    voice: str
    rate: float
    volume: float
    pitch: float


class Begin(Struct, frozen=True, tag=True):
    """A new stream to be encoded; `source` is `pcm` or `mp3`, the rates in samples a second."""

    stream: int
    format: str
    rate: int
    source: str
    source_rate: int


class Feed(Struct, frozen=True, tag=True):
    """What comes next in a stream, cut anywhere."""

    stream: int
    data: bytes


class End(Struct, frozen=True, tag=True):
    """Nothing more comes in a stream, or nobody wants it."""

    stream: int


class Detect(Struct, frozen=True, tag=True):
    """Of which language a text is; `likely` are those that whoever asks reads, the most likely first."""

    text: str
    likely: tuple[str, ...] = ()


class Done(Struct, frozen=True, tag=True):
    """`seconds` of sound that the job dealt with; `corrections` as `Audio` has them."""

    data: bytes = b""
    seconds: float = 0.0
    corrections: tuple[tuple[int, bytes], ...] = ()
    language: str = ""


class Failed(Struct, frozen=True, tag=True):
    """The child lives on."""

    reason: str


Job: TypeAlias = Say | Begin | Feed | End | Detect
Result: TypeAlias = Done | Failed

_encode = msgspec.msgpack.Encoder().encode
job = msgspec.msgpack.Decoder(Job).decode
result = msgspec.msgpack.Decoder(Result).decode


def framed(message: Job | Result) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(LENGTH, "big") + body
