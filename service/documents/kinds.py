"""What a file is, told by its first bytes; its name decides only where bytes cannot."""

import codecs
import re
from typing import Literal

from msgspec import Struct

Family = Literal["document", "image", "audio", "video"]
HEAD = 4096
"""Bytes of a file's beginning that tell its kind."""


class Kind(Struct, frozen=True):
    """What a file is; `extension` (no dot) fits the content, whatever the file is named."""

    media_type: str
    family: Family
    extension: str


def _kinds(family: Family, **types: str) -> dict[str, Kind]:
    return {extension: Kind(media_type, family, extension) for extension, media_type in types.items()}


OFFICE = "application/vnd.openxmlformats-officedocument."
PICTURES = _kinds(
    "image",
    jpg="image/jpeg",
    png="image/png",
    gif="image/gif",
    webp="image/webp",
    bmp="image/bmp",
    tiff="image/tiff",
    avif="image/avif",
)
SOUNDS = _kinds(
    "audio",
    wav="audio/wav",
    mp3="audio/mpeg",
    flac="audio/flac",
    ogg="audio/ogg",
    opus="audio/ogg",
    m4a="audio/mp4",
)
FILMS = _kinds(
    "video",
    mp4="video/mp4",
    mov="video/quicktime",
    webm="video/webm",
    mkv="video/x-matroska",
    avi="video/x-msvideo",
    ogv="video/ogg",
    mpg="video/mpeg",
)
PACKED = _kinds(
    "document",
    zip="application/zip",
    docx=OFFICE + "wordprocessingml.document",
    xlsx=OFFICE + "spreadsheetml.sheet",
    pptx=OFFICE + "presentationml.presentation",
    odt="application/vnd.oasis.opendocument.text",
    ods="application/vnd.oasis.opendocument.spreadsheet",
    odp="application/vnd.oasis.opendocument.presentation",
    epub="application/epub+zip",
)
"""ZIP archives, and formats that are one inside: the reader looks into them for what they are."""
MARKED_UP = _kinds("document", pdf="application/pdf", rtf="application/rtf")
PLAIN = _kinds(
    "document",
    html="text/html",
    xml="application/xml",
    svg="image/svg+xml",
    eml="message/rfc822",
    csv="text/csv",
    tsv="text/tab-separated-values",
    json="application/json",
    md="text/markdown",
    txt="text/plain",
)
"""Texts with a form of their own; others, like source code, are text/plain."""
KINDS = PICTURES | SOUNDS | FILMS | PACKED | MARKED_UP | PLAIN

ALIASES = {"htm": "html", "xhtml": "html", "markdown": "md", "text": "txt"}
REFUSED = frozenset({"exe", "dll", "com", "msi", "scr", "sys", "so", "dylib", "class", "pyc", "o", "bin"})
"""Programs: a file of such a name is not taken even if its bytes would pass for text."""

# In this order; the first whose pattern matches at the file's beginning.
MAGIC = [
    (re.compile(pattern, re.DOTALL), extension)
    for pattern, extension in (
        (rb"\xff\xd8\xff", "jpg"),
        (rb"\x89PNG\r\n\x1a\n", "png"),
        (rb"GIF8[79]a", "gif"),
        (rb"RIFF....WEBP", "webp"),
        (rb"BM.{4}\0\0\0\0", "bmp"),
        (rb"II\x2a\0|MM\0\x2a", "tiff"),
        (rb"....ftypavi[fs]", "avif"),
        (rb"RIFF....WAVE|RF64....WAVE", "wav"),
        (rb"RIFF....AVI ", "avi"),
        (rb"fLaC", "flac"),
        (rb"OggS.{24,60}OpusHead", "opus"),
        (rb"OggS.{24,60}(\x80theora|\x01video)", "ogv"),
        (rb"OggS", "ogg"),
        (rb"....ftypM4[AB] ", "m4a"),
        (rb"....ftypqt  ", "mov"),
        (rb"....ftyp(isom|iso[2-9]|mp4|avc1|M4V |MSNV|dash|f4v|3g|mmp4)", "mp4"),
        (rb"\x1a\x45\xdf\xa3.{0,60}webm", "webm"),
        (rb"\x1a\x45\xdf\xa3.{0,60}matroska", "mkv"),
        (rb"\0\0\x01[\xba\xb3]", "mpg"),
        (rb"ID3|\xff[\xfb\xfa\xf3\xf2]", "mp3"),
        (rb".{0,1024}?%PDF-\d", "pdf"),
        (rb"\{\\rtf", "rtf"),
    )
]
ZIPPED = (b"PK\x03\x04", b"PK\x05\x06")
COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Microsoft's older container, in which encrypted Office files are wrapped."""
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
NEVER_IN_TEXT = bytes({*range(32), 127} - set(b"\t\n\v\f\r\b\x1a\x1b\x7f"))


def kind_of(head: bytes, name: str) -> Kind | None:
    """What a file is whose first `HEAD` bytes (or all) these are; None if nobody here can read or show it."""
    extension = extension_of(name)
    if extension in REFUSED:
        return None
    if head.startswith(ZIPPED):
        return PACKED[_packed(head, extension)]
    if head.startswith(COMPOUND):
        return PACKED.get(extension)  # encrypted, or of an older Office: the reader says so
    if not is_text(head):
        return next((KINDS[found] for magic, found in MAGIC if magic.match(head)), None)
    if head.startswith((b"%PDF-", b"{\\rtf")):
        return MARKED_UP["pdf" if head.startswith(b"%") else "rtf"]
    return _text(head, extension)


def extension_of(name: str) -> str:
    """Of a file's name: in small letters, without the dot, one spelling for each."""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return ALIASES.get(extension, extension)


def is_text(head: bytes) -> bool:
    """Whether nothing in it is foreign to texts, in any encoding that has no zeros, or announces itself."""
    if head.startswith(BYTE_ORDER_MARKS):
        return True
    return len(head) == len(head.translate(None, NEVER_IN_TEXT))


def _packed(head: bytes, extension: str) -> str:
    """OpenDocument and EPUB begin with their media type; of the others the reader sees what they are."""
    told = re.match(rb"PK\x03\x04.{26}mimetype([a-z+./-]+)", head, re.DOTALL)
    media_type = told[1].decode() if told else ""
    exact = (kind.extension for kind in PACKED.values() if media_type.startswith(kind.media_type))
    return next(exact, extension if extension in PACKED else "zip")


def _text(head: bytes, extension: str) -> Kind:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:256].lower()
    if extension in PLAIN:
        return PLAIN[extension]
    if start.startswith((b"<!doctype html", b"<html")):
        return PLAIN["html"]
    known = re.fullmatch(r"\w{1,16}", extension) and extension not in KINDS
    return Kind("text/plain", "document", extension if known else "txt")
