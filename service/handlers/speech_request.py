"""What requests for speech say, read into what is wished for."""

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.errors import BadRequest
from service.speakers.encoding import CONTENT_TYPES
from service.speakers.failures import FormatNotFound
from service.speakers.speaker import PITCHES, RATES, VOLUMES, Manner
from service.turns.subtitles import TYPES
from service.turns.wishes import Wish

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
PERCENT = re.compile(r"([+ -]?)(\d{1,4}(?:\.\d{1,6})?)%", re.ASCII)
FACTOR = re.compile(r"\d{1,3}(\.\d{1,6})?", re.ASCII)
ACCEPTED = re.compile(
    r"(?:^|,)\s*([A-Za-z]{2,3})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*(?=,|$)"
)
LONGEST_HEADER = 400
MOST_LANGUAGES = 4
DEFAULT = "mp3"


class Spoken(Struct, frozen=True):
    """A `text` (Markdown), or the answer of the caller's own `turn`.

    `rate`, `volume` and `pitch` are factors, as in 1.25, or changes, as in +25%. `language` is that of the
    text, as in de or pt-BR; left out it is the voice's, or the text's own. The `format` is that of the sound
    (mp3, wav, pcm, opus, flac), or of subtitles for it (srt, vtt).
    """

    text: str = ""
    turn: str = ""
    voice: str = ""
    language: str = ""
    rate: str = ""
    volume: str = ""
    pitch: str = ""
    format: str = DEFAULT

    def wish(self, speaker: str, text: str, accepted: str = "") -> Wish:
        """`accepted` is the header Accept-Language. Raises `BadRequest`."""
        manner = Manner(
            factor(self.rate, "rate", RATES),
            factor(self.volume, "volume", VOLUMES),
            factor(self.pitch, "pitch", PITCHES),
        )
        return Wish(
            text=text,
            format=sound(self.format),
            speaker=speaker,
            voice=self.voice or None,
            language=self.language or None,
            likely=languages(accepted),
            manner=manner,
        )


class Speech(Struct, frozen=True):
    """OpenAI's request, as far as it means something here.

    `model`, or `provider`, names a speaker; names of OpenAI's models mean the service's choice. `voice` is of
    GET /v1/audio/voices or of OpenAI's. `response_format` may be srt or vtt: the subtitles. `instructions`
    are accepted, and have no effect.
    """

    input: str
    model: str = ""
    provider: str | None = None
    voice: str | dict[str, Any] | None = None
    language: str | None = None
    response_format: str = DEFAULT
    speed: Annotated[float, Meta(ge=RATES[0], le=RATES[1])] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: str | None = None

    def wish(self, accepted: str = "") -> Wish:
        """`accepted` is the header Accept-Language. Raises `BadRequest`."""
        voice = self.voice.get("id") if isinstance(self.voice, dict) else self.voice
        return Wish(
            text=clean(self.input, "input"),
            format=sound(self.response_format, "response_format"),
            speaker=self.provider or self.model or None,
            voice=str(voice) if voice else None,
            language=self.language or None,
            likely=languages(accepted),
            manner=Manner(self.speed),
            param="input",
        )


def languages(accepted: str) -> tuple[str, ...]:
    """The languages of an Accept-Language, the dearest first, a few at most (RFC 9110, section 12.5.4)."""
    found = [
        (float(match[2] or 1), match[1].lower()) for match in ACCEPTED.finditer(accepted[:LONGEST_HEADER])
    ]
    wanted = sorted((weight, -place, code) for place, (weight, code) in enumerate(found) if weight)
    return tuple(dict.fromkeys(code for _, _, code in reversed(wanted)))[:MOST_LANGUAGES]


def clean(text: str, param: str) -> str:
    """The text as it is. Raises `BadRequest` where it has characters that nobody can say."""
    if found := CONTROLS.search(text):
        raise BadRequest(
            f"The text has a control character (U+{ord(found[0]):04X} at place {found.start()})."
            " Send letters, marks and line breaks only.",
            param,
        )
    return text


def sound(format: str, param: str = "format") -> str:
    """The format of the sound; for subtitles any will do. Raises `FormatNotFound`."""
    if format in TYPES:
        return DEFAULT
    if format not in CONTENT_TYPES:
        error = FormatNotFound(format, (*CONTENT_TYPES, *TYPES))
        error.param = param
        raise error
    return format


def factor(text: str, name: str, bounds: tuple[float, float]) -> float:
    """A factor that was written as one, or as a change in per cent. Raises `BadRequest`.

    In an address a plus stands for a blank, so a blank stands for a plus.
    """
    if not text:
        return 1.0
    least, most = bounds
    if match := PERCENT.fullmatch(text):
        sign = -1 if match[1] == "-" else 1
        value = 1 + sign * float(match[2]) / 100
    else:
        value = float(text) if FACTOR.fullmatch(text) else -1.0
    if not least <= value <= most:
        raise BadRequest(
            f"{name} is a factor from {least:g} to {most:g}, or a change from {least - 1:+.0%}"
            f" to {most - 1:+.0%}, not {text[:40]!r}.",
            name,
        )
    return value
