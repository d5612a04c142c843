"""Answers over HTTP, however they are fetched: what they are, and when they say to come back."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Protocol, TypeAlias

Take: TypeAlias = Callable[[bytes], bool]
"""Is given what arrives, and says whether that is enough."""


class Answer(Protocol):
    """One answer whose head has arrived; leaving its context ends it, wherever it stands."""

    @property
    def status(self) -> int: ...

    @property
    def reason(self) -> str:
        """The status in words."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in any case."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body; raises `StreamTooLong` where it has more bytes than that."""
        ...

    async def beginning(self, size: int) -> bytes:
        """No more than so many bytes of the body."""
        ...

    async def pour(self, take: Take) -> None:
        """Gives `take` what arrives, in the order in which it does, until that is enough or all."""
        ...

    async def __aenter__(self) -> "Answer": ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Client(Protocol):
    """Who asks over HTTP; follows no redirect and keeps no cookie.

    Raises `OSError` or `aiohttp.ClientError` where no answer comes.
    """

    async def ask(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> Answer:
        """Returns when the head of the answer has arrived."""
        ...

    async def close(self) -> None: ...


class Headers(dict[str, str]):
    """Kept in lower case, found by their names in any case."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(name.lower(), default)


class Unreachable(OSError):
    """Nobody could be connected with."""


class SlowToConnect(TimeoutError):
    """Nobody could be connected with in time."""


def kind_of(answer: Answer) -> str:
    """The media type, in lower case and without its parameters; "" where none is said."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def retry_after(answer: Answer) -> float | None:
    """In how many seconds to come back; it is said so, or as a time of day (RFC 9110, section 10.2.3)."""
    said = answer.headers.get("Retry-After", "")
    with suppress(ValueError):
        return max(0.0, float(said))
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
