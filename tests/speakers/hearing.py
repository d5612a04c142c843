"""What a listener gets: a whole text, spoken and encoded."""

import io
from contextlib import aclosing
from typing import NamedTuple

import soundfile

from service.speakers.encoding import Encoders, corrected
from service.speakers.speaker import Manner, Mark, Speaker, Voice

PLAIN = Manner()
TEXT = (
    "The weather was fine, and the children went down to the river. They found an old boat under the trees,"
    " and one of them said that it had belonged to his grandfather. In the afternoon the sky grew dark, and"
    " they ran back to the house before the rain began. Their mother had made bread and soup, and they sat by"
    " the fire and told her about the boat. She smiled and said that she had played in it when she was a"
    " little girl."
)


class Heard(NamedTuple):
    """`streamed` as it went out, `kept` with the corrections at its end."""

    streamed: bytes
    kept: bytes
    seconds: float
    marks: list[Mark]


async def heard(
    speaker: Speaker,
    encoders: Encoders,
    text: str,
    format: str = "wav",
    voice: Voice | None = None,
    manner: Manner = PLAIN,
) -> Heard:
    voice = voice or speaker.default("en-US")
    assert voice
    data, seconds, marks = bytearray(), 0.0, list[Mark]()
    corrections: tuple[tuple[int, bytes], ...] = ()
    sounds = speaker.speak(text, voice, manner)
    async with aclosing(encoders.encode(sounds, speaker.native, format)) as pieces:
        async for piece in pieces:
            data += piece.data
            seconds += piece.seconds
            marks += piece.marks
            corrections += piece.corrections
    return Heard(bytes(data), corrected(bytes(data), corrections), seconds, marks)


def duration(data: bytes, format: str) -> float:
    """Of a file, as libsndfile reads it, in seconds."""
    if format == "pcm":
        return len(data) / 2 / 24_000
    samples, rate = soundfile.read(io.BytesIO(data))
    return float(len(samples) / rate)
