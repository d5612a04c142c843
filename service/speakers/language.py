"""Of which language a text is: by its letters, by its commonest words, else by a model in a child."""

import logging
import re
from collections import Counter
from collections.abc import Sequence

from service.speakers import jobs
from service.speakers.failures import SpeakerError
from service.speakers.workers import Workers
from service.tasks import Tasks

log = logging.getLogger(__name__)

READ = 2000
"""Characters of a text that are looked at."""
UNKNOWN = "en"

LETTERS = (
    ("ja", "\u3040-\u30ff"),
    ("ko", "\uac00-\ud7af\u1100-\u11ff"),
    ("zh", "\u4e00-\u9fff\u3400-\u4dbf"),
    ("el", "\u0370-\u03ff"),
    ("he", "\u0590-\u05ff"),
    ("th", "\u0e00-\u0e7f"),
    ("hy", "\u0530-\u058f"),
    ("ka", "\u10a0-\u10ff"),
    ("hi", "\u0900-\u097f"),
    ("bn", "\u0980-\u09ff"),
    ("gu", "\u0a80-\u0aff"),
    ("ta", "\u0b80-\u0bff"),
    ("te", "\u0c00-\u0c7f"),
    ("kn", "\u0c80-\u0cff"),
    ("ml", "\u0d00-\u0d7f"),
    ("si", "\u0d80-\u0dff"),
    ("lo", "\u0e80-\u0eff"),
    ("my", "\u1000-\u109f"),
    ("am", "\u1200-\u137f"),
    ("km", "\u1780-\u17ff"),
    ("cyrillic", "\u0400-\u04ff"),
    ("arabic", "\u0600-\u06ff"),
    ("latin", "a-z\u00c0-\u024f\u1e00-\u1eff"),
)
"""Scripts that tell a language, and some that do not; Devanagari may be Marathi, but is mostly Hindi."""
_SCRIPTS = [(name, re.compile(f"[{letters}]", re.IGNORECASE)) for name, letters in LETTERS]
WRITTEN = {
    "cyrillic": "be bg kk ky mk mn ru sr tg uk",
    "arabic": "ar fa ps ur",
    "": " ".join(name for name, _ in LETTERS[:-3]),
}
"""Languages by their scripts; all others are written in Latin letters."""
NORWEGIAN = {"nb": "no", "nn": "no"}
KANA = 0.1
"""A tenth of kana among Chinese characters, and it is Japanese."""

WORDS = {
    "en": "the of and to is that it you for are with this was have not be on as can what your how",
    "de": "der die das und ist nicht ein eine ich zu mit den für auf von sie es auch wir sind kann wie",
    "es": "el la los las que en y es un una por con para del no se como su más pero está esta",
    "fr": "le les des et est une que pour dans qui sur pas vous il au avec ce sont nous plus c'est du",
    "it": "il di che è non un una per sono con del della gli anche più come ma questo nel si lo ho",
    "pt": "o os que do da em um uma não com para por mais como mas ao dos se são você foi está",
    "nl": "de het een en van is dat niet op te zijn voor met die ik je er maar ook wat wordt naar",
    "ru": "и в не на что я с как это по но из у за от так для вы мы он бы есть",
    "uk": "і в не на що я з як це та до але від за для ви ми він є й або є",
}
_LANGUAGES_OF = {
    word: [name for name in WORDS if word in WORDS[name].split()]
    for words in WORDS.values()
    for word in words.split()
}
ENOUGH = 3
"""So many words of a language, and twice as many as of any other."""


class Languages:
    """Tells languages; `of` waits 0.7 s where the model has to be loaded first."""

    def __init__(self, *, idle: float = 300.0) -> None:
        self._workers = Workers("detector", idle=idle)

    def open(self, tasks: Tasks) -> None:
        self._workers.open(tasks)

    async def close(self) -> None:
        await self._workers.close()

    async def of(self, text: str, likely: Sequence[str] = ()) -> str:
        """The language's code, two letters (ISO 639-1).

        `likely` are codes of languages that whoever asks reads, the first one first: they decide where a text
        is too short to tell, and English does where they do not.
        """
        text = text[:READ]
        script = script_of(text)
        if script not in ("latin", "cyrillic", "arabic"):
            return script or UNKNOWN
        written = [code for code in likely if writes(code, script)]
        found = by_words(text) or await self._detected(text, written)
        return found or next(iter(written), "") or by_script(text, script)

    async def _detected(self, text: str, likely: Sequence[str]) -> str:
        try:
            found = await self._workers.do(
                jobs.Detect(text, tuple(NORWEGIAN.get(code, code) for code in likely))
            )
        except SpeakerError as error:
            log.warning("no language is told: %s", error.message)
            return ""
        return {"no": "nb"}.get(found.language, found.language)


def writes(code: str, script: str) -> bool:
    """Whether a language is written in a script that several share."""
    return next((name for name, codes in WRITTEN.items() if code in codes.split()), "latin") == script


def script_of(text: str) -> str:
    """The script, or the language of it, that most letters belong to; empty where there is no letter."""
    counts = {name: len(letters.findall(text)) for name, letters in _SCRIPTS}
    if counts["ja"] > KANA * counts["zh"]:
        counts["ja"] += counts["zh"]
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] else ""


def by_words(text: str) -> str:
    """The language that most of the commonest words belong to; empty where they do not tell."""
    words = re.findall(r"\w+(?:'\w+)?", text.casefold())
    ((best, most), (_, next_most)) = Counter(
        dict.fromkeys(WORDS, 0) | Counter(name for word in words for name in _LANGUAGES_OF.get(word, ()))
    ).most_common(2)
    return best if most >= ENOUGH and most >= 2 * next_most else ""


def by_script(text: str, script: str) -> str:
    """A guess, where nobody can be asked."""
    if script == "cyrillic":
        return "uk" if re.search("[іїєґ]", text.casefold()) else "ru"
    return "ar" if script == "arabic" else UNKNOWN
