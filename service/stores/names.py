"""Names that clients give to buckets and files, as they are kept: no path, no surprise."""

import re
import unicodedata
from urllib.parse import unquote

from service.errors import BadRequest

LONGEST = 100
"""Bytes in UTF-8."""
LONGEST_EXTENSION = 16
STRANGE = re.compile(r"[^\w.,+-]+")
MARKS = ".,_+-"
NO_NAMES = frozenset({"", "blob"})
"""What browsers call what has no name."""


def plain(text: str) -> str:
    """The text without what could mean something to a file system or a header; "" where nothing is left.

    A name that comes back from a client stays itself. Source: the wire contract, section 1.
    """
    return _short(_harmless(text), LONGEST).strip(MARKS)


def bucket_id(text: str) -> str:
    """A bucket's id. Raises `BadRequest` where nothing is left of it: that would name the root of all."""
    if id := plain(text):
        return id
    raise BadRequest(
        "This is no id of a bucket: it has neither a letter nor a digit. Use another one.", "bucket"
    )


def file_name(text: str | None, extension: str) -> str:
    """A file's name, which keeps its ending; one without a name is called "file" and gets this extension."""
    name = _harmless(text or "").strip(MARKS)
    return f"file{extension}" if name.lower() in NO_NAMES else _with_end(name, "")


def numbered(name: str, number: int) -> str:
    """`notes.txt` as `notes-2.txt`: the name of another file."""
    return _with_end(name, f"-{number}")


def _harmless(text: str) -> str:
    return STRANGE.sub("_", unicodedata.normalize("NFC", unquote(text)).strip())


def _with_end(name: str, end: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > LONGEST_EXTENSION:
        stem, dot, extension = name, "", ""
    end += dot + extension
    return _short(stem, LONGEST - len(end.encode())) + end


def _short(text: str, most: int) -> str:
    return text.encode(errors="replace")[:most].decode(errors="ignore")
