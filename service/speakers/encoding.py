"""A speaker's bytes -> the format that is asked for, while they come."""

import itertools
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

from msgspec import Struct

from service.speakers import jobs
from service.speakers.failures import FormatNotFound, SpeakerError
from service.speakers.mpeg import Frames
from service.speakers.speaker import Mark, Native, Sound
from service.speakers.workers import Workers
from service.tasks import Tasks

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""By the names that OpenAI's API has for them. It knows `aac` too: no library has it without
ffmpeg, but for one (fdk-aac) whose licence is not free."""

PCM_RATE = 24_000
"""Of bare samples, as OpenAI's API has them; other formats tell theirs, and keep the speaker's own."""
RATES = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),  # RFC 6716, section 2
    "pcm": (PCM_RATE,),
}
"""What a format knows, in samples a second; the others know any."""
LONGEST_FEED = 64_000
"""Bytes at once, 2 seconds of samples: so one who wants Opus does not hold up the others for long."""
SHARED = 8
"""Streams for which one child does before the next is started."""
UNKNOWN = 0xFFFF_FFFF


class Audio(Struct, frozen=True):
    """What comes next of the encoded whole, and its marks; `seconds` of it, which add up to its duration.

    `corrections`, with the last: (place, bytes) to be written over a kept copy. A stream cannot tell in its
    beginning how long it will be; a file can, once it is known. `corrected` does it.
    """

    data: bytes
    seconds: float = 0.0
    marks: tuple[Mark, ...] = ()
    corrections: tuple[tuple[int, bytes], ...] = ()


def check(format: str) -> str:
    """The format itself; raises `FormatNotFound`, which tells those that there are."""
    if format not in CONTENT_TYPES:
        raise FormatNotFound(format, CONTENT_TYPES)
    return format


def corrected(data: bytes, corrections: tuple[tuple[int, bytes], ...]) -> bytes:
    """The whole as a file that knows its own length."""
    whole = bytearray(data)
    for place, fresh in corrections:
        whole[place : place + len(fresh)] = fresh
    return bytes(whole)


class Encoders:
    """Encodes in child processes, each stream with one encoder from its beginning to its end."""

    def __init__(self, *, count: int = 2, idle: float = 300.0) -> None:
        self._lanes = [_Lane(idle) for _ in range(count)]
        self._numbers = itertools.count()

    def open(self, tasks: Tasks) -> None:
        for lane in self._lanes:
            lane.open(tasks)

    async def close(self) -> None:
        for lane in self._lanes:
            await lane.workers.close()

    def encode(
        self, sounds: AsyncGenerator[Sound, None], native: Native, format: str
    ) -> AsyncGenerator[Audio, None]:
        """Pulls the sounds, and closes them when it is closed. Raises what they raise, and `Crashed`.

        A piece may have no bytes and only marks, or only corrections; without a sound there is none.
        """
        check(format)
        rate = native.rate if native.rate in RATES.get(format, (native.rate,)) else PCM_RATE
        if format == native.format == "mp3":
            return _passed(sounds)
        if format in ("pcm", "wav") and native == Native("pcm", rate):
            pieces = _bare(sounds, rate)
        else:
            begin = jobs.Begin(next(self._numbers), format, rate, native.format, native.rate)
            pieces = self._encoded(sounds, begin)
        return _wav(pieces, rate) if format == "wav" else pieces

    async def _encoded(
        self, sounds: AsyncGenerator[Sound, None], begin: jobs.Begin
    ) -> AsyncGenerator[Audio, None]:
        lane = min(self._lanes, key=lambda lane: lane.streams // SHARED)
        async with aclosing(sounds), lane.stream(begin) as stream:
            async for sound in sounds:
                marks = sound.marks
                for part in _parts(sound.data):
                    done = await stream.feed(part)
                    yield Audio(done.data, done.seconds, marks)
                    marks = ()
            if stream.fed:
                rest = await stream.end()
                yield Audio(rest.data, rest.seconds, corrections=rest.corrections)


class _Lane:
    """A child that encodes several streams, a job of each in turn."""

    def __init__(self, idle: float) -> None:
        self.workers = Workers("encoder", idle=idle)
        self.streams = 0
        self._tasks: Tasks

    def open(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self.workers.open(tasks)

    @asynccontextmanager
    async def stream(self, begin: jobs.Begin) -> AsyncIterator["_Stream"]:
        """Begun at once: the child may start while the first sentence is still being made."""
        stream = _Stream(self.workers, begin, self._tasks)
        self.streams += 1
        try:
            with self.workers.held():
                yield stream
        finally:
            self.streams -= 1
            if not stream.over:
                self._tasks.start(stream.leave(), "the end of an encoder")


class _Stream:
    """One encoder in a child."""

    def __init__(self, workers: Workers, begin: jobs.Begin, tasks: Tasks) -> None:
        self._workers, self._number = workers, begin.stream
        self._begun = tasks.start(self._asked(begin), "the start of an encoder")
        self.fed = self.over = False

    async def feed(self, data: bytes) -> jobs.Done:
        self._checked(await self._begun)
        self.fed = True
        return self._checked(await self._asked(jobs.Feed(self._number, data), first=False))

    async def end(self) -> jobs.Done:
        self.over = True
        return self._checked(await self._asked(jobs.End(self._number), first=False))

    async def leave(self) -> None:
        """Nobody wants the rest."""
        await self._begun
        await self._asked(jobs.End(self._number))

    async def _asked(self, job: jobs.Job, *, first: bool = True) -> jobs.Done | SpeakerError:
        try:
            return await self._workers.do(job, first=first)
        except SpeakerError as error:
            return error

    def _checked(self, result: jobs.Done | SpeakerError) -> jobs.Done:
        if isinstance(result, SpeakerError):
            self.over = True
            raise result
        return result


async def _passed(sounds: AsyncGenerator[Sound, None]) -> AsyncGenerator[Audio, None]:
    """MP3 as it comes, frame by frame, so that pieces join."""
    frames, told = Frames(), 0.0
    async with aclosing(sounds):
        async for sound in sounds:
            data = b"".join(frames.feed(sound.data))
            if data or sound.marks:
                yield Audio(data, frames.seconds - told, sound.marks)
            told = frames.seconds


async def _bare(sounds: AsyncGenerator[Sound, None], rate: int) -> AsyncGenerator[Audio, None]:
    async with aclosing(sounds):
        async for sound in sounds:
            yield Audio(sound.data, len(sound.data) / 2 / rate, sound.marks)


async def _wav(pieces: AsyncGenerator[Audio, None], rate: int) -> AsyncGenerator[Audio, None]:
    """With the header before the first samples, and its corrections after the last."""
    size = 0
    async with aclosing(pieces):
        async for piece in pieces:
            header = b"" if size or not piece.data else wav_header(rate)
            size += len(piece.data)
            yield Audio(header + piece.data, piece.seconds, piece.marks)
    if size:
        yield Audio(b"", corrections=((0, wav_header(rate, size)),))


def wav_header(rate: int, size: int | None = None) -> bytes:
    """RIFF's, for samples of 16 bit, mono; of None bytes where nobody knows yet how many."""
    sizes = (UNKNOWN, UNKNOWN) if size is None else (36 + size, size)
    form = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", sizes[0], b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16
    )
    return form + struct.pack("<4sI", b"data", sizes[1])


def _parts(data: bytes) -> Iterator[bytes]:
    """At least one, for the marks that go with it."""
    for start in range(0, len(data) or 1, LONGEST_FEED):
        yield data[start : start + LONGEST_FEED]
