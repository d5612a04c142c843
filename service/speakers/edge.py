"""Microsoft's voices, as its browser has them (edge-tts): over the network, without a key, at its mercy."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp

from service.speakers.edge_voices import KNOWN, NAME, voice_named
from service.speakers.failures import (
    Busy,
    CutOff,
    Mute,
    NothingToSay,
    Overloaded,
    Refused,
    SpeakerError,
    Unreachable,
)
from service.speakers.marks import of_words
from service.speakers.mpeg import Frames
from service.speakers.sentences import sentences
from service.speakers.speaker import Manner, Mark, Native, Sound, Speaker, Voice, named, nearest
from service.speakers.versions import version_of
from service.tasks import Tasks

if TYPE_CHECKING:
    from edge_tts import Communicate
    from edge_tts.typing import TTSChunk

log = logging.getLogger(__name__)

LONGEST_PIECE = 3000
"""Bytes of XML that go out in one request; edge-tts would cut from 4096 on, between any two words."""
TICKS = 10_000_000
"""A second, in edge's times."""
FRESH = 86_400.0
"""Seconds; an older list of voices is asked for anew, in the background."""
LISTING = 3.0
"""Seconds that the list may take where nothing is known of a voice."""
PITCH = 200.0
"""Hertz: what a voice is at, roughly; edge wants the difference, and we have a factor."""
HANGING = 60
"""Seconds, for edge-tts itself: ours are shorter."""
RETRY = 60.0
"""Seconds after which a list that could not be had is asked for again."""
LONGEST_TEXT = 1_000_000
_NAME = re.compile(r"[a-z]{2,3}-[A-Z]{2}(-[a-z]+)?-\w+Neural")


class Edge(Speaker):
    """Speaks `at_once` texts, more wait; all times in seconds.

    `patience`: until the first sound, waiting included; `idle`: from one to the next.
    """

    name, label = NAME, "Microsoft Edge"
    native = Native("mp3", 24_000)
    limit = LONGEST_TEXT

    def __init__(self, *, at_once: int = 3, patience: float = 4.0, idle: float = 20.0) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._patience, self._idle = patience, idle
        self._voices: tuple[Voice, ...] = ()
        self._list_at = 0.0
        self._listing: asyncio.Task[None] | None = None
        self._tasks: Tasks

    async def open(self, tasks: Tasks) -> None:
        self._tasks = tasks

    @property
    def version(self) -> str:
        """Of the way to it; nobody is told when its voices change."""
        return version_of("edge-tts")

    def default(self, language: str) -> Voice | None:
        return nearest(KNOWN, language) or nearest(self._voices, language)

    async def voices(self) -> tuple[Voice, ...]:
        """The first call waits for the list, for a few seconds; later ones have it."""
        if monotonic() >= self._list_at:
            self._list_at = monotonic() + RETRY
            self._listing = self._tasks.start(self._list(), "the list of edge's voices")
        if not self._voices and self._listing:
            await asyncio.wait([self._listing], timeout=LISTING)
        return self._voices or KNOWN

    async def voice(self, name: str) -> Voice:
        """Known ones are found without the list; without a list, whatever has the form of a name will do."""
        known = {voice.name.casefold(): voice for voice in KNOWN}
        if found := known.get(name.casefold()):
            return found
        listed = await self.voices()
        if not self._voices and _NAME.fullmatch(name):
            return voice_named(name)
        return named(listed, name, self.label)

    async def _list(self) -> None:
        import edge_tts

        try:
            async with asyncio.timeout(self._idle):
                listed = await edge_tts.list_voices()
        except (
            edge_tts.exceptions.EdgeTTSException,
            aiohttp.ClientError,
            OSError,
            LookupError,
            ValueError,
        ) as error:
            log.warning("edge's voices could not be listed: %s", error)
            return
        self._voices = tuple(
            voice_named(one["ShortName"], one["Gender"], one["FriendlyName"], one["Locale"]) for one in listed
        )
        self._list_at = monotonic() + FRESH

    async def speak(self, text: str, voice: Voice, manner: Manner) -> AsyncGenerator[Sound, None]:
        said = sentences(text, voice.language, first=LONGEST_PIECE, longest=LONGEST_PIECE // 4)
        if not said:
            raise NothingToSay
        deadline = asyncio.get_running_loop().time() + self._patience
        frames = Frames()
        async with self._turn(deadline):
            for piece in _pieces(said):
                async with aclosing(self._piece(piece, voice, manner, frames, deadline)) as sounds:
                    async for sound in sounds:
                        yield sound

    @asynccontextmanager
    async def _turn(self, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Busy(
                f"{self.label} is speaking as many texts as it may (speech.edge_at_once). Ask again."
            ) from error
        try:
            yield
        finally:
            self._turns.release()

    async def _piece(
        self, said: list[str], voice: Voice, manner: Manner, frames: Frames, deadline: float
    ) -> AsyncGenerator[Sound, None]:
        """Some sentences over one connection; `frames` counts all that was heard of the text."""
        start, size, words = frames.seconds, 0, list[Mark]()
        communicate = _communicate(" ".join(said), voice, manner)
        async with self._telling(frames), aclosing(communicate.stream()) as chunks:
            while chunk := await self._next(chunks, None if frames.seconds else deadline):
                if chunk["type"] == "audio":
                    size += len(chunk["data"])
                    frames.feed(chunk["data"])
                    yield Sound(chunk["data"])
                else:
                    word = Mark(
                        start + chunk["offset"] / TICKS, chunk["duration"] / TICKS, chunk["text"], "word"
                    )
                    words.append(word)
                    yield Sound(b"", (word,))
        # A connection that closes in the middle is no error to edge-tts; but only a turn's end is counted.
        if communicate.state["cumulative_audio_bytes"] < size:
            raise self._cut_off()
        if marks := tuple(of_words(words, said)):
            yield Sound(b"", marks)

    async def _next(self, chunks: AsyncIterator["TTSChunk"], deadline: float | None) -> "TTSChunk | None":
        """Waits until the deadline, else as long as it may be silent; None at the end."""
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(deadline or now + self._idle):
            return await anext(chunks, None)

    @asynccontextmanager
    async def _telling(self, frames: Frames) -> AsyncIterator[None]:
        """What goes wrong, by its kind."""
        from edge_tts.exceptions import EdgeTTSException, NoAudioReceived, SkewAdjustmentError

        try:
            yield
        except aiohttp.WSServerHandshakeError as error:
            raise self._refusal(error) from error
        except SkewAdjustmentError as error:
            raise self._refused(403) from error
        except NoAudioReceived as error:
            raise self._soundless() from error
        except (EdgeTTSException, aiohttp.ClientError, OSError, RuntimeError) as error:
            raise self._cut_off() if frames.seconds else self._away() from error

    def _refusal(self, error: aiohttp.WSServerHandshakeError) -> SpeakerError:
        if error.status == 429 or error.status >= 500:
            later = error.headers.get("Retry-After", "") if error.headers else ""
            return Overloaded(
                f"{self.label} has too much to do ({error.status}). Ask again in a minute.",
                float(later) if later.isdecimal() else None,
            )
        return self._refused(error.status)

    def _refused(self, status: int) -> Refused:
        return Refused(
            f"{self.label} refuses to speak ({status}). If it goes on, an upgrade of edge-tts often helps."
        )

    def _away(self) -> Unreachable:
        return Unreachable(f"{self.label} cannot be reached. Check the network, or HTTPS_PROXY.")

    def _cut_off(self) -> CutOff:
        return CutOff(f"{self.label} broke off in the middle of the text. Ask again.")

    def _soundless(self) -> SpeakerError:
        return Mute(f"{self.label} made no sound of this text. Choose a voice of the text's language.")


def _communicate(text: str, voice: Voice, manner: Manner) -> "Communicate":
    from edge_tts import Communicate

    return Communicate(
        text,
        voice.name,
        rate=f"{round((manner.rate - 1) * 100):+d}%",
        volume=f"{round((manner.volume - 1) * 100):+d}%",
        pitch=f"{round((manner.pitch - 1) * PITCH):+d}Hz",
        boundary="WordBoundary",
        connect_timeout=HANGING,
        receive_timeout=HANGING,
    )


def _pieces(said: list[str]) -> Iterator[list[str]]:
    """Sentences in groups that fit into a request."""
    group: list[str] = []
    size = 0
    for sentence in said:
        length = len(sentence.encode("utf-8", "replace")) + 5 * sum(map(sentence.count, "<>&")) + 1
        if group and size + length > LONGEST_PIECE:
            yield group
            group, size = [], 0
        group.append(sentence)
        size += length
    if group:
        yield group
