"""Speakers on this machine: an engine in child processes, a sentence at a time."""

import os
import re
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from typing import Literal

from msgspec import Struct

from service.speakers import jobs
from service.speakers.failures import Mute, NothingToSay
from service.speakers.marks import of_sentence
from service.speakers.sentences import sentences
from service.speakers.speaker import Manner, Native, Sound, Speaker, Voice, nearest
from service.speakers.versions import version_of
from service.speakers.workers import Workers
from service.tasks import Tasks

Gender = Literal["female", "male", ""]


class Engine(Struct, frozen=True):
    """What an engine is: its package, the child that works with it, its voices (name, language, gender)."""

    name: str
    label: str
    package: str
    distribution: str
    child: str
    rate: int
    processes: int
    voices: tuple[tuple[str, str, Gender], ...]


NANOTTS = Engine(
    name="local",
    label="SVOX Pico",
    package="py_nanotts",
    distribution="py-nanotts",
    child="nanotts",
    rate=16_000,
    processes=2,
    voices=(
        ("en-US", "en-US", "female"),
        ("en-GB", "en-GB", "female"),
        ("de-DE", "de-DE", "female"),
        ("es-ES", "es-ES", "female"),
        ("fr-FR", "fr-FR", "female"),
        ("it-IT", "it-IT", "female"),
    ),
)
HIBARI = Engine(
    name="hibari",
    label="Hibari",
    package="hibari",
    distribution="hibari-tts",
    child="hibari",
    rate=24_000,
    processes=1,
    voices=(("heart", "en-US", "female"),),
)
ENGINES = (NANOTTS, HIBARI)

_KNOWN = re.compile(r"[0-9A-Za-zÀ-ɏ]")
"""What all of them can say; they are silent about other letters."""
LONGEST_TEXT = 1_000_000
"""Characters: any length will do, for it is said sentence by sentence."""


class Embedded(Speaker):
    """An engine's speaker. `idle`: after how many seconds without work its children end."""

    local = True

    def __init__(self, engine: Engine, *, idle: float = 300.0) -> None:
        self.name, self.label = engine.name, engine.label
        self.native = Native("pcm", engine.rate)
        self.limit = LONGEST_TEXT
        self._engine = engine
        self._voices = tuple(
            Voice(name, language, gender, engine.name, f"{engine.label} {language}")
            for name, language, gender in engine.voices
        )
        count = min(engine.processes, os.cpu_count() or 1)
        self.workers = Workers(engine.child, count=count, idle=idle)

    @property
    def version(self) -> str:
        return version_of(self._engine.distribution)

    async def open(self, tasks: Tasks) -> None:
        self.workers.open(tasks)

    async def close(self) -> None:
        await self.workers.close()

    def default(self, language: str) -> Voice | None:
        return nearest(self._voices, language)

    async def voices(self) -> tuple[Voice, ...]:
        return self._voices

    async def speak(self, text: str, voice: Voice, manner: Manner) -> AsyncGenerator[Sound, None]:
        told = 0.0
        pieces = sentences(text, voice.language)
        if not pieces:
            raise NothingToSay
        if not _KNOWN.search(text):
            raise self._mute()
        for sentence in pieces:
            job = jobs.Say(sentence, voice.name, manner.rate, manner.volume, manner.pitch)
            said = await self.workers.do(job, first=not told)
            if said.data:
                yield Sound(said.data, of_sentence(sentence, told, said.seconds))
                told += said.seconds
        if not told:
            raise self._mute()

    def _mute(self) -> Mute:
        return Mute(f"{self.label} has no sound for this text. Choose a voice of the text's language.")


def installed() -> list[Embedded]:
    """Those whose package is there; nothing is imported for it."""
    return [Embedded(engine) for engine in ENGINES if find_spec(engine.package)]
