"""A text in sentences (sentencex), mended where it cuts amiss, none too long to be said in one breath."""

import re
from collections.abc import Iterator

from service.speakers.speaker import primary, sayable

LONGEST = 250
"""Characters; longer sentences are cut where a speaker would breathe."""
FIRST = 120
"""The first one is cut shorter: so much sooner is it heard."""

# Letters with a full stop that stand alone at the end, as in "M." or "т. е.", are no end of a sentence.
_ABBREVIATED = re.compile(r"(?:^|[\s(«„“\"])[^\W\d_]\.$")
# After a breath: the better ones first. A full stop or comma between digits is part of the number.
_BREATHS = (r"[;:…]\s|\s[—–-]\s|[。；：]", r",\s|[，、]|\)\s", r"\s")


def sentences(text: str, language: str, *, first: int = FIRST, longest: int = LONGEST) -> list[str]:
    """Each line's sentences, without those that have nothing to say; `language` as BCP 47 has it."""
    from sentencex import segment

    code = primary(language)
    whole = [one for line in text.splitlines() for one in _mended(segment(code, line)) if sayable(one)]
    cut = [piece for one in whole[:1] for piece in _opening(one, first)]
    cut += whole[1:]
    return [piece for one in cut for piece in breaths(one, longest) if sayable(piece)]


def breaths(sentence: str, longest: int) -> Iterator[str]:
    """The sentence in pieces of at most so many characters."""
    while len(sentence) > longest:
        piece = sentence[: _breath(sentence, longest)]
        yield piece.strip()
        sentence = sentence[len(piece) :].strip()
    yield sentence


def _mended(segments: list[str]) -> Iterator[str]:
    """What goes on in small letters, or was cut after an initial, belongs to what was before."""
    sentence = ""
    for segment in segments:
        if sentence and not segment[0].islower() and not _ABBREVIATED.search(sentence.rstrip()):
            yield sentence.strip()
            sentence = ""
        sentence += segment
    yield sentence.strip()


def _opening(sentence: str, first: int) -> tuple[str, ...]:
    """The first sentence in two, where there is a comma in its first part."""
    for breath in _BREATHS[:2]:
        if len(sentence) > first and (
            ends := [found.end() for found in re.finditer(breath, sentence[:first])]
        ):
            return sentence[: ends[-1]].strip(), sentence[ends[-1] :].strip()
    return (sentence,)


def _breath(sentence: str, longest: int) -> int:
    """Where to cut: in the second half of what fits, if there is a place."""
    for breath in _BREATHS:
        ends = [found.end() for found in re.finditer(breath, sentence[:longest])]
        if ends and ends[-1] > longest // 2:
            return ends[-1]
    return longest
