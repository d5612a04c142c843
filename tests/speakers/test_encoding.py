"""From a speaker's bytes to what is asked for: as it comes, of the right length, without a seam."""

import asyncio
import io
import os
import signal
import wave
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from service.speakers.encoding import CONTENT_TYPES, Audio, Encoders, check, corrected
from service.speakers.failures import Crashed, FormatNotFound, Unreachable
from service.speakers.mpeg import Frames
from service.speakers.speaker import Mark, Native, Sound
from tests.edge_server import tone

PCM, MP3 = Native("pcm", 16_000), Native("mp3", 24_000)
SECONDS = 4


def sine(seconds: float = SECONDS, rate: int = 16_000) -> bytes:
    place = np.arange(round(seconds * rate))
    return (8000 * np.sin(2 * np.pi * 440 * place / rate)).astype("<i2").tobytes()


async def cut(data: bytes, size: int) -> AsyncGenerator[Sound, None]:
    for start in range(0, len(data), size):
        yield Sound(data[start : start + size])


async def encoded(
    encoders: Encoders, sounds: AsyncGenerator[Sound, None], native: Native, format: str
) -> list[Audio]:
    async with aclosing(encoders.encode(sounds, native, format)) as pieces:
        return [piece async for piece in pieces]


def whole(pieces: list[Audio]) -> bytes:
    data = b"".join(piece.data for piece in pieces)
    return corrected(data, pieces[-1].corrections)


def samples(data: bytes, format: str) -> tuple[np.ndarray, int]:
    if format == "pcm":
        return np.frombuffer(data, "<i2") / 32_768, 24_000
    read, rate = soundfile.read(io.BytesIO(data))
    return read, rate


@pytest.mark.parametrize("format", CONTENT_TYPES)
@pytest.mark.parametrize("size", [999, 30_000])
async def test_samples_in_every_format(encoders: Encoders, format: str, size: int) -> None:
    pieces = await encoded(encoders, cut(sine(), size), PCM, format)
    heard, rate = samples(whole(pieces), format)
    assert len(heard) / rate == pytest.approx(SECONDS, abs=0.002)
    assert sum(piece.seconds for piece in pieces) == pytest.approx(SECONDS, abs=0.002)
    assert steps(heard) < 1.2 * steps(np.frombuffer(sine(rate=rate), "<i2") / 32_768)


@pytest.mark.parametrize("format", CONTENT_TYPES)
@pytest.mark.parametrize("size", [700, 5000])
async def test_mp3_in_every_format(encoders: Encoders, format: str, size: int) -> None:
    data = b"".join(tone(10))
    pieces = await encoded(encoders, cut(data, size), MP3, format)
    heard, rate = samples(whole(pieces), format)
    direct, _ = soundfile.read(io.BytesIO(data))
    assert len(heard) / rate == pytest.approx(len(direct) / 24_000, abs=0.002)
    assert sum(piece.seconds for piece in pieces) == pytest.approx(len(direct) / 24_000, abs=0.002)
    assert steps(heard) < 1.2 * steps(direct)


async def test_mp3_whose_frames_are_not_all_of_one_size(encoders: Encoders) -> None:
    place = np.arange(3 * 44_100)
    file = io.BytesIO()
    soundfile.write(
        file,
        (8000 * np.sin(place / 20)).astype("int16"),
        44_100,
        "MPEG_LAYER_III",
        format="MP3",
        bitrate_mode="CONSTANT",
        compression_level=0.6,
    )
    data = b"".join(Frames().feed(file.getvalue()))
    direct, _ = soundfile.read(io.BytesIO(data))
    heard, rate = samples(whole(await encoded(encoders, cut(data, 3000), MP3, "wav")), "wav")
    assert rate == 24_000
    assert len(heard) / rate == pytest.approx(len(direct) / 44_100, abs=0.002)
    assert steps(heard) < 2.2 * steps(direct)


def steps(heard: np.ndarray) -> float:
    """The highest step from one sample to the next: a click is a high one. Without what fades in and out."""
    return float(np.abs(np.diff(heard[2000:-2000])).max())


async def test_mp3_stays_as_it_is_but_for_what_tells_the_length_of_a_piece(encoders: Encoders) -> None:
    bare = b"".join(tone(5))
    file = io.BytesIO()
    soundfile.write(file, np.zeros(24_000), 24_000, "MPEG_LAYER_III", format="MP3")
    assert b"Xing" in file.getvalue()[:100]
    pieces = await encoded(encoders, cut(bare + file.getvalue() + bare, 500), MP3, "mp3")
    data = whole(pieces)
    assert data.startswith(bare)
    assert data.endswith(bare)
    assert b"Xing" not in data
    assert sum(piece.seconds for piece in pieces) == pytest.approx(2 * 5 * 0.288 + 1, abs=0.25)


@pytest.mark.parametrize("format", CONTENT_TYPES)
async def test_bytes_come_out_while_sounds_go_in(encoders: Encoders, format: str) -> None:
    gate = asyncio.Event()

    async def sounds() -> AsyncGenerator[Sound, None]:
        yield Sound(sine(2))
        await gate.wait()
        yield Sound(sine(2))

    async with asyncio.timeout(20), aclosing(encoders.encode(sounds(), PCM, format)) as pieces:
        first = await anext(pieces)
        assert first.data
        gate.set()
        rest = [piece async for piece in pieces]
    assert rest


async def test_a_streamed_wav_says_that_its_length_is_unknown_and_a_kept_one_knows_it(
    encoders: Encoders,
) -> None:
    pieces = await encoded(encoders, cut(sine(), 30_000), PCM, "wav")
    streamed = b"".join(piece.data for piece in pieces)
    assert streamed[4:8] == streamed[40:44] == b"\xff" * 4
    with wave.open(io.BytesIO(whole(pieces))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(file.getnframes()) == sine()


async def test_marks_pass_in_their_places(encoders: Encoders) -> None:
    async def sounds() -> AsyncGenerator[Sound, None]:
        yield Sound(sine(1), (Mark(0, 1, "One."),))
        yield Sound(b"", (Mark(1, 1, "Two."),))
        yield Sound(sine(1))

    for format in CONTENT_TYPES:
        pieces = await encoded(encoders, sounds(), PCM, format)
        assert [mark.text for piece in pieces for mark in piece.marks] == ["One.", "Two."]


async def test_without_a_sound_there_is_nothing(encoders: Encoders) -> None:
    for format in CONTENT_TYPES:
        assert await encoded(encoders, cut(b"", 1), PCM, format) == []


async def test_what_a_speaker_raises_is_raised(encoders: Encoders) -> None:
    async def sounds() -> AsyncGenerator[Sound, None]:
        yield Sound(sine(1))
        raise Unreachable("gone")

    for format in CONTENT_TYPES:
        with pytest.raises(Unreachable):
            await encoded(encoders, sounds(), PCM, format)


def test_an_unknown_format_is_told_those_that_there_are() -> None:
    for name in ("exe", "aac", "MP3", ""):
        with pytest.raises(FormatNotFound, match="mp3, opus, flac, wav, pcm") as caught:
            check(name)
        assert caught.value.status == 400
        assert caught.value.param == "format"


async def test_who_leaves_closes_the_sounds_and_leaves_nothing_in_the_child(encoders: Encoders) -> None:
    closed = 0

    async def sounds() -> AsyncGenerator[Sound, None]:
        nonlocal closed
        try:
            while True:
                yield Sound(sine(1))
        finally:
            closed += 1

    memory = []
    for _ in range(3):
        for _ in range(30):
            async with aclosing(encoders.encode(sounds(), PCM, "flac")) as pieces:
                await anext(pieces)
        await encoded(encoders, cut(sine(), 30_000), PCM, "flac")
        memory.append(resident(encoders))
    assert closed == 90
    assert memory[2] < memory[1] * 1.1
    assert all(lane.streams == 0 for lane in encoders._lanes)


def resident(encoders: Encoders) -> int:
    (pid,) = encoders._lanes[0].workers.pids
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


async def test_a_dead_encoder_costs_what_it_was_encoding_and_the_next_one_works(encoders: Encoders) -> None:
    async def sounds() -> AsyncGenerator[Sound, None]:
        yield Sound(sine(1))
        (pid,) = encoders._lanes[0].workers.pids
        os.kill(pid, signal.SIGKILL)
        yield Sound(sine(1))

    with pytest.raises(Crashed):
        await encoded(encoders, sounds(), PCM, "mp3")
    assert await encoded(encoders, cut(sine(), 30_000), PCM, "mp3")


async def test_twenty_streams_at_once_do_not_mix(encoders: Encoders) -> None:
    many = [encoded(encoders, cut(sine(number / 10), 3000), PCM, "flac") for number in range(1, 21)]
    for number, pieces in enumerate(await asyncio.gather(*many), start=1):
        heard, rate = samples(whole(pieces), "flac")
        assert len(heard) / rate == pytest.approx(number / 10, abs=0.001)
