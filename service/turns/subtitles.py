"""What was spoken, as subtitles: SubRip, or WebVTT, in which each word has its time.

Source: the WebVTT specification of the W3C, sections 3 and 4.2; SubRip has none.
"""

import html
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from service.speakers.speaker import Mark

TYPES: Mapping[str, str] = {"srt": "application/x-subrip", "vtt": "text/vtt"}
LINE = 80
"""Characters of a cue that nobody has said the sentences of."""


class Cue(Struct):
    """A line that is shown; times in seconds. Its words lie within it."""

    start: float
    end: float
    text: str
    words: list[Mark]


def subtitles(marks: Sequence[Mark], format: str) -> str:
    """The text of a file; `format` is one of `TYPES`."""
    found = list(cues(marks))
    if format == "vtt":
        return "WEBVTT\n\n" + "".join(
            f"{_time(cue.start)} --> {_time(cue.end)}\n{_timed(cue)}\n\n" for cue in found
        )
    return "".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(found, 1)
    )


def cues(marks: Sequence[Mark]) -> Iterator[Cue]:
    """A cue for each sentence; where there are words alone, for as many as make a line."""
    sentences = sorted((mark for mark in marks if mark.kind == "sentence"), key=lambda mark: mark.offset)
    words = sorted((mark for mark in marks if mark.kind == "word"), key=lambda mark: mark.offset)
    if not sentences:
        yield from _lines(words)
        return
    for index, mark in enumerate(sentences):
        after = sentences[index + 1].offset if index + 1 < len(sentences) else float("inf")
        end = min(mark.offset + mark.duration, after)
        within = [word for word in words if mark.offset <= word.offset < after]
        yield Cue(mark.offset, max(mark.offset, end), _flat(mark.text), within)


def _lines(words: Sequence[Mark]) -> Iterator[Cue]:
    line: list[Mark] = []
    for index, word in enumerate(words):
        line.append(word)
        following = words[index + 1 : index + 2]
        if not following or sum(len(each.text) + 1 for each in line + list(following)) > LINE:
            yield Cue(
                line[0].offset, word.offset + word.duration, _flat(" ".join(w.text for w in line)), line
            )
            line = []


def _timed(cue: Cue) -> str:
    """The text with the time of each word before it, where the text has the word."""
    written, at, after, last = "", 0, 0, cue.start
    for word in cue.words:
        said = _flat(word.text)
        place = cue.text.find(said, after)
        if place < 0:
            continue
        after = place + len(said)
        if last < word.offset < cue.end:
            written += f"{html.escape(cue.text[at:place], quote=False)}<{_time(word.offset)}>"
            at, last = place, word.offset
    return written + html.escape(cue.text[at:], quote=False)


def _flat(text: str) -> str:
    """On one line: an empty one would end the cue."""
    return " ".join(text.split())


def _time(seconds: float, point: str = ".") -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
