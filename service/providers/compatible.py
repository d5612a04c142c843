"""Any OpenAI-compatible upstream: always streamed, because only a stream can be cancelled.

Source: OpenAI's API reference, "Create chat completion".
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec

from service.errors import ProviderAuth, ProviderError, ProviderTimeout, RateLimited, ServiceError
from service.messages import Ask, Generation, Message
from service.providers.chunks import Chunks, UpstreamError, translated
from service.providers.provider import Append, Model, Provider
from service.providers.sse import LIMIT, EventStream, StreamTooLong
from service.tasks import Tasks

ERROR_BYTES = 16_384
"""How much of an error page is read."""


class Deadlines(msgspec.Struct, frozen=True):
    """In seconds: to connect, to the first token, and between two pieces of an answer."""

    connect: float = 10
    first_token: float = 300
    idle: float = 300


class _Options(msgspec.Struct, frozen=True):
    include_usage: bool


class _Completion(Generation, frozen=True, kw_only=True):
    """The body of a request; what has no field here is not sent."""

    model: str | None
    messages: list[Message]
    stream: bool
    stream_options: _Options


class _Listed(msgspec.Struct):
    id: str
    context_length: int | None = None


class _Listing(msgspec.Struct):
    data: list[_Listed]


class _Refusal(msgspec.Struct):
    error: UpstreamError | str = ""
    message: str = ""


class Compatible(Provider):
    """One upstream, at the base `url` under which `/models` and `/chat/completions` lie."""

    broken = "The connection to the provider broke. Try again."

    def __init__(
        self,
        name: str,
        label: str,
        url: str,
        *,
        key: str | None = None,
        key_name: str = "",
        local: bool = False,
        headers: Mapping[str, str] | None = None,
        known: list[str] | None = None,
        default_model: str | None = None,
        deadlines: Deadlines | None = None,
        connections: int = 1000,
    ) -> None:
        self.name, self.label, self.url = name, label, url.rstrip("/")
        self.default_model, self.local = default_model, local
        self._key, self._key_name = key, key_name
        self._headers = dict(headers or {})
        self._known = known
        self._deadlines = deadlines or Deadlines()
        self._connections = connections
        self._http: aiohttp.ClientSession

    async def open(self, tasks: Tasks) -> None:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._http = aiohttp.ClientSession(
            connector=self._connector(),
            headers=headers | self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._deadlines.connect),
        )

    def _connector(self) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(limit=self._connections)

    async def close(self) -> None:
        await self._http.close()

    def obstacle(self) -> str | None:
        return self._keyless()

    def _keyless(self) -> str | None:
        if self._key_name and not self._key:
            return f"{self.label} needs a key: set the environment variable {self._key_name} and restart."
        return None

    async def models(self) -> list[Model] | None:
        if self._known:
            return [Model(id) for id in self._known]
        async with self._translating(), self._http.get(f"{self.url}/models", allow_redirects=False) as answer:
            if answer.status in {404, 405, 501} and not self.local:  # on a local port anything may listen
                return None
            if answer.status != 200:
                raise await self._refusal(answer)
            try:
                listing = msgspec.json.decode(await _body(answer), type=_Listing)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ProviderError(f"{self.label} sent no list of models. Check its url.") from error
            return [Model(listed.id, listed.context_length) for listed in listing.data]

    async def pump(self, ask: Ask, append: Append) -> None:
        append([self.chosen(ask.model)])
        if reason := self._keyless():
            raise ProviderAuth(reason)
        async with (
            self._translating(),
            asyncio.timeout(self._deadlines.first_token) as deadline,
            self._answer(await self._prepared(ask)) as answer,
        ):
            if answer.content_type == "text/html":
                raise ProviderError(
                    f"{self.label} answered with a web page, not with a stream. Check its url."
                )
            chunks = Chunks(self.label, ask.model, self.chosen, self.broken)
            if answer.content_type == "application/json":  # it does not stream, whatever it was asked
                append(chunks.events([await _body(answer)]))
            else:
                await self._follow(answer, chunks, append, deadline)
            append(chunks.end())

    async def _prepared(self, ask: Ask) -> Ask:
        """The ask as this upstream needs it."""
        return ask

    async def _follow(
        self, answer: aiohttp.ClientResponse, chunks: Chunks, append: Append, deadline: asyncio.Timeout
    ) -> None:
        frames = EventStream()
        time, idle, due = asyncio.get_running_loop().time, self._deadlines.idle, 0.0
        async for data in answer.content.iter_any():
            if events := chunks.events(frames.feed(data)):
                append(events)
                now = time()
                if now > due:  # to move a timer costs as much as a token, so it is done now and then
                    deadline.reschedule(now + idle)
                    due = now + idle / 20
            if chunks.done:
                await _let_go(answer)
                return
        if events := chunks.events(frames.end()):
            append(events)

    @asynccontextmanager
    async def _answer(self, ask: Ask) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        async with self._http.post(
            f"{self.url}/chat/completions",
            data=_completion(ask),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
            allow_redirects=False,  # a key goes to the host that it was given for, and to no other
        ) as answer:
            if answer.status != 200:
                raise await self._refusal(answer)
            yield answer

    async def _refusal(self, answer: aiohttp.ClientResponse) -> ServiceError:
        """What an answer other than 200 says; a body that makes no sense is told by its status."""
        if 300 <= answer.status < 400:
            return ProviderError(f"{self.label} redirects elsewhere, which is not followed. Check its url.")
        body = await answer.content.read(ERROR_BYTES)
        try:
            refusal = msgspec.json.decode(body, type=_Refusal)
            said = refusal.error or UpstreamError(refusal.message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = UpstreamError(answer.reason or "")
        error = translated(said, self.label, answer.status)
        if isinstance(error, RateLimited):
            error.retry_after = _seconds(answer.headers.get("Retry-After"))
        return error

    @asynccontextmanager
    async def _translating(self) -> AsyncGenerator[None, None]:
        """What the network does wrong, in words for the user."""
        try:
            yield
        except ServiceError as error:
            if self._key:  # some upstreams repeat what they were sent
                error.message = error.message.replace(self._key, "…")
            raise
        except aiohttp.ConnectionTimeoutError as error:
            raise ProviderTimeout(f"{self.label} could not be reached in time.") from error
        except TimeoutError as error:
            raise ProviderTimeout(f"{self.label} was silent for too long. Try again.") from error
        except aiohttp.ClientConnectorError as error:
            raise ProviderError(f"{self.label} cannot be reached at {self.url}. Is it running?") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError(self.broken) from error


def _completion(ask: Ask) -> bytes:
    generation = msgspec.structs.asdict(ask.generation)
    return msgspec.json.encode(
        _Completion(
            model=ask.model,
            messages=ask.messages,
            stream=True,
            stream_options=_Options(include_usage=True),
            **generation,
        )
    )


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, as long as it is no longer than an event may be."""
    body = bytearray()
    async for data in answer.content.iter_any():
        body += data
        if len(body) > LIMIT:
            raise StreamTooLong(LIMIT)
    return bytes(body)


async def _let_go(answer: aiohttp.ClientResponse) -> None:
    """Waits a moment for the end of a finished stream, so that its connection can serve again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            async for _ in answer.content.iter_any():
                break


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.replace(".", "", 1).isdigit() else None
