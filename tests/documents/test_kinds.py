"""A file is what its bytes say; its name is heard where they are silent."""

import pytest

from service.documents.kinds import PACKED, PLAIN, kind_of
from tests.documents import made

WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0"
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0"
OGG = b"OggS\0\2" + bytes(22)
MATROSKA = b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x82\x84"


@pytest.mark.parametrize(
    ("head", "name", "media_type", "family"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a.jpeg", "image/jpeg", "image"),
        (made.png(1, 1, b"\0\0\0\0\0"), "a.png", "image/png", "image"),
        (made.gif(1), "a.gif", "image/gif", "image"),
        (b"RIFF\x1a\0\0\0WEBPVP8L", "a.webp", "image/webp", "image"),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", "a.bmp", "image/bmp", "image"),
        (b"II*\0\x08\0\0\0", "a.tif", "image/tiff", "image"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "a.avif", "image/avif", "image"),
        (WAV, "a.wav", "audio/wav", "audio"),
        (b"ID3\4\0\0\0\0\0\0", "a.mp3", "audio/mpeg", "audio"),
        (b"\xff\xfb\x90\x44\0\0\0\0", "a.mp3", "audio/mpeg", "audio"),
        (b"fLaC\0\0\0\x22", "a.flac", "audio/flac", "audio"),
        (OGG + b"\x01vorbis", "a.ogg", "audio/ogg", "audio"),
        (OGG + b"OpusHead", "a.opus", "audio/ogg", "audio"),
        (OGG + b"\x80theora", "a.ogv", "video/ogg", "video"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0", "a.m4a", "audio/mp4", "audio"),
        (MP4, "a.mp4", "video/mp4", "video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "a.mov", "video/quicktime", "video"),
        (MATROSKA + b"webm", "a.webm", "video/webm", "video"),
        (MATROSKA + b"matroska", "a.mkv", "video/x-matroska", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "a.avi", "video/x-msvideo", "video"),
        (b"\0\0\x01\xba\x44\0", "a.mpeg", "video/mpeg", "video"),
        (made.pdf(["x"]), "a.pdf", "application/pdf", "document"),
        (b"{\\rtf1 x}", "a.rtf", "application/rtf", "document"),
    ],
)
def test_bytes_tell(head: bytes, name: str, media_type: str, family: str) -> None:
    for called in (name, "picture.png", "notes.txt", "nameless"):
        kind = kind_of(head, called)
        assert kind and (kind.media_type, kind.family) == (media_type, family)


@pytest.mark.parametrize(
    ("name", "content", "extension"),
    [
        ("a.odt", made.open_document("text", ""), "odt"),
        ("a.zip", made.open_document("spreadsheet", ""), "ods"),
        ("a.docx", made.epub("T", {"One": "x"}), "epub"),
        ("a.docx", made.docx(""), "docx"),
        ("a.txt", made.zipped({"a.txt": "x"}), "zip"),
    ],
)
def test_packages_are_told_by_their_first_member(name: str, content: bytes, extension: str) -> None:
    assert kind_of(content, name) == PACKED[extension]


@pytest.mark.parametrize(
    ("name", "content", "media_type", "extension"),
    [
        ("notes.TXT", b"words", "text/plain", "txt"),
        ("README", b"# words", "text/plain", "txt"),
        ("page.htm", b"<p>words", "text/html", "html"),
        ("page.txt", b"<!DOCTYPE html><p>words", "text/plain", "txt"),
        ("page", b"\xef\xbb\xbf \n<html>", "text/html", "html"),
        ("mail.eml", b"From: a@a.example\r\n\r\nwords", "message/rfc822", "eml"),
        ("table.csv", b"a,b\n", "text/csv", "csv"),
        ("drawing.svg", b"<svg/>", "image/svg+xml", "svg"),
        ("unicode.txt", "слова".encode("utf-16"), "text/plain", "txt"),
        ("old.txt", "слова".encode("cp1251"), "text/plain", "txt"),
        ("empty.md", b"", "text/markdown", "md"),
        ("photo.png", b"no picture, but words", "text/plain", "txt"),
        *(
            (f"code.{end}", b"words", "text/plain", end)
            for end in ("py", "rs", "c", "ts", "sh", "yaml", "sql", "php")
        ),
    ],
)
def test_texts(name: str, content: bytes, media_type: str, extension: str) -> None:
    kind = kind_of(content, name)
    assert kind and (kind.media_type, kind.family, kind.extension) == (media_type, "document", extension)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evil.exe", b"MZ\x90\0\3\0"),
        ("evil.exe", b"words"),
        ("notes.txt", b"MZ\x90\0\3\0"),
        ("notes.txt", b"\x7fELF\2\1\1\0"),
        ("notes.pdf", bytes(range(256))),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(8)),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0"),
    ],
)
def test_what_nobody_reads_has_no_kind(name: str, content: bytes) -> None:
    assert kind_of(content, name) is None


def test_each_kind_knows_its_extension() -> None:
    assert [name for name, kind in (PACKED | PLAIN).items() if kind.extension != name] == []
