"""The words of a text around the first that was looked for, with all those that were looked for marked."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from service.stores.words import IS_UNSPACED, RUN, WORD, Term, words

Snippet: TypeAlias = list[tuple[str, bool]]
"""Pieces of text in their order, and whether each is a hit."""
BEFORE, LENGTH = 50, 200
"""Characters before the first hit, and in all."""
SEARCHED = 50_000
"""Characters of a text: no more are indexed."""
SPACE = re.compile(r"\s+")


def snippet(text: str, sought: Sequence[Term]) -> Snippet:
    """About 200 characters; the beginning of the text, where it has none of the words."""
    hits = _hits(text, sought)
    first = next(hits, None)
    start = _start(text, first[0] if first else 0)
    end = min(start + LENGTH, len(text))
    pieces: Snippet = [("…", False)] if start else []
    at = start
    for begin, after in _until(end, first, hits):
        pieces += [(text[at:begin], False), (text[begin:after], True)]
        at = after
    pieces += [(text[at:end], False), ("…" if end < len(text) else "", False)]
    return _joined(pieces)


def _hits(text: str, sought: Sequence[Term]) -> Iterator[tuple[int, int]]:
    """Where the words stand, in their order."""
    exact = {term.word for term in sought if not term.begins}
    beginnings = tuple(term.word for term in sought if term.begins)
    for word in WORD.finditer(text, 0, SEARCHED):
        for run in RUN.finditer(text, word.start(), word.end()):
            for at, indexed in enumerate(words(run[0])):
                if indexed in exact or indexed.startswith(beginnings):
                    if not IS_UNSPACED.match(run[0]):
                        yield run.span()
                        break
                    yield run.start() + at, min(run.start() + at + len(indexed), run.end())


def _until(
    end: int, first: tuple[int, int] | None, others: Iterator[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """The hits before `end`, those that touch as one."""
    last = first
    while last and last[0] < end:
        following = next(others, None)
        if following and following[0] <= last[1]:
            last = last[0], max(last[1], following[1])
            continue
        yield last[0], min(last[1], end)
        last = following


def _start(text: str, hit: int) -> int:
    """Not in the midst of a word, if one begins there."""
    start = max(0, hit - BEFORE)
    space = SPACE.search(text, start, hit) if start else None
    return space.end() if space else start


def _joined(pieces: Snippet) -> Snippet:
    """On one line, and without what is empty."""
    shown: Snippet = []
    for piece, hit in pieces:
        piece = SPACE.sub(" ", piece)
        if piece and shown and not hit and not shown[-1][1]:
            shown[-1] = (shown[-1][0] + piece, False)
        elif piece:
            shown.append((piece, hit))
    return shown
