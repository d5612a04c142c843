"""When what is said, where an engine does not tell: by how long the words are."""

import re
from collections.abc import Iterable, Iterator

from service.speakers.speaker import Mark

PAUSE = 0.15
"""Seconds of silence that engines leave after a sentence."""


def of_sentence(sentence: str, start: float, seconds: float) -> tuple[Mark, ...]:
    """The sentence, whose time is known, and its words, each as long as its letters are many."""
    return Mark(start, seconds, sentence), *_words(sentence, start, max(seconds - PAUSE, seconds / 2))


def of_sentences(sentences: Iterable[str], start: float, seconds: float) -> tuple[Mark, ...]:
    """Of several sentences whose time is known together."""
    known = list(sentences)
    whole = sum(map(len, known)) or 1
    marks: list[Mark] = []
    for sentence in known:
        part = seconds * len(sentence) / whole
        marks += of_sentence(sentence, start, part)
        start += part
    return tuple(marks)


def of_words(words: Iterable[Mark], sentences: Iterable[str]) -> Iterator[Mark]:
    """The sentences that words of known times make up; both in their order."""
    left = list(words)
    for sentence in sentences:
        place, said = 0, list[Mark]()
        while left and (found := sentence.find(left[0].text, place)) >= 0:
            place = found + len(left[0].text)
            said.append(left.pop(0))
        if said:
            yield Mark(said[0].offset, said[-1].offset + said[-1].duration - said[0].offset, sentence)


def _words(sentence: str, start: float, seconds: float) -> Iterator[Mark]:
    words = re.findall(r"\S*\w\S*", sentence)
    letters = sum(len(word) + 1 for word in words) or 1
    for word in words:
        duration = seconds * (len(word) + 1) / letters
        yield Mark(start, duration, word, "word")
        start += duration
