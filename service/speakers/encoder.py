"""What encodes, in a child: libsndfile (soundfile) and numpy. A stream is one encoder, so nothing clicks."""

import io
from typing import Any

import numpy as np
import soundfile

from service.speakers import jobs
from service.speakers.child import work
from service.speakers.mpeg import Frames
from service.speakers.resampling import Resampler, Samples

FILES: dict[str, dict[str, Any]] = {
    "mp3": {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",  # a player that cannot see the end reckons the duration by it
        "compression_level": 0.7,  # 56 kbit/s at our rates
    },
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
}
MEMORY = 10
"""Frames of MP3: so far back reaches what a frame is made of, at the bitrates of speech."""


class Encoder:
    """The streams that are being encoded, by their numbers."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}

    def do(self, job: jobs.Job) -> jobs.Done:
        match job:
            case jobs.Begin():
                self._streams[job.stream] = Stream(job)
                return jobs.Done()
            case jobs.Feed():
                return self._streams[job.stream].feed(job.data)
            case jobs.End():
                stream = self._streams.pop(job.stream, None)
                return stream.end() if stream else jobs.Done()
            case _:
                raise TypeError(type(job).__name__)


class Stream:
    """Bytes of a speaker -> bytes of a format, as `Begin` says."""

    def __init__(self, begin: jobs.Begin) -> None:
        self._rate = begin.rate
        self._decode: Mp3 | Pcm = Mp3(begin.source_rate) if begin.source == "mp3" else Pcm(begin.source_rate)
        self._resampler: Resampler | None = None
        self._tape = Tape()
        self._file = _file(self._tape, begin)

    def feed(self, data: bytes) -> jobs.Done:
        samples = self._decode(data)
        if len(samples) and self._decode.rate != self._rate:
            self._resampler = self._resampler or Resampler(self._decode.rate, self._rate)
            samples = self._resampler.feed(samples)
        return self._written(samples)

    def end(self) -> jobs.Done:
        rest = self._written(self._resampler.end() if self._resampler else np.zeros(0, np.float32))
        if self._file:
            self._file.close()
        data, corrections = self._tape.taken()
        return jobs.Done(rest.data + data, rest.seconds, corrections)

    def _written(self, samples: Samples) -> jobs.Done:
        whole = np.clip(np.rint(samples), -32_768, 32_767).astype("<i2")
        seconds = len(whole) / self._rate
        if self._file is None:
            return jobs.Done(whole.tobytes(), seconds)
        if len(whole):
            self._file.write(whole)
        return jobs.Done(self._tape.taken()[0], seconds)


def _file(tape: "Tape", begin: jobs.Begin) -> soundfile.SoundFile | None:
    """None for bare samples."""
    if begin.format not in FILES:
        return None
    return soundfile.SoundFile(tape, "w", samplerate=begin.rate, channels=1, **FILES[begin.format])


class Pcm:
    """Samples cut anywhere, also in the middle of one."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._rest = b""

    def __call__(self, data: bytes) -> Samples:
        data = self._rest + data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], "<i2").astype(np.float32)


class Mp3:
    """Frames of one bitrate, cut anywhere. A frame needs some before it, and libsndfile a whole file.

    So each time a little file is decoded: the last frames known, the new ones, and one more, which libsndfile
    may take for padding; of what comes out, that of the new ones is kept.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        """What the speaker said, until its frames say it."""
        self._frames = Frames()
        self._before: list[bytes] = []

    def __call__(self, data: bytes) -> Samples:
        new = self._frames.feed(data)
        if not new:
            return np.zeros(0, np.float32)
        file = io.BytesIO(b"".join((*self._before, *new, new[-1])))
        samples, self.rate = soundfile.read(file, dtype="float32", always_2d=True)
        start = len(self._before) * self._frames.samples
        kept = samples[start : start + len(new) * self._frames.samples]
        self._before = [*self._before, *new][-MEMORY:]
        mono: Samples = kept.mean(axis=1) * 32_768
        return mono


class Tape:
    """A file for libsndfile: what is written at its end goes out at once, what it corrects later is kept."""

    def __init__(self) -> None:
        self._at = self._end = 0
        self._fresh = bytearray()
        self._corrections: list[tuple[int, bytes]] = []

    def taken(self) -> tuple[bytes, tuple[tuple[int, bytes], ...]]:
        fresh, self._fresh = bytes(self._fresh), bytearray()
        return fresh, tuple(self._corrections)

    def write(self, data: Any) -> int:
        data = bytes(data)
        if self._at == self._end:
            self._fresh += data
        else:
            self._corrections.append((self._at, data))
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


if __name__ == "__main__":
    work(Encoder)
