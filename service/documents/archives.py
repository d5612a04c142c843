"""ZIP archives and what is attached to e-mails: each file inside is read like one that was sent alone."""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from service.documents.kinds import HEAD, PACKED, Kind, kind_of
from service.documents.protocol import Page
from service.documents.reading import Reading, Unreadable

Read = Callable[[BinaryIO, Kind, Reading], Iterator[Page]]

CONTENT_TYPES = "[Content_Types].xml"
PARTS = {"word/": "docx", "xl/": "xlsx", "ppt/": "pptx"}
"""What an office document has inside."""
ENCRYPTED = 0x1
FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)
"""What zipfile raises where an archive is damaged, or is packed in ways of its own."""


@contextmanager
def _opened(source: BinaryIO, reading: Reading) -> Iterator[zipfile.ZipFile]:
    """Raises `Unreadable`, and `Refusal` where it has too many members."""
    try:
        archive = zipfile.ZipFile(source)
    except FAULTS:
        raise Unreadable("is damaged: it is no whole ZIP archive") from None
    with archive:
        reading.check_members(len(archive.filelist))
        yield archive


def told_apart(source: BinaryIO, reading: Reading) -> Kind:
    """What a ZIP archive is; what an office document declares to come to is held against the limit."""
    with _opened(source, reading) as archive:
        kind = _packed_kind(archive)
        if kind.extension != "zip":
            reading.unpack(sum(member.file_size for member in archive.filelist))
    source.seek(0)
    return kind


def _packed_kind(archive: zipfile.ZipFile) -> Kind:
    names = archive.namelist()
    if CONTENT_TYPES in names:
        found = (kind for part, kind in PARTS.items() if any(name.startswith(part) for name in names))
        return PACKED[next(found, "zip")]
    try:  # OpenDocument and EPUB say it in a member of this name
        with archive.open("mimetype") as member:
            media_type = member.read(100).decode("ascii", "replace").strip()
    except (KeyError, *FAULTS):
        return PACKED["zip"]
    return next((kind for kind in PACKED.values() if kind.media_type == media_type), PACKED["zip"])


def members(source: BinaryIO, reading: Reading, read: Read) -> Iterator[Page]:
    """The pages of all files in it, in its order; directories and links are none."""
    with _opened(source, reading) as archive:
        reading.count_members(len(archive.filelist))
        for member in archive.infolist():
            if not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16):
                with reading.inside(_path(member.filename)):
                    yield from _file(_unpacked(archive, member, reading), member.filename, reading, read)


def attached(files: list[tuple[str, bytes]], reading: Reading, read: Read) -> Iterator[Page]:
    """The pages of files by their names, which were attached to an e-mail."""
    reading.count_members(len(files))
    for name, data in files:
        with reading.inside(_path(name)):
            reading.unpack(len(data))
            yield from _file(data, name, reading, read)


def _file(data: bytes, name: str, reading: Reading, read: Read) -> Iterator[Page]:
    kind = kind_of(data[:HEAD], name)
    if kind is None or kind.family != "document":
        raise Unreadable("is not a document")
    return read(io.BytesIO(data), kind, reading)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, reading: Reading) -> bytes:
    """Not more than may still come out of the file; what a member declares is not relied on."""
    if member.flag_bits & ENCRYPTED:
        raise Unreadable("is encrypted")
    try:
        with archive.open(member) as stream:
            data = stream.read(reading.unpackable + 1)
    except FAULTS:
        raise Unreadable("is damaged") from None
    reading.unpack(len(data))
    return data


def _path(name: str) -> str:
    """A member's path as it is shown: it leads nowhere, whatever it says."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))
