"""Bodies in several parts, read as they arrive: nothing is gathered in memory, and everything has a limit.

Source: RFC 7578. What is hostile: endless preambles, a hundred thousand parts, headers without end, bodies
that come a byte a minute, or stop.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import aiohttp
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.multipart import BadContentDispositionHeader, BadContentDispositionParam
from msgspec import Struct

from service.errors import BadRequest, RequestTimeout, TooLarge, UnsupportedMedia

T = TypeVar("T")

CHUNK = 256 * 1024
LONGEST_LINE = 8_190
LONGEST_PREAMBLE = 8_190
MOST_HEADERS = 16
MALFORMED = (
    ValueError,
    LookupError,
    RuntimeError,
    AssertionError,
    HttpProcessingError,
    BadContentDispositionHeader,
    BadContentDispositionParam,
)
"""What the framework's reader raises where a body is not as it should be."""
AS_IT_IS = frozenset({"", "binary", "8bit", "7bit"})


class Limits(Struct, frozen=True):
    """Of a whole body: bytes, parts, seconds in all, and seconds of silence."""

    size: int
    parts: int
    duration: float
    silence: float


class Part:
    """One part; `name` is the field's. `chunks` can be read once, and only before the next part is."""

    def __init__(self, name: str, reader: BodyPartReader) -> None:
        self.name = name
        self.filename = reader.filename
        self.content_type = reader.headers.get("Content-Type")
        self.chunks = _chunks(reader)

    async def text(self, limit: int) -> str:
        """A short part as text. Raises `BadRequest`."""
        data = b""
        async for chunk in self.chunks:
            data += chunk
            if len(data) > limit:
                raise BadRequest(f"The field {self.name} is longer than {limit} bytes.", self.name)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"The field {self.name} is no text in UTF-8.", self.name) from error


class Parts:
    """The parts of a request's body, one after another. Raises what is wrong with it, as 4xx."""

    def __init__(self, headers: Mapping[str, str], content: aiohttp.StreamReader, limits: Limits) -> None:
        self._headers, self._limits = headers, limits
        self._body = Body(content, limits)

    @classmethod
    def of(cls, request: web.Request, limits: Limits) -> "Parts":
        """Raises `UnsupportedMedia` and `TooLarge`, before anything is read."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("Compressed bodies are not accepted. Send it without Content-Encoding.")
        if request.content_type != "multipart/form-data":
            raise UnsupportedMedia("This takes a form with files: send multipart/form-data.")
        if (request.content_length or 0) > limits.size:
            raise _too_large(limits)
        return cls(request.headers, request.content, limits)

    async def __aiter__(self) -> AsyncGenerator[Part, None]:
        with _malformed():
            reader = MultipartReader(
                self._headers,
                self._body,  # type: ignore[arg-type]
                max_field_size=LONGEST_LINE,
                max_headers=MOST_HEADERS,
            )
        count = 0
        while part := await self._next(reader):
            count += 1
            if count > self._limits.parts:
                raise TooLarge(
                    f"The form has more parts than the limit of {self._limits.parts} (files.bucket_files and"
                    " some more). Send fewer files at once."
                )
            yield part

    async def _next(self, reader: MultipartReader) -> Part | None:
        with _malformed():
            part = await reader.next()
            self._body.begun = True
            if part is None:
                return None
            if not isinstance(part, BodyPartReader):
                raise ValueError("a part is a form itself")
            if part.headers.get("Content-Transfer-Encoding", "").lower() not in AS_IT_IS:
                raise ValueError("a part is encoded")
            if part.name is None:
                raise ValueError("a part has no name")
            return Part(part.name, part)


class Body:
    """What the framework's reader reads from: counted, and not waited for longer than it may take."""

    def __init__(self, content: aiohttp.StreamReader, limits: Limits) -> None:
        self.begun = False
        """The first part has been found: what comes before it is nothing that anybody would send."""
        self._content, self._limits, self._count = content, limits, 0
        self._end = asyncio.get_running_loop().time() + limits.duration
        self._back, self._place = b"", 0
        """What was read, and is to be read again, and how much of that has been."""

    async def read(self, size: int) -> bytes:
        if self._place < len(self._back):
            data = self._back[self._place : self._place + size]
            self._place += len(data)
            return data
        if self._content.at_eof() and not self._content.exception():
            return b""  # what is asked again and again after the end complains in the log
        return self._counted(await self._soon(self._content.read(size)))

    async def readline(self, *, max_line_length: int = LONGEST_LINE) -> bytes:
        end = self._back.find(b"\n", self._place) + 1
        line = self._back[self._place : end or None]
        self._place += len(line)
        if not end:
            line += self._counted(await self._soon(self._content.readline(max_line_length=max_line_length)))
        if len(line) > max_line_length:
            raise ValueError("a line is too long")
        if not self.begun and self._count > LONGEST_PREAMBLE:
            raise ValueError("it does not begin with a part")
        return line

    def unread_data(self, data: bytes) -> None:
        self._back, self._place = data + self._back[self._place :], 0

    def at_eof(self) -> bool:
        return self._place >= len(self._back) and self._content.at_eof()

    def _counted(self, data: bytes) -> bytes:
        self._count += len(data)
        if self._count > self._limits.size:
            raise _too_large(self._limits)
        return data

    async def _soon(self, reading: Awaitable[T]) -> T:
        """Raises `RequestTimeout`; `BadRequest` where the connection is lost."""
        left = self._end - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self._limits.silence, left)):
                return await reading
        except TimeoutError as error:
            raise RequestTimeout("The body did not arrive in time. Send it again.") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise BadRequest("The body has no end. Send it again.") from error


async def _chunks(reader: BodyPartReader) -> AsyncGenerator[bytes, None]:
    """The bytes of a part in pieces that are worth a write."""
    gathered = bytearray()
    while not reader.at_eof():
        with _malformed():
            gathered += await reader.read_chunk(CHUNK)
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


@contextmanager
def _malformed() -> Iterator[None]:
    try:
        yield
    except MALFORMED as error:
        raise BadRequest(
            f"The form cannot be read ({_reason(error)}). Send multipart/form-data as RFC 7578 has it."
        ) from error


def _reason(error: Exception) -> str:
    """Of ours the words; the framework's quote what was sent, at length."""
    text = str(error)
    return text if len(text) < 40 and text.isprintable() else "it is malformed, or cut"


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(
        f"The form is larger than the limit of {limits.size} bytes (files.bucket_limit and some more)."
        " Send fewer files at once."
    )
