"""Word documents (ECMA-376, part 1, section 17) as Markdown.

Kreuzberg loses ampersands and angle brackets, tabs, headers, and what stands beside a text box.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from service.documents.plain import sections
from service.documents.protocol import Page
from service.documents.reading import Reading, Unreadable

NAMESPACE = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = b"http://purl.oclc.org/ooxml/wordprocessingml/main"
"""The namespace of the standard's strict kind, which is read as if it were the other."""
WORD = f"{{{NAMESPACE.decode()}}}"
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"

P, TABLE, ROW, CELL, BOX = (f"{WORD}{name}" for name in ("p", "tbl", "tr", "tc", "txbxContent"))
VALUE, ID, TYPE = (f"{WORD}{name}" for name in ("val", "id", "type"))
WRITTEN = {f"{WORD}tab": "\t", f"{WORD}br": "\n", f"{WORD}cr": "\n", f"{WORD}noBreakHyphen": "-"}
NOTES = {f"{WORD}footnoteReference": "", f"{WORD}endnoteReference": "e"}
UNSEEN = frozenset(
    {
        "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",  # says the same again
        f"{WORD}moveFrom",  # and so does the place that a text was moved away from
        f"{WORD}pPr",
        f"{WORD}rPr",
    }
)
PART = re.compile(r"word/document\d*\.xml")
REPEATED = re.compile(r"word/(header|footer)\d*\.xml")
HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)
FAULTS = (KeyError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ElementTree.ParseError)


def document(data: bytes, reading: Reading) -> Iterator[Page]:
    """Its sections, with its notes, headers and footers after the last; raises `Unreadable`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            written = _Word(archive).written()
            reading.tell(**_about(archive))
    except RecursionError:
        raise Unreadable("is damaged: it has tables in tables without end") from None
    except FAULTS:
        raise Unreadable("is damaged, or not what its name says") from None
    return sections(written, reading)


class _Word:
    """One document, which is read once."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = list(dict.fromkeys(archive.namelist()))
        self._levels = dict(self._styles())

    def written(self) -> str:
        parts = [
            *self._body(),
            *self._notes("footnotes", ""),
            *self._notes("endnotes", "e"),
            *self._repeated(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _styles(self) -> Iterator[tuple[str, int]]:
        """By their ids the levels of headings; ids are translated, names are not."""
        for style in self._part("word/styles.xml"):
            name = style.find(f"{WORD}name")
            called = name.get(VALUE, "") if name is not None else ""
            if level := HEADING.match(called):
                yield style.get(f"{WORD}styleId", ""), int(level[1])
            elif called.lower() == "title":
                yield style.get(f"{WORD}styleId", ""), 1

    def _part(self, name: str) -> Iterable[Element]:
        """What stands in a part; nothing where there is none."""
        return ElementTree.fromstring(self._read(name)) if name in self._names else ()

    def _read(self, name: str) -> bytes:
        return self._archive.read(name).replace(STRICT, NAMESPACE)

    def _body(self) -> Iterator[str]:
        name = next((name for name in self._names if PART.fullmatch(name)), "word/document.xml")
        depth = 0
        for event, element in ElementTree.iterparse(io.BytesIO(self._read(name)), ("start", "end")):
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 2:  # in the body, in the document
                yield from self._blocks([element])
                element.clear()

    def _notes(self, part: str, mark: str) -> Iterator[str]:
        for note in self._part(f"word/{part}.xml"):
            if note.get(TYPE, "normal") == "normal":
                yield f"[^{mark}{note.get(ID)}]: " + " ".join(self._blocks(note))

    def _repeated(self) -> list[str]:
        """What stands above and below each page, once."""
        parts = filter(REPEATED.fullmatch, self._names)
        return list(dict.fromkeys(" ".join(self._blocks(self._part(name))) for name in parts))

    def _blocks(self, elements: Iterable[Element], tables: bool = True) -> Iterator[str]:
        """Paragraphs and tables, in whatever they lie; or of tables no more than their paragraphs."""
        for element in elements:
            if element.tag == P:
                yield from self._paragraph(element)
            elif element.tag == TABLE and tables:
                yield self._table(element)
            elif element.tag not in UNSEEN:
                yield from self._blocks(element, tables)

    def _paragraph(self, paragraph: Element) -> Iterator[str]:
        """Its text, then what stands in text boxes that hang on it."""
        boxes: list[Element] = []
        text = "".join(_runs(paragraph, boxes)).strip("\n ")
        if text:
            yield self._prefix(paragraph) + text
        for box in boxes:
            yield from self._blocks(box)

    def _prefix(self, paragraph: Element) -> str:
        style = paragraph.find(f"{WORD}pPr/{WORD}pStyle")
        level = self._levels.get(style.get(VALUE, "")) if style is not None else None
        if level:
            return "#" * min(level, 6) + " "
        return "- " if paragraph.find(f"{WORD}pPr/{WORD}numPr") is not None else ""

    def _table(self, table: Element) -> str:
        rows = [[self._cell(cell) for cell in _parts(row, CELL)] for row in _parts(table, ROW)]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([*lines[:1], f"|{' --- |' * len(rows[0])}", *lines[1:]]) if rows else ""

    def _cell(self, cell: Element) -> str:
        return " ".join(" ".join(self._blocks(cell, tables=False)).split()).replace("|", "\\|")


def _parts(element: Element, tag: str) -> Iterator[Element]:
    """Rows or cells, whatever controls lie around them; none of tables within."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag not in (P, TABLE, CELL):
            yield from _parts(child, tag)


def _runs(element: Element, boxes: list[Element]) -> Iterator[str]:
    """A paragraph's text; text boxes are put aside."""
    for child in element:
        if child.tag == f"{WORD}t":
            yield child.text or ""
        elif child.tag in WRITTEN:
            yield WRITTEN[child.tag]
        elif child.tag in NOTES:
            yield f"[^{NOTES[child.tag]}{child.get(ID)}]"
        elif child.tag == BOX:
            boxes.append(child)
        elif child.tag not in UNSEEN:
            yield from _runs(child, boxes)


def _about(archive: zipfile.ZipFile) -> dict[str, object]:
    """Title and author, where the document has them."""
    try:
        with archive.open("docProps/core.xml") as file:
            core = ElementTree.parse(file).getroot()
    except FAULTS:
        return {}
    named = {"title": "title", "author": "creator", "language": "language"}
    return {name: core.findtext(f"{DUBLIN_CORE}{element}") for name, element in named.items()}
