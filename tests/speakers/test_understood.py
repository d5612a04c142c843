"""Whether what is said is understood: by a recogniser that has never heard these voices."""

import re

import pocketsphinx
import pytest

from service.speakers.embedded import Embedded
from service.speakers.encoding import Encoders
from service.speakers.speaker import Manner
from tests.speakers.hearing import TEXT as TALE

pytestmark = pytest.mark.slow

TEXT = (
    f"{TALE} A good teacher does not give the answer at once. He asks another question, and he waits until"
    " the student has found the way alone. Most people remember what they have found much longer than what"
    " they were told. This is why a school should be a quiet place with many books, some windows, and enough"
    " time. When the lesson is over, everybody goes home and thinks about it again."
)
WORST = 0.25
"""Of all words, those that are not understood, or understood where there is none."""
# As carefully as it can listen: its defaults are made for quick answers.
CAREFUL = {"beam": 1e-60, "wbeam": 1e-40, "maxhmmpf": -1, "maxwpf": -1}


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def errors(said: list[str], understood: list[str]) -> int:
    """Words put in, left out and put in the place of others: Levenshtein's distance."""
    row = list(range(len(understood) + 1))
    for number, word in enumerate(said, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(understood, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (word != other))
    return row[-1]


async def understood(speaker: Embedded, encoders: Encoders) -> list[str]:
    """Sentence by sentence, at the 16 kHz that the recogniser knows."""
    recogniser, found = pocketsphinx.Decoder(samprate=16_000, **CAREFUL), list[str]()
    voice = speaker.default("en-US")
    assert voice
    async for sound in speaker.speak(TEXT, voice, Manner()):
        recogniser.start_utt()
        recogniser.process_raw(at_16_khz(sound.data, speaker.native.rate), full_utt=True)
        recogniser.end_utt()
        found += words(recogniser.hyp().hypstr if recogniser.hyp() else "")
    return found


def at_16_khz(data: bytes, rate: int) -> bytes:
    import numpy as np

    from service.speakers.resampling import Resampler

    if rate == 16_000:
        return data
    resampler = Resampler(rate, 16_000)
    samples = np.frombuffer(data, "<i2").astype(np.float32)
    return np.concatenate((resampler.feed(samples), resampler.end())).astype("<i2").tobytes()


async def test_the_embedded_voice(local: Embedded, encoders: Encoders) -> None:
    assert errors(words(TEXT), await understood(local, encoders)) / len(words(TEXT)) <= WORST


async def test_hibari(hibari: Embedded, encoders: Encoders) -> None:
    assert errors(words(TEXT), await understood(hibari, encoders)) / len(words(TEXT)) <= WORST
