"""Which format is read by whom, in a process of its own."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from service.documents import archives, mail, office, plain, word
from service.documents.kinds import COMPOUND, HEAD, PACKED, Kind, kind_of
from service.documents.protocol import Page
from service.documents.reading import Reading, Unreadable
from service.documents.web_pages import web_page

READERS: dict[str, Callable[[bytes, Reading], Iterator[Page]]] = {
    "pdf": office.pdf,
    "docx": word.document,
    "odt": office.written("odt"),
    "odp": office.written("odp"),
    "epub": office.written("epub"),
    "rtf": office.written("rtf"),
    "xlsx": office.sheets("xlsx"),
    "ods": office.sheets("ods"),
    "pptx": office.slides,
    "html": web_page,
    "md": plain.markdown,
}
"""By extension; all others are texts, and read as they are."""


def identified(file: BinaryIO, kind: Kind, reading: Reading) -> Kind:
    """What the file is by its content; raises `Unreadable` where that is nothing that is read."""
    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(COMPOUND):
        raise Unreadable("is encrypted, or of an older Office: save it anew without a password")
    if kind.extension in PACKED:
        return archives.told_apart(file, reading)
    found = kind_of(head, f"file.{kind.extension}")
    if found is None or found.family != "document":
        raise Unreadable("is not a document")
    return kind


def read(file: BinaryIO, kind: Kind, reading: Reading) -> Iterator[Page]:
    """The pages of a file of a kind that `identified` has told; `file` stands at its beginning."""
    if kind.extension == "zip":
        yield from archives.members(file, reading, _read_member)
        return
    data = file.read()
    if kind.extension == "eml":
        message = mail.letter(data)
        yield from mail.text(message, reading)
        yield from archives.attached(mail.attached(message), reading, _read_member)
        return
    yield from READERS.get(kind.extension, plain.text)(data, reading)


def _read_member(file: BinaryIO, kind: Kind, reading: Reading) -> Iterator[Page]:
    yield from read(file, identified(file, kind, reading), reading)
