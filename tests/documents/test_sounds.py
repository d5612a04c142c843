"""Sounds: how long they are to be heard, whatever they are named; what nobody can tell is no error."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.documents.conftest import Files

SECONDS = 3.5
RATE = 24_000


def written(format: str, subtype: str | None = None) -> bytes:
    target = io.BytesIO()
    tone = np.sin(np.arange(int(SECONDS * RATE)) / 20) / 2
    soundfile.write(target, tone, RATE, format=format, subtype=subtype)
    return target.getvalue()


async def seconds(files: Files, folder: Path, content: bytes) -> float | None:
    (folder / "sound").write_bytes(content)
    return await files.extractor.seconds(folder / "sound", "sound")


@pytest.mark.parametrize(
    ("format", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS")],
)
async def test_formats(files: Files, tmp_path: Path, format: str, subtype: str | None) -> None:
    found = await seconds(files, tmp_path, written(format, subtype))
    assert found == pytest.approx(SECONDS, abs=0.1)


async def test_what_nobody_can_tell_is_none(files: Files, tmp_path: Path) -> None:
    wave = written("WAV")
    endless = struct.pack("<4sI8s", b"RIFF", 0xFFFF_FFFF, b"WAVEfmt ")
    for content in (
        b"",
        b"RIFF\0\0\0\0WAVE",
        b"ID3" + b"\0" * 500,
        wave[:30],
        endless,
        b"....ftypM4A " + b"\0" * 99,
    ):
        assert await seconds(files, tmp_path, content) is None


async def test_one_process_looks_at_sounds_and_reads_documents(files: Files, tmp_path: Path) -> None:
    assert await seconds(files, tmp_path, written("FLAC")) == pytest.approx(SECONDS)
    assert await files.text("a.md", b"# Hello") == "# Hello"
    assert await seconds(files, tmp_path, written("MP3")) == pytest.approx(SECONDS, abs=0.1)
    assert len(files.extractor.processes) == 1
