"""From what is wished for to what is said by whom."""

import asyncio
import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import astuple

from service.errors import BadRequest, ModelNotAllowed, TooLarge
from service.messages import Allowed
from service.settings import Speech as Configured
from service.speakers.failures import NothingToSay
from service.speakers.language import Languages
from service.speakers.speaker import Manner, Voice, primary, sayable
from service.speakers.spoken import spoken
from service.stores.recordings import Recordings
from service.turns.recital import Script
from service.turns.voices import Company, Part

LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}", re.ASCII)


class Wish(Struct, frozen=True, kw_only=True):
    """What is to be heard: Markdown, and how. What is None is for the service to choose.

    `likely` are languages of whoever asks, for texts that are too short to tell theirs. `param` is what the
    request calls its text.
    """

    text: str
    format: str = "mp3"
    speaker: str | None = None
    voice: str | None = None
    language: str | None = None
    likely: tuple[str, ...] = ()
    manner: Manner = Manner()
    param: str = "text"


class Plan(Struct, frozen=True):
    """Who may speak what, in this order; `key` is the same for whoever may hear the same."""

    parts: list[Part]
    script: Script
    key: tuple[object, ...]

    @property
    def characters(self) -> int:
        return len(self.script.text)

    def instead_of(self, part: Part) -> str | None:
        """Who should have spoken."""
        first = self.parts[0].speaker
        return first.name if part.speaker is not first else None


class Planner:
    """Reads wishes; raises what is wrong with them, before anybody is asked."""

    def __init__(
        self, settings: Configured, company: Company, languages: Languages, recordings: Recordings
    ) -> None:
        self._longest, self._shared = settings.longest_text, settings.shared_cache
        self._company, self._languages, self._recordings = company, languages, recordings

    async def plan(self, wish: Wish, user: str | None, allowed: Allowed) -> Plan:
        """Raises `BadRequest`, `SpeakerNotFound`, `ModelNotAllowed`, or `Unavailable` where nobody can."""
        speakers = self._company.asked(wish.speaker)
        self._check(wish)
        voice = await self._company.voice(wish.voice, speakers) if wish.voice else None
        language = wish.language or (voice and voice.language)
        language = language or await self._languages.of(wish.text, wish.likely)
        _check_language(wish, voice)
        text = await asyncio.to_thread(spoken, wish.text, language)
        if not sayable(text):
            raise NothingToSay(wish.param)
        parts = await self._company.parts(speakers, language, voice, wish.voice)
        if not parts:
            raise self._company.unspoken(speakers, language, chosen=wish.language is not None)
        permitted = [part for part in parts if _may_ask(part, allowed)]
        if not permitted:
            raise ModelNotAllowed(parts[0].voice.name, parts[0].speaker.label)
        return self._planned(wish, text, language, permitted, "" if self._shared else user or "")

    def _planned(self, wish: Wish, text: str, language: str, parts: Sequence[Part], owner: str) -> Plan:
        manner = [str(factor) for factor in astuple(wish.manner)]
        names = {
            part.speaker.name: self._recordings.name(
                owner, part.speaker.name, part.speaker.version, part.voice.name, *manner, text
            )
            for part in parts
        }
        script = Script(text, language, wish.manner, wish.format, names)
        return Plan(list(parts), script, tuple(names.values()))

    def _check(self, wish: Wish) -> None:
        if len(wish.text) > self._longest:
            raise TooLarge(
                f"The text has {len(wish.text)} characters, and at most {self._longest} are spoken at once"
                " (speech.longest_text). Send it in pieces.",
                wish.param,
            )
        if not sayable(wish.text):
            raise NothingToSay(wish.param)


def _may_ask(part: Part, allowed: Allowed) -> bool:
    """Who is on this machine, or costs nothing, is for everybody."""
    row = part.row
    return row is None or row.local or allowed.has(row.name, row.model)


def _check_language(wish: Wish, voice: Voice | None) -> None:
    if wish.language is None:
        return
    if not LANGUAGE.fullmatch(wish.language):
        raise BadRequest(
            f"{wish.language[:40]!r} is no language. Write it as in de or pt-BR, or leave it out.", "language"
        )
    if voice and voice.language and primary(voice.language) != primary(wish.language):
        raise BadRequest(
            f"The voice {voice.name} speaks {voice.language}, not {wish.language}. Leave one of them out.",
            "language",
        )
