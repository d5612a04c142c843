"""Films: how long they take, as their containers say, whole, cut off or hostile."""

import struct
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents.containers import MATROSKA, seconds
from tests.documents.conftest import Files

UNKNOWN = b"\x01" + b"\xff" * 7
"""A length that nobody knew when it was written."""


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def long_box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name, 16 + len(content)) + content


def movie(*boxes: bytes) -> bytes:
    """With its data first, as cameras write it."""
    return box(b"ftyp", b"isom\0\0\0\0") + long_box(b"mdat", b"x" * 999) + box(b"moov", b"".join(boxes))


def element(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">Q", len(content) | 1 << 56) + content


def matroska(*elements: bytes, length: bytes = UNKNOWN) -> bytes:
    head, info = element(MATROSKA, b"\x42\x82\x84webm"), element(b"\x15\x49\xa9\x66", b"".join(elements))
    return head + b"\x18\x53\x80\x67" + length + element(b"\xec", b"\0" * 50) + info


SHORT = box(b"mvhd", struct.pack(">IIIII", 0, 1, 2, 1_000, 3_500) + b"\0" * 80)
LONG = box(b"mvhd", struct.pack(">IQQIQ", 1 << 24, 1, 2, 1_000, 3_500) + b"\0" * 80)
PIECES = box(b"mvhd", struct.pack(">IIIII", 0, 1, 2, 1_000, 0))
SCALE = element(b"\x2a\xd7\xb1", (500_000).to_bytes(3))
FILMS = {
    "mp4": movie(SHORT),
    "a long mp4": movie(box(b"free", b""), LONG),
    "mp4 in pieces": movie(PIECES, box(b"mvex", box(b"mehd", struct.pack(">II", 0, 3_500)))),
    "webm": matroska(element(b"\x44\x89", struct.pack(">f", 3_500.0))),
    "mkv": matroska(SCALE, element(b"\x44\x89", struct.pack(">d", 7_000.0))),
    "avi": struct.pack("<4sI4s4sI4s4sI", b"RIFF", 0, b"AVI ", b"LIST", 0, b"hdrl", b"avih", 56)
    + struct.pack("<I12xI", 100_000, 35),
}


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS)
async def test_formats(film: bytes, files: Files, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(film)
    assert await files.extractor.seconds(tmp_path / "film", "film") == 3.5


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS)
def test_what_was_cut_off_says_nothing_or_the_same(film: bytes, tmp_path: Path) -> None:
    for length in range(len(film)):
        (tmp_path / "film").write_bytes(film[:length])
        assert seconds(tmp_path / "film") in {None, 0.0, 3.5}


UNSAID = [
    movie(),
    movie(PIECES.replace(struct.pack(">I", 1_000), bytes(4))),
    box(b"ftyp", b"") + struct.pack(">I4s", 4, b"moov"),
    box(b"ftyp", b"") * 20_000 + box(b"moov", SHORT),
    matroska(),
    matroska(element(b"\x44\x89", b"abc")),
    MATROSKA + b"\0" * 99,
]


@pytest.mark.parametrize("film", UNSAID)
def test_what_is_not_said_is_none(film: bytes, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(film)
    assert seconds(tmp_path / "film") is None


@given(st.sampled_from([b"\0\0\0\x14ftypisom", MATROSKA, b"RIFF\0\0\0\0AVI "]), st.binary(max_size=300))
def test_nothing_harms(head: bytes, rest: bytes) -> None:
    with NamedTemporaryFile() as file:
        file.write(head + rest)
        file.flush()
        found = seconds(Path(file.name))
    assert found is None or isinstance(found, float)
