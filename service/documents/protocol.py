"""What the service and a process that reads files say to each other over pipes: a length, then msgpack."""

import struct
from typing import BinaryIO, TypeVar

import msgspec
from msgspec import Struct

from service.documents.kinds import Kind

LENGTH = struct.Struct(">I")
LONGEST = 1024 * 1024
"""Bytes of a message: so much and no more is decoded at once."""
PIECE = 64 * 1024
"""Characters of a page's piece, of four bytes each at most."""

T = TypeVar("T")


class Page(Struct, frozen=True):
    """A page, slide, sheet, section or file of an archive; `number` counts from 1 where the format counts.

    `title` is the sheet's, slide's or section's; in an archive it begins with the member's path. A long page
    comes in several pieces, one after another, of the same number and title: joined with nothing between
    they are its text.
    """

    number: int | None
    title: str | None
    text: str


class Task(Struct, frozen=True):
    """A document to be read, a picture to be made small, or a sound to be measured; the sender's `name`."""

    path: str
    name: str
    kind: Kind


class Piece(Struct, frozen=True, tag=True):
    """One of many: what follows is another, or the end."""

    page: Page


class Finished(Struct, frozen=True, tag=True):
    """All pages have been told."""

    metadata: dict[str, str]
    media_type: str


class Shown(Struct, frozen=True, tag=True):
    """The original's size in pixels and its media type; the thumbnail is a JPEG."""

    width: int
    height: int
    media_type: str
    thumbnail: bytes


class Heard(Struct, frozen=True, tag=True):
    """How many seconds a sound or a film takes, where that can be told."""

    seconds: float | None = None


class Refused(Struct, frozen=True, tag=True):
    """Why the file is not read, as a sentence's end: "is encrypted"."""

    reason: str


End = Finished | Shown | Heard | Refused


class Last(Struct, frozen=True, tag=True):
    """The end of an answer; `held` is the memory, in bytes, that the process has not given back."""

    end: End
    held: int


Frame = Piece | Last


def packed(message: Struct) -> bytes:
    """A message as it goes over the pipe."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


def received(pipe: BinaryIO, kind: type[T]) -> T | None:
    """The next message, in the child; None if there will be none."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return msgspec.msgpack.decode(pipe.read(*LENGTH.unpack(head)), type=kind)
