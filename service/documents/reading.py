"""A file that is being read, in a process of its own: what it tells, and what it may come to."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.documents.protocol import PIECE, Page
from service.settings import Documents


class Refusal(Exception):
    """Why a file is not read, as a sentence's end; what exceeds a limit names it and its setting."""


class Unreadable(Refusal):
    """It is the file's own fault: in an archive the others are read all the same."""


class Reading:
    """One file that a user sent, with all that is packed inside it."""

    def __init__(self, limits: Documents) -> None:
        self.limits = limits
        self.metadata: dict[str, str] = {}
        self._path: list[str] = []
        self._unpacked = self._members = self._pages = self._characters = 0

    def tell(self, **metadata: object) -> None:
        """What the file says of itself; of what is packed inside, nothing is kept."""
        if not self._path:
            told = {name: clean(str(value)).strip()[:1000] for name, value in metadata.items() if value}
            self.metadata |= told

    @property
    def unpackable(self) -> int:
        """How many bytes may still come out of it."""
        return self.limits.unpacked - self._unpacked

    def unpack(self, size: int) -> None:
        """So many further bytes come out of it."""
        self._unpacked += size
        if self._unpacked > (limit := self.limits.unpacked):
            raise Refusal(f"unpacks to more than {limit} bytes, the limit documents.unpacked")

    def check_members(self, count: int) -> None:
        """Whether so many further files may be packed inside."""
        if self._members + count > (limit := self.limits.members):
            raise Refusal(f"has more than {limit} files packed inside, the limit documents.members")

    def count_members(self, count: int) -> None:
        self.check_members(count)
        self._members += count

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """While the file of this name, packed inside, is read; one that cannot be is noted and left out."""
        if len(self._path) >= (limit := self.limits.depth):
            raise Refusal(f"has archives in archives more than {limit} deep, the limit documents.depth")
        self._path.append(name)
        try:
            yield
        except Unreadable as fault:
            self._note(f"{'/'.join(self._path)} {fault}")
        finally:
            self._path.pop()

    def _note(self, fault: str) -> None:
        noted = self.metadata.get("unread", "")
        if len(noted) < 2000:
            self.metadata["unread"] = f"{noted}; {line(fault)}" if noted else line(fault) or ""

    def page(self, text: str, number: int | None = None, title: str | None = None) -> Iterator[Page]:
        """A page in pieces; an empty one is one piece."""
        self._pages += number is not None
        if self._pages > (limit := self.limits.pages):
            raise Refusal(f"has more than {limit} pages, the limit documents.pages")
        for start in range(0, max(1, len(text)), PIECE):
            yield self.piece(text[start : start + PIECE], number, title)

    def piece(self, text: str, number: int | None = None, title: str | None = None) -> Page:
        """A part of a page, of at most `PIECE` characters."""
        self._characters += len(text)
        if self._characters > (limit := self.limits.text):
            raise Refusal(f"has more than {limit} characters of text, the limit documents.text")
        titles = [part for part in ("/".join(self._path), line(title)) if part]
        return Page(number, line(": ".join(titles)), clean(text))


def line(title: str | None) -> str | None:
    """A title on one line, not too long; None if nothing is left of it."""
    return " ".join(clean(title).split())[:500] or None if title else None


def clean(text: str) -> str:
    """Without what no database takes: zeros, and halves of characters."""
    text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
