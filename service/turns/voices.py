"""Who speaks: the speakers in their order, which are left out for now, and the voice that each would have."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from msgspec import Struct

from service.errors import BadRequest, NotFound, ServiceError, Unavailable
from service.providers.circuit import Circuit
from service.settings import Routing, SpeakerRow
from service.settings import Speech as Configured
from service.speakers.failures import VoiceNotFound
from service.speakers.speaker import Speaker, Voice, primary
from service.speakers.upstream import OPENAI
from service.telemetry import Metrics

log = logging.getLogger(__name__)


class SpeakerNotFound(NotFound):
    code = "speaker_not_found"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        near = get_close_matches(name[:80].casefold(), [other.casefold() for other in known], n=1)
        meant = [other for other in known if other.casefold() in near]
        hint = f"Did you mean {meant[0]}?" if meant else f"There are {', '.join(known)}."
        super().__init__(f"There is no speaker named {name[:80]!r}. {hint}", "provider")


LISTING_SECONDS = 2.0
"""How long a list of voices is waited for, where the choice among them is ours."""


class Part(Struct, frozen=True):
    """Somebody who can speak a text, and the voice in which he would."""

    speaker: Speaker
    voice: Voice
    row: SpeakerRow | None = None


class Company:
    """All speakers: first those of the settings' order, then those that are asked by their names alone."""

    def __init__(
        self, speakers: Sequence[Speaker], settings: Configured, rows: Sequence[SpeakerRow], metrics: Metrics
    ) -> None:
        self._speakers = {speaker.name: speaker for speaker in speakers}
        self._rows = {row.name: row for row in rows}
        self._order = [self._speakers[name] for name in settings.order if name in self._speakers]
        self._default_names = {name.casefold() for name in settings.default_names}
        once = Routing(failures=1, cool_down=settings.cool_down, patience=0)
        self._circuits = {name: Circuit(f"speaker:{name}", once, metrics) for name in self._speakers}

    def __iter__(self) -> Iterator[Speaker]:
        return iter(self._speakers.values())

    @property
    def first(self) -> Speaker | None:
        """Who is asked when nobody is named."""
        return next(iter(self._order), None)

    def circuit(self, speaker: Speaker) -> Circuit:
        return self._circuits[speaker.name]

    def asked(self, name: str | None) -> list[Speaker]:
        """Who is asked, in this order: the one that is named, and after him the others.

        Raises `SpeakerNotFound`.
        """
        if not name or name.casefold() in self._default_names:
            return self._order
        known = {speaker.casefold(): speaker for speaker in self._speakers}
        if named := known.get(name.casefold()):
            return self._led_by(self._speakers[named], self._order)
        raise SpeakerNotFound(name, list(self._speakers))

    async def voice(self, name: str, speakers: Sequence[Speaker]) -> Voice | None:
        """The voice of this name; None for one of OpenAI's, which everybody has. Raises `VoiceNotFound`."""
        if name.casefold() in OPENAI:
            return None
        missing: VoiceNotFound | None = None
        for speaker in speakers:
            try:
                return await speaker.voice(name)
            except VoiceNotFound as error:
                missing = missing or error
        raise missing or self.nobody()

    async def parts(
        self, speakers: Sequence[Speaker], language: str, voice: Voice | None, name: str | None
    ) -> list[Part]:
        """Who can speak a language, each with his voice.

        Whoever has the chosen `voice` comes first; the others have one like OpenAI's of that `name`, or their
        own for the language.
        """
        if voice and (owner := self._speakers.get(voice.engine)):
            speakers = self._led_by(owner, speakers)
        parts = []
        for speaker in speakers:
            own = voice if voice and voice.engine == speaker.name else speaker.default(language)
            if own and name and not voice:
                own = await _like(name, own, speaker)
            if own:
                parts.append(Part(speaker, own, self._rows.get(speaker.name)))
        return parts

    @staticmethod
    def _led_by(chosen: Speaker, others: Sequence[Speaker]) -> list[Speaker]:
        """Who has chosen somebody on this machine does not want his text to leave it."""
        return [
            chosen,
            *(other for other in others if other is not chosen and (other.local or not chosen.local)),
        ]

    def free(self, parts: Sequence[Part]) -> list[Part]:
        """Those that are not left out for now; where that is nobody, all: they may have recovered."""
        return [part for part in parts if self.circuit(part.speaker).free] or list(parts)

    def unspoken(self, speakers: Sequence[Speaker], language: str, *, chosen: bool) -> ServiceError:
        """Nobody has a voice for it: the request's fault where it has `chosen` the language."""
        if not speakers:
            return self.nobody()
        names = ", ".join(speaker.label for speaker in speakers)
        if chosen:
            return BadRequest(
                f"Nobody here speaks {language[:40]!r} ({names} were asked)."
                " Choose a language, as in de or pt-BR, that GET /v1/audio/voices has a voice for.",
                "language",
            )
        return Unavailable(
            f"No voice here speaks this text's language ({language}); {names} have none for it. Add a speaker"
            ' that does to speech.order ("edge" speaks most), or name another language.'
        )

    @staticmethod
    def nobody() -> Unavailable:
        return Unavailable("No speaker is there: name some in speech.order in the settings.")


async def _like(wanted: str, default: Voice, speaker: Speaker) -> Voice:
    """The speaker's voice of this name of OpenAI's; else of those of the language one of the same gender."""
    try:
        async with asyncio.timeout(LISTING_SECONDS):
            voices = await speaker.voices()
    except TimeoutError:
        return default
    if same := next((voice for voice in voices if voice.name.casefold() == wanted.casefold()), None):
        return same
    gender = OPENAI[wanted.casefold()]
    alike = [name for name in OPENAI if OPENAI[name] == gender]
    fitting = [
        voice
        for voice in voices
        if voice.gender == gender and primary(voice.language) == primary(default.language)
    ]
    near = [voice for voice in fitting if voice.language == default.language] or fitting
    return near[alike.index(wanted.casefold()) % len(near)] if near else default
