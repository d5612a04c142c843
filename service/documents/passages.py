"""Pages -> passages: pieces that overlap, and that begin and end where a paragraph or a sentence does."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from service.documents.protocol import Page

LONGEST = 1_200
"""Characters of a passage: a few paragraphs, of which one usually has what is asked for."""
OVERLAP = 200
"""Characters that two passages may share, so that what belongs together is together in one of them."""
END = re.compile(r"\n[ \t]*\n\s*|[.!?…]+[\"'»”’)\]]*\s+|[。！？]+[」』）”]*\s*")
"""Of a paragraph, or of a sentence."""
ENDED = re.compile(r"[.!?…。！？][\"'»”’)\]」』）]*$")

Unit: TypeAlias = tuple[int, str]
"""Where it begins on its page, and a sentence, or as much of it as has room."""


class Passage(Struct, frozen=True):
    """A piece of a document; `page` and `title` are the page's, `start` counts its characters.

    Where its last sentence ends on the next page, that is the `last_page`.
    """

    page: int | None
    title: str | None
    start: int
    text: str
    last_page: int | None = None


def passages(pages: Iterable[Page]) -> Iterator[Passage]:
    """The passages of a document in reading order, made as they are asked for; none is blank.

    Each is of one page, but a sentence that the end of a page cuts is whole where it begins.
    """
    before: Passage | None = None
    for passage in _of_pages(pages):
        if before:
            yield _completed(before, passage)
        before = passage
    if before:
        yield before


def _completed(passage: Passage, after: Passage) -> Passage:
    """With the rest of its last sentence, if that is on the next page; slides and sheets have titles."""
    if passage.page is None or (passage.page + 1, None, None) != (after.page, after.title, passage.title):
        return passage
    end = END.search(after.text)
    rest = after.text[: end.end()].rstrip() if end else after.text
    if ENDED.search(passage.text) or len(rest) > OVERLAP:
        return passage
    return replace(passage, text=f"{passage.text}\n{rest}", last_page=after.page)


def _of_pages(pages: Iterable[Page]) -> Iterator[Passage]:
    for (number, title), pieces in groupby(pages, key=lambda page: (page.number, page.title)):
        for units in _windows(_units(page.text for page in pieces)):
            text = "".join(unit for _, unit in units)
            if stripped := text.strip():
                start = units[0][0] + len(text) - len(text.lstrip())
                yield Passage(number, title, start, stripped)


def _windows(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """As many units in a row as have room; the next window begins with the last ones of this."""
    window: list[Unit] = []
    size = 0
    for unit in units:
        if window and size + len(unit[1]) > LONGEST:
            yield window
            window = _tail(window, LONGEST - len(unit[1]))
            size = sum(len(text) for _, text in window)
        window.append(unit)
        size += len(unit[1])
    if window:
        yield window


def _tail(window: list[Unit], room: int) -> list[Unit]:
    tail: list[Unit] = []
    size = 0
    for unit in reversed(window[1:]):
        size += len(unit[1])
        if size > min(OVERLAP, room):
            break
        tail.insert(0, unit)
    return tail


def _units(pieces: Iterable[str]) -> Iterator[Unit]:
    """The sentences of one page, which may come in several pieces."""
    start, rest = 0, ""
    for piece in pieces:
        text, begin = rest + piece, 0
        for end in END.finditer(text):
            yield from _short(start + begin, text[begin : end.end()])
            begin = end.end()
        *whole, (last, rest) = [*_short(start + begin, text[begin:])] or [(start + len(text), "")]
        yield from whole
        start = last
    if rest:
        yield start, rest


def _short(start: int, text: str) -> Iterator[Unit]:
    """What is too long for one passage is cut at the end of a line or a word, or else anywhere."""
    begin = 0
    while len(text) - begin > LONGEST:
        limit = begin + LONGEST
        end = text.rfind("\n", begin, limit) + 1 or text.rfind(" ", begin, limit) + 1 or limit
        yield start + begin, text[begin:end]
        begin = end
    if begin < len(text):
        yield start + begin, text[begin:]
