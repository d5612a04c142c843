"""What lies at an address that a provider or a client names: fetched as anybody may, with no key of ours."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime

import aiohttp
from msgspec import Struct
from yarl import URL

from service.errors import ProviderError
from service.providers.addresses import is_named, public_socket

REDIRECTS = 5
MOVED = frozenset({301, 302, 303, 307, 308})
SPELT_OUT = re.compile(r"[\x21-\x7e]+")
CHUNK = 256 * 1024
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "Causerie"}


class Fetched(Struct, frozen=True):
    """What is there; `modified` is in UTC seconds since 1970, None where nobody says.

    It is `public` if every address on the way to it was.
    """

    media_type: str
    modified: float | None
    public: bool
    chunks: AsyncGenerator[bytes, None]
    """Can be read once; raises `ProviderError`."""


class Fetcher:
    """Connects to public addresses only, but for the `hosts` that the operator has named.

    Never through a proxy, which would look names up by itself.
    """

    def __init__(self, hosts: tuple[str, ...], connect_timeout: float) -> None:
        self._hosts, self._connect_timeout = hosts, connect_timeout
        self._public: aiohttp.ClientSession | None = None
        self._named: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def fetch(self, address: str, own: str | None = None) -> AsyncGenerator[Fetched, None]:
        """What lies at an address; the host of `own`, the provider's address, may be private.

        Each redirect is looked at like the address itself. Raises `ProviderError`. How long it may take is
        the caller's affair.
        """
        with _translating():
            hosts = (*self._hosts, *_host(own))
            url, public = _checked(parsed(address)), True
        for _ in range(REDIRECTS + 1):
            named = is_named(url, hosts)
            public = public and not named
            with _translating():
                answer = await self._session(named=named).get(url, allow_redirects=False, headers=HEADERS)
            async with answer:
                if answer.status not in MOVED:
                    yield _found(answer, public)
                    return
                with _translating():
                    url = _checked(url.join(parsed(answer.headers.get("Location", ""))))
        raise ProviderError("It is sent on too often.")

    async def close(self) -> None:
        for session in (self._public, self._named):
            if session:
                await session.close()

    def _session(self, *, named: bool) -> aiohttp.ClientSession:
        """Made when it is first needed."""
        if named:
            self._named = self._named or self._opened(aiohttp.TCPConnector())
            return self._named
        self._public = self._public or self._opened(aiohttp.TCPConnector(socket_factory=public_socket))
        return self._public

    def _opened(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
        )


def _host(own: str | None) -> tuple[str, ...]:
    """The host of a provider's address, with its port: on other ports others listen."""
    if own is None:
        return ()
    url = URL(own)
    return (f"{url.host_subcomponent}:{url.port}",)


def parsed(address: str) -> URL:
    """As it is: some are signed, and hold for no other spelling."""
    return URL(address, encoded=SPELT_OUT.fullmatch(address) is not None)


def _checked(url: URL) -> URL:
    """Raises `ValueError`."""
    if url.scheme not in {"http", "https"} or not url.host or url.user or url.password:
        raise ValueError("no address to be fetched from")
    return url.with_fragment(None)


def _found(answer: aiohttp.ClientResponse, public: bool) -> Fetched:
    if answer.status != 200:
        raise ProviderError(f"It is answered with status {answer.status}.")
    return Fetched(answer.content_type, _modified(answer), public, _chunks(answer))


def _modified(answer: aiohttp.ClientResponse) -> float | None:
    """RFC 9110, section 5.6.7."""
    said = answer.headers.get("Last-Modified") or answer.headers.get("Date") or ""
    try:
        return parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    while True:
        with _translating():
            chunk = await answer.content.read(CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _translating() -> Iterator[None]:
    """The address is not told: it may be a secret by itself."""
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ProviderError(f"It cannot be fetched ({type(error).__name__}).") from error
