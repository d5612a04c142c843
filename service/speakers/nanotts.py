"""SVOX Pico (py-nanotts), in a child: small, quick, six languages, 16 000 samples a second."""

import py_nanotts

from service.speakers import jobs
from service.speakers.child import work
from service.speakers.portions import chopped, said

RATE = 16_000
LOUDNESS = 0.7
"""Of its own volume: at all of it, its peaks are cut off, which is heard."""

# Pico takes what stands in angle brackets for commands, of which some write files, and others read them.
_HARMLESS = str.maketrans(dict.fromkeys("<>\x00", " ") | {"&": " & "})


class Nanotts:
    """Says one sentence at a time, and keeps nothing of it."""

    def __init__(self) -> None:
        self._engine = py_nanotts.NanoTTS()

    def do(self, job: jobs.Job) -> jobs.Done:
        assert isinstance(job, jobs.Say)
        text = chopped(job.text.translate(_HARMLESS))
        samples = said(lambda part: self._say(part, job), text)
        return jobs.Done(samples, seconds=len(samples) / 2 / RATE)

    def _say(self, text: str, job: jobs.Say) -> bytes:
        volume = job.volume * LOUDNESS
        samples: bytes = self._engine.speak(
            text, voice=job.voice, speed=job.rate, pitch=job.pitch, volume=volume
        )
        return samples


if __name__ == "__main__":
    work(Nanotts)
