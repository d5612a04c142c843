"""hibari-tts, in a child: natural English, 24 000 samples a second."""

import hibari
import numpy as np

from service.speakers import jobs
from service.speakers.child import work
from service.speakers.portions import chopped, said

SPEEDS = (0.5, 2.0)
SEED = 0
"""Of the noise in the voice: the same text sounds the same."""


class Hibari:
    """Says one sentence at a time; the voice is loaded with the first, and is the only one in its package."""

    def __init__(self) -> None:
        self._engine = hibari.Hibari()

    def do(self, job: jobs.Job) -> jobs.Done:
        assert isinstance(job, jobs.Say)
        samples = said(lambda part: self._say(part, job), chopped(job.text))
        return jobs.Done(samples, seconds=len(samples) / 2 / hibari.SAMPLE_RATE)

    def _say(self, text: str, job: jobs.Say) -> bytes:
        slowest, fastest = SPEEDS
        wave = self._engine(text, speed=min(max(job.rate, slowest), fastest), seed=SEED)
        samples: bytes = (np.clip(wave * job.volume, -1, 1) * 32_767).astype("<i2").tobytes()
        return samples


if __name__ == "__main__":
    work(Hibari)
