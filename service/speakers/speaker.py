"""What a speaker is: a name, its voices, and the sound of a text."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from difflib import get_close_matches
from typing import Literal

from msgspec import Struct

from service.speakers.failures import VoiceNotFound
from service.tasks import Tasks

RATES = (0.25, 4.0)
VOLUMES = (0.0, 2.0)
PITCHES = (0.5, 2.0)


class Voice(Struct, frozen=True):
    """A voice: `language` is a BCP 47 tag such as `en-GB`, `engine` the name of its speaker."""

    name: str
    language: str
    gender: Literal["female", "male", ""] = ""
    engine: str = ""
    label: str = ""


class Manner(Struct, frozen=True):
    """How it is said: factors, 1 is the voice's own; within `RATES`, `VOLUMES` and `PITCHES`.

    What an engine cannot do so strongly it does as far as it can; what it cannot do at all it leaves out.
    """

    rate: float = 1.0
    volume: float = 1.0
    pitch: float = 1.0


class Mark(Struct, frozen=True):
    """When something is said: seconds from the beginning of the sound; `text` is what is said then."""

    offset: float
    duration: float
    text: str
    kind: Literal["sentence", "word"] = "sentence"


class Native(Struct, frozen=True):
    """What a speaker's bytes are: `pcm` is 16 bit, mono, little-endian, `rate` times a second; or `mp3`."""

    format: Literal["pcm", "mp3"]
    rate: int


class Sound(Struct, frozen=True):
    """A piece of a spoken text; marks count from the beginning of the whole.

    Sentences stand in their order, and so do words. They may come a little before their sound, or after it:
    some engines know early, others late. Either part may be empty.
    """

    data: bytes
    marks: tuple[Mark, ...] = ()


class Speaker(ABC):
    """Who speaks; one object serves all, each `speak` is on its own.

    `limit`: the longest text that is spoken at once, in characters; `speak` cuts it into sentences itself.
    `local`: it speaks on this machine, and needs no network.
    """

    name: str
    label: str
    native: Native
    limit: int
    local = False

    async def open(self, tasks: Tasks) -> None:  # noqa: B027 - most have nothing to open
        """Takes what it needs; called once, and costs nothing until somebody is to be heard."""

    async def close(self) -> None:  # noqa: B027
        """Gives back what `open` took, and ends what still runs."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the engine and its voices: another one makes other sounds of the same text."""

    @abstractmethod
    def default(self, language: str) -> Voice | None:
        """The voice for a language (BCP 47, `de` or `de-AT`), known without asking anybody.

        That of its region, else of another; None where it does not speak it.
        """

    @abstractmethod
    async def voices(self) -> tuple[Voice, ...]:
        """All of them; those that it knows anyway where the list cannot be had in time. Raises nothing."""

    async def voice(self, name: str) -> Voice:
        """The voice of this name, in whatever capitals; raises `VoiceNotFound`, which tells the nearest."""
        return named(await self.voices(), name, self.label)

    @abstractmethod
    def speak(self, text: str, voice: Voice, manner: Manner) -> AsyncGenerator[Sound, None]:
        """The sound of a plain text while it is made; to close it stops the work.

        Raises a `SpeakerError` of its kind, mostly before the first sound; `NothingToSay`.
        """


def named(voices: Iterable[Voice], name: str, label: str) -> Voice:
    """The voice of this name; raises `VoiceNotFound`."""
    known = {voice.name.casefold(): voice for voice in voices}
    if found := known.get(name.casefold()):
        return found
    near = get_close_matches(name.casefold()[:100], known, n=5, cutoff=0.4) or list(known)[:5]
    raise VoiceNotFound(name, label, [known[one].name for one in near])


def nearest(voices: Iterable[Voice], language: str) -> Voice | None:
    """The first voice of a language: of its region, else of another; None where there is none."""
    wanted = language.casefold().replace("_", "-")
    spoken = [voice for voice in voices if primary(voice.language) == primary(wanted)]
    exact = (voice for voice in spoken if voice.language.casefold() == wanted)
    return next(exact, spoken[0] if spoken else None)


def primary(language: str) -> str:
    """The language of a tag, without script and region: `pt` of `pt-BR`."""
    return language.casefold().replace("_", "-").partition("-")[0]


def sayable(text: str) -> bool:
    """Whether there is anything to say: a letter or a digit."""
    return any(map(str.isalnum, text))
