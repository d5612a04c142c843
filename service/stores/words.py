"""Words as they are indexed and looked up, in English, Russian, Chinese and the like, by one rule for all.

What is indexed are the words themselves, in lower case and without accents, and of scripts that put no space
between words every two characters in a row. What is looked up are the beginnings of words: their endings, of
which Russian has many, do not matter.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from math import log1p

from msgspec import Struct

WORD = re.compile(r"[^\W_]+")
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
RUN = re.compile(rf"[{UNSPACED}]+|[^{UNSPACED}]+")
IS_UNSPACED = re.compile(rf"[{UNSPACED}]")
ACCENTS = re.compile(r"[\u0300-\u036f]")
ENDING = re.compile(
    r"(?:(?:ing|ed|er|ly|al)s?|ies|es|s|e|y"
    r"|ыми|ими|ями|ами|ого|его|ому|ему|иях|иям|ых|их|ях|ах|ов|ев|еи|ои|ии|ыи|ые|ие|ая|яя|ую|юю|ое|ее"
    r"|ом|ем|ам|ям|ия|ию|ть|[аеиоуыьюя])$"
)
"""Of an English or a Russian word without accents, in which й is и."""
SHORTEST = 3
"""Characters that are left of a word without its ending."""
LONGEST = 64
MOST = 32
"""Terms of a question."""


class Term(Struct, frozen=True):
    """A word to be looked up, or with `begins` all words that begin like this."""

    word: str
    begins: bool = False

    def count(self, words: Counter[str]) -> int:
        """How often it is among words."""
        if not self.begins:
            return words[self.word]
        return sum(number for word, number in words.items() if word.startswith(self.word))


def words(text: str) -> list[str]:
    """Every word of a text, in its order."""
    return [word for run in _runs(text) for word in _indexed(run)]


def terms(question: str) -> list[Term]:
    """What to look up for a question; of a very long one the longest words."""
    runs = list(dict.fromkeys(_runs(question)))
    runs = sorted(runs, key=len, reverse=True)[:MOST] if len(runs) > MOST else runs
    return list(dict.fromkeys(term for run in runs for term in _looked_up(run)))[:MOST]


def ranked(texts: Sequence[str], wanted: Sequence[Term]) -> list[int]:
    """The places of the texts that have any of the terms, the best first: for a few that no index has."""
    counted = [Counter(words(text)) for text in texts]
    scores = dict.fromkeys(range(len(texts)), 0.0)
    for term in wanted:
        counts = [term.count(words) for words in counted]
        has = sum(map(bool, counts))
        weight = log1p((len(texts) - has + 0.5) / (has + 0.5))
        for place, count in enumerate(counts):
            scores[place] += weight * count / (count + 1)
    return sorted((place for place in scores if scores[place]), key=lambda place: -scores[place])


def _runs(text: str) -> Iterator[str]:
    """Words, cut where a script that knows no spaces begins or ends."""
    for word in WORD.findall(_plain(text)):
        if word.isascii() or not IS_UNSPACED.search(word):
            yield word[:LONGEST]
        else:
            yield from RUN.findall(word)


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", ACCENTS.sub("", unicodedata.normalize("NFKD", text))).casefold()


def _indexed(run: str) -> list[str]:
    """The last character stands alone, so that each one is the beginning of something."""
    return [run[at : at + 2] for at in range(len(run))] if IS_UNSPACED.match(run) else [run]


def _looked_up(run: str) -> list[Term]:
    if IS_UNSPACED.match(run):
        return [Term(word) for word in _indexed(run)[:-1]] or [Term(run, begins=True)]
    stem = ENDING.sub("", run)
    if not run.isalpha() or len(stem) < SHORTEST:
        return [Term(run)]
    return [Term(run), Term(stem, begins=True)]
