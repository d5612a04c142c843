"""What encodes, in a child: libsndfile (soundfile) and numpy. A stream is one encoder, so nothing clicks.

libsndfile is given real files: to be called back it would need memory that is both written and run, which the
shipped sandbox forbids (MemoryDenyWriteExecute).
"""

import os
from tempfile import TemporaryFile
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
HEAD = 65_536
"""Bytes in which formats keep what they know only at their end."""
WRITTEN = 1 << 30
"""Bytes of the longest stream: three hours in FLAC."""
STREAMS = 2_000
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
        self._file: soundfile.SoundFile | None = None
        """None for bare samples."""
        if begin.format in FILES:
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
        self._decode.close()
        if self._file is None:
            return rest
        self._file.close()
        done = jobs.Done(rest.data + self._tape.fresh(), rest.seconds, self._tape.corrections())
        self._tape.close()
        return done

    def _written(self, samples: Samples) -> jobs.Done:
        whole = np.clip(np.rint(samples), -32_768, 32_767).astype("<i2")
        seconds = len(whole) / self._rate
        if self._file is None:
            return jobs.Done(whole.tobytes(), seconds)
        if len(whole):
            self._file.write(whole)
        return jobs.Done(self._tape.fresh(), seconds)


def _file(tape: "Tape", begin: jobs.Begin) -> soundfile.SoundFile:
    how = FILES[begin.format]
    return soundfile.SoundFile(tape.fileno, "w", samplerate=begin.rate, channels=1, closefd=False, **how)


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

    def close(self) -> None:
        """It holds nothing."""


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
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - closed at the end

    def __call__(self, data: bytes) -> Samples:
        new = self._frames.feed(data)
        if not new:
            return np.zeros(0, np.float32)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(b"".join((*self._before, *new, new[-1])))
        self._file.seek(0)
        samples, self.rate = soundfile.read(
            self._file.fileno(), dtype="float32", always_2d=True, closefd=False
        )
        start = len(self._before) * self._frames.samples
        kept = samples[start : start + len(new) * self._frames.samples]
        self._before = [*self._before, *new][-MEMORY:]
        mono: Samples = kept.mean(axis=1) * 32_768
        return mono

    def close(self) -> None:
        self._file.close()


class Tape:
    """A file for libsndfile: what it writes at the end goes out at once; what it corrects is in the head."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 - closed by who has it
        self._sent, self._head = 0, b""

    @property
    def fileno(self) -> int:
        return self._file.fileno()

    def fresh(self) -> bytes:
        """What was written since the last time."""
        data = os.pread(self.fileno, os.fstat(self.fileno).st_size - self._sent, self._sent)
        self._sent += len(data)
        self._head += data[: HEAD - len(self._head)]
        return data

    def corrections(self) -> tuple[tuple[int, bytes], ...]:
        """What has changed since it went out, in one piece, and where it belongs."""
        now = os.pread(self.fileno, len(self._head), 0)
        places = [place for place, (old, new) in enumerate(zip(self._head, now, strict=True)) if old != new]
        return ((places[0], now[places[0] : places[-1] + 1]),) if places else ()

    def close(self) -> None:
        self._file.close()


if __name__ == "__main__":
    work(Encoder, written=WRITTEN, files=STREAMS)
