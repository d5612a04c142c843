"""Answers through aiohttp's client, which knows proxies, and sockets of a certain kind."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

import aiohttp

from service.providers.answers import Answer, Take
from service.providers.proxies import Proxies
from service.providers.sse import StreamTooLong

LAST_WORDS = 0.1
"""How many seconds a finished stream gets to end, so that its connection can serve again."""


class Session:
    """A `Client`; `connect_timeout` in seconds."""

    def __init__(
        self, connector: aiohttp.BaseConnector, connect_timeout: float, proxies: Proxies | None = None
    ) -> None:
        self._proxies = proxies
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
        )

    async def ask(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> Answer:
        proxy = self._proxies.of(url) if self._proxies else None
        return Fetched(
            await self._http.request(
                method, url, data=data, headers=headers, proxy=proxy, allow_redirects=False
            )
        )

    async def close(self) -> None:
        await self._http.close()


class Fetched:
    """An `Answer` of aiohttp's."""

    __slots__ = ("_response", "headers", "reason", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status, self.reason, self.headers = response.status, response.reason or "", response.headers

    async def read(self, limit: int) -> bytes:
        body = bytearray()
        async for data in self._response.content.iter_any():
            body += data
            if len(body) > limit:
                raise StreamTooLong(limit)
        return bytes(body)

    async def beginning(self, size: int) -> bytes:
        return await self._response.content.read(size)

    async def pour(self, take: Take) -> None:
        while data := await self._response.content.readany():
            if take(data):
                await self._let_go()
                return

    async def _let_go(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self._response.content.readany()

    async def __aenter__(self) -> "Fetched":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.release()
        await self._response.wait_for_close()
