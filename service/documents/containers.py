"""How long a film takes, or a sound in a film's container, as its head says; nothing is decoded.

Sources: ISO/IEC 14496-12 (`mvhd`, `mehd`); RFC 8794 and RFC 9559 (Matroska and WebM); Microsoft's "AVI RIFF
File Reference" (`avih`).
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

Found: TypeAlias = tuple[bytes, int, int]
"""What a piece of a container is called, where its content begins, and where it ends."""
Pieces: TypeAlias = Callable[[BinaryIO, int, int], Iterator[Found]]

MOST = 10_000
"""Pieces that are looked at: those that tell it are among the first, or there are few."""
MATROSKA = b"\x1a\x45\xdf\xa3"
SEGMENT, INFO, SCALE, DURATION = b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1", b"\x44\x89"
NANOSECONDS = 1_000_000
"""Of Matroska's unit of time where a file does not say."""
LONGEST_NAME = 4


def seconds(path: Path) -> float | None:
    """None where it is another format, or does not say."""
    with path.open("rb") as file:
        head, end = file.read(52), path.stat().st_size
        try:
            if head[4:8] == b"ftyp":
                return _of_movie(file, end)
            if head.startswith(MATROSKA):
                return _of_matroska(file, end)
            if head[8:12] == b"AVI " and head[24:28] == b"avih":
                microseconds, frames = struct.unpack("<I12xI", head[32:52])
                return float(microseconds * frames / 1e6)
        except (struct.error, ZeroDivisionError):  # damaged, or cut off
            return None
    return None


def _of_movie(file: BinaryIO, end: int) -> float | None:
    """One that was written while it was recorded has its duration in `mehd`, if anywhere."""
    movie = _piece(file, _boxes, (0, end), b"moov")
    header = movie and _piece(file, _boxes, movie, b"mvhd")
    if not movie or not header:
        return None
    scale, units = _fields(file, header, ">12xII", ">20xIQ")
    pieces = _piece(file, _boxes, movie, b"mvex")
    if pieces and (more := _piece(file, _boxes, pieces, b"mehd")):
        (units,) = _fields(file, more, ">4xI", ">4xQ")
    return float(units / scale)


def _fields(file: BinaryIO, place: tuple[int, int], short: str, long: str) -> tuple[int, ...]:
    """The numbers of a box, of which there is a version with longer ones."""
    file.seek(place[0])
    content = file.read(min(place[1] - place[0], 32))
    layout = struct.Struct(long if content[:1] == b"\1" else short)
    return layout.unpack(content[: layout.size])


def _of_matroska(file: BinaryIO, end: int) -> float | None:
    segment = _piece(file, _elements, (0, end), SEGMENT)
    info = segment and _piece(file, _elements, segment, INFO)
    duration = info and _piece(file, _elements, info, DURATION)
    if not info or not duration:
        return None
    scale = _piece(file, _elements, info, SCALE)
    unit = int.from_bytes(_content(file, scale)) if scale else NANOSECONDS
    content = _content(file, duration)
    (units,) = struct.unpack(">d" if len(content) == 8 else ">f", content)
    return float(units * unit / 1e9)


def _content(file: BinaryIO, place: tuple[int, int]) -> bytes:
    """Of a number. Raises `struct.error` where it is not all there."""
    size = min(place[1] - place[0], 8)
    file.seek(place[0])
    (content,) = struct.unpack(f"{size}s", file.read(size))
    return bytes(content)


def _piece(file: BinaryIO, pieces: Pieces, within: tuple[int, int], name: bytes) -> tuple[int, int] | None:
    """Where the first one of a name begins and ends."""
    found = pieces(file, *within)
    return next(((start, end) for kind, start, end in found if kind == name), None)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[Found]:
    for _ in range(MOST):
        if start + 8 > end:
            return
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            content += 8
        start = start + size if size else end
        if start < content:
            return
        yield name, content, start


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[Found]:
    for _ in range(MOST):
        if start >= end:
            return
        file.seek(start)
        name, size = _number(file), _number(file)
        if not 0 < len(name) <= LONGEST_NAME or not size:
            return
        content, ones = file.tell(), (1 << 7 * len(size)) - 1
        length = int.from_bytes(size) & ones
        start = end if length == ones else content + length  # nobody knew the length when it was written
        yield name, content, start


def _number(file: BinaryIO) -> bytes:
    """A number whose first bits tell its length; b"" where there is none. Source: RFC 8794, section 4."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 0
    return first + file.read(length - 1) if 0 < length <= 8 else b""
