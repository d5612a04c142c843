"""Frames of MP3: cut anywhere, joined, with and without what tells the length of a piece."""

import io

import numpy as np
import pytest
import soundfile

from service.speakers.mpeg import Frames

ID3 = b"ID3\x04\x00\x00\x00\x00\x02\x0a" + bytes(266)


def mp3(seconds: float, rate: int = 24_000, channels: int = 1) -> bytes:
    place = np.arange(round(seconds * rate))
    samples = np.repeat((9000 * np.sin(place / 20)).astype("int16")[:, None], channels, axis=1)
    file = io.BytesIO()
    soundfile.write(
        file, samples, rate, "MPEG_LAYER_III", format="MP3", bitrate_mode="CONSTANT", compression_level=0.6
    )
    return file.getvalue()


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_duration_is_that_of_the_sound(rate: int, channels: int) -> None:
    frames = Frames()
    frames.feed(mp3(3, rate, channels))
    assert frames.seconds == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_wherever_it_is_cut_the_same_frames_come_out(size: int) -> None:
    data = ID3 + mp3(1) + b"TAG of another time" + mp3(1)
    whole = Frames().feed(data)
    frames = Frames()
    pieces = [
        frame for start in range(0, len(data), size) for frame in frames.feed(data[start : start + size])
    ]
    assert pieces == whole
    assert len(whole) > 80


def test_two_pieces_play_as_one_of_twice_the_length() -> None:
    one = mp3(2)
    assert b"Info" in one[:100]
    joined = b"".join(Frames().feed(one + one))
    samples, rate = soundfile.read(io.BytesIO(joined))
    assert len(samples) / rate == pytest.approx(4, abs=0.3)


def test_noise_is_no_sound() -> None:
    frames = Frames()
    assert frames.feed(b"\xff\xff\xff\xff" * 100 + b"<html>no</html>" * 50) == []
    assert frames.seconds == 0
