"""The members of a JSON array or object, cut out of its bytes as they arrive.

Whoever reads them needs no more memory than the largest takes, and decodes them one by one.
"""

import re
from collections.abc import Iterator

from service.errors import BadRequest

SPACE = b" \t\r\n"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|"'  # one whose end has not come yet is its first sign
NESTED = re.compile(TEXT + rb"|[\[\]{}]", re.DOTALL)
OUTERMOST = re.compile(TEXT + rb"|[\[\]{},]", re.DOTALL)


class Members:
    """Takes the bytes of a document; `outer` is its first sign, `[` or `{`, once that has come.

    A member of an object comes with its name, as `"name": value`. One longer than `longest` bytes is None.
    Whether a member is JSON is only known to who decodes it.
    """

    def __init__(self, longest: int) -> None:
        self.outer = b""
        self._longest, self._too_long = longest, False
        self._data = bytearray()
        self._place = 0
        """Up to which `_data` has been looked at; it begins with the member that has not ended."""
        self._depth = 0
        self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The members that have come to their end. Raises `BadRequest` for what is no array and no object."""
        self._data += data
        if not self.outer and not self._begin():
            return
        while not self._ended:
            found = (OUTERMOST if self._depth == 1 else NESTED).search(self._data, self._place)
            if found is None or found[0] == b'"':
                self._place = found.start() if found else len(self._data)
                break
            self._place = found.end()
            if self._moves(found[0]):
                yield from self._cut(found.start())
        self._forget_what_is_too_long()

    def end(self) -> None:
        """Raises `BadRequest` where the end has not come."""
        if not self._ended:
            raise BadRequest("Invalid JSON data: it breaks off. Send the whole file.")

    def _begin(self) -> bool:
        self._data = self._data.removeprefix(BYTE_ORDER_MARK).lstrip(SPACE)
        if BYTE_ORDER_MARK.startswith(self._data):  # a part of it, or nothing
            return False
        self.outer, self._depth = bytes(self._data[:1]), 1
        if self.outer not in (b"[", b"{"):
            raise BadRequest("Invalid JSON data: this is neither an array nor an object.")
        del self._data[:1]
        return True

    def _moves(self, sign: bytes) -> bool:
        """Whether this sign ends a member."""
        if sign in (b"[", b"{"):
            self._depth += 1
        elif sign in (b"]", b"}"):
            self._depth -= 1
            self._ended = self._depth == 0
        return self._ended or (sign == b"," and self._depth == 1)

    def _cut(self, end: int) -> Iterator[bytes | None]:
        member = bytes(self._data[:end]).strip(SPACE)
        too_long = self._too_long or len(member) > self._longest
        del self._data[: self._place]
        self._place, self._too_long = 0, False
        if member or too_long:
            yield None if too_long else member

    def _forget_what_is_too_long(self) -> None:
        """Of a text that has not ended all but its beginning, and the sign of an escape at its end."""
        if len(self._data) <= self._longest:
            return
        self._too_long = True
        del self._data[: self._place]
        self._place = 0
        if len(self._data) > self._longest:
            escapes = len(self._data) - len(self._data.rstrip(b"\\"))
            self._data[:] = b'"' + b"\\" * (escapes % 2)
