"""Server-sent events as providers write them: bytes in, payloads out, no I/O (WHATWG HTML §9.2.5, §9.2.6)."""

from service.errors import ProviderError

BOM = b"\xef\xbb\xbf"
LIMIT = 8 * 1024 * 1024
"""In bytes; generous, because images arrive as data URIs."""


class StreamTooLong(ProviderError):
    """One event, finished or not, is longer than the reader keeps; `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The provider sent a single event of more than {limit} bytes, so its answer was cut off."
            " Ask for a smaller answer, or choose another provider."
        )


class EventStream:
    """Reads one `text/event-stream`, whatever pieces it arrives in; after a `StreamTooLong` it is of no use.

    Only `data` is of interest here: comments and the fields event, id and retry are passed over.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_head",
        "_limit",
        "_line",
    )

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._head: bytes | None = b""  # what may still become a BOM; None once that is settled
        self._after_cr = False  # the chunk before ended with CR: an LF that follows belongs to it
        self._line = bytearray()  # the unfinished line
        self._data = bytearray()  # the unfinished event's data lines, each with its LF

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads of the events that this chunk completes, their lines joined by LF.

        Raises `StreamTooLong`; what the same chunk had completed before is lost with it.
        """
        if self._head is not None or self._after_cr or b"\r" in chunk:
            chunk = self._plain(chunk)
        if self._line and b"\n" in chunk:
            chunk = bytes(self._line) + chunk
            self._line.clear()
        # Nearly every chunk is `data: {…}\n\n` a few times over. If splitting accounts for every LF in it,
        # that is all it is, and no line needs a look of its own (a third of the time).
        end = chunk.rfind(b"\n\n")
        if end >= 0 and not self._data and chunk.startswith(b"data: ") and len(chunk) <= self._limit:
            payloads = chunk[6:end].split(b"\n\ndata: ")
            if chunk.count(b"\n", 0, end) == 2 * len(payloads) - 2:
                return payloads + self._lines(chunk[end + 2 :]) if len(chunk) > end + 2 else payloads
        return self._lines(chunk)

    def end(self) -> list[bytes]:
        """What a stream left behind that ended without its last blank line; for streams that were not cut.

        The standard drops such an event. Providers do end that way, and their last words count;
        half a payload fails in the caller's JSON decoder.
        """
        return self.feed(b"\n\n")

    def _plain(self, chunk: bytes) -> bytes:
        """The chunk without the stream's BOM, with LF for every line end; no CR waits for its LF."""
        if self._head is not None:
            chunk = self._head + chunk
            if BOM.startswith(chunk):
                self._head = chunk
                return b""
            self._head = None
            chunk = chunk.removeprefix(BOM)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Line by line; the general way."""
        payloads = []
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if not line:
                if self._data:
                    payloads.append(bytes(self._data[:-1]))
                    self._data.clear()
                continue
            self._bound(len(line))
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data += value.removeprefix(b" ") + b"\n"
        self._line += rest
        self._bound(len(self._line))
        return payloads

    def _bound(self, line: int) -> None:
        if len(self._data) + line > self._limit:
            raise StreamTooLong(self._limit)
