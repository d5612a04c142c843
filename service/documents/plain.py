"""Texts of any encoding, and the sections of Markdown."""

import codecs
import re
from collections.abc import Iterator

from service.documents.protocol import PIECE, Page
from service.documents.reading import Reading

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE = 64 * 1024
"""Bytes from which an encoding is guessed."""
GUESSES = [
    *("cp1252", "cp1250", "cp1251", "koi8_r", "cp866", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
"""What is met in the wild; of all that exist, one resembles whatever it is given."""
HEADING_OR_FENCE = re.compile(r"^(?: {0,3}(?P<fence>```|~~~)|#{1,3} +(?P<title>\S.*))", re.MULTILINE)


def text(data: bytes, reading: Reading) -> Iterator[Page]:
    """As it is, whatever it was written in."""
    wrote = False
    for piece in decoded(data):
        yield reading.piece(piece)
        wrote = True
    if not wrote:
        yield from reading.page("")


def markdown(data: bytes, reading: Reading) -> Iterator[Page]:
    return sections("".join(decoded(data)), reading)


def decoded(data: bytes) -> Iterator[str]:
    """In pieces; what cannot be decoded is replaced."""
    decoder = codecs.getincrementaldecoder(encoding_of(data))("replace")
    for start in range(0, len(data), PIECE):
        if piece := decoder.decode(data[start : start + PIECE], final=start + PIECE >= len(data)):
            yield piece


def encoding_of(data: bytes) -> str:
    """By its byte order mark, by being valid UTF-8, else by what its letters look like."""
    marked = next((name for mark, name in MARKS if data.startswith(mark)), None)
    if marked:
        return marked
    return "utf-8" if _is_utf8(data) else _guessed(data)


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), PIECE):
            decoder.decode(data[start : start + PIECE], final=start + PIECE >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _guessed(data: bytes) -> str:
    from charset_normalizer import from_bytes  # it takes its time, and most texts are UTF-8

    foreign = re.search(rb"[\x80-\xff]", data)
    start = max(0, foreign.start() - 1024) if foreign else 0
    sample = data[start : start + SAMPLE]
    if len(sample) == SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1] or sample  # not in the midst of a character
    best = from_bytes(sample, cp_isolation=GUESSES).best()
    return best.encoding if best else "cp1252"


def sections(written: str, reading: Reading) -> Iterator[Page]:
    """Markdown, cut before its headings; joined they are all of it. Too many of them are left together."""
    found = list(_sections(written, reading.limits.pages))
    if len(found) > reading.limits.pages:
        found = [(None, written)]
    for title, section in found:
        yield from reading.page(section, title=title)


def _sections(written: str, most: int) -> Iterator[tuple[str | None, str]]:
    """Title and text of each, up to one more than `most`; code in fences has no headings."""
    title, start, fence = None, 0, ""
    for line in HEADING_OR_FENCE.finditer(written):
        if line["fence"]:
            fence = "" if fence == line["fence"] else fence or line["fence"]
        elif not fence:
            if written[start : line.start()].strip():
                yield title, written[start : line.start()]
                start, most = line.start(), most - 1
                if most < 0:
                    return
            title = line["title"].strip("# *")
    yield title, written[start:]
