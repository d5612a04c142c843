"""What all providers share that are asked over HTTP: session, keys, deadlines, and words for what fails."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from fnmatch import fnmatchcase
from typing import Any

import aiohttp
import msgspec
from msgspec.structs import replace
from yarl import URL

from service.errors import (
    ModelNotFound,
    ProviderAuth,
    ProviderError,
    ProviderTimeout,
    ServiceError,
)
from service.events import Chosen, Event, Noted
from service.messages import Ask
from service.providers.answers import Answer, Client, SlowToConnect, Unreachable, kind_of, retry_after
from service.providers.arriving import arriving
from service.providers.direct import Direct
from service.providers.exchange import Framing, Reading
from service.providers.failures import UpstreamError, complaint, translated
from service.providers.forms import Form, Said
from service.providers.provider import Append, Model, Provider
from service.providers.proxies import Proxies
from service.providers.session import Session
from service.providers.sse import LIMIT, EventStream
from service.settings import ProviderRow, Secrets
from service.silence import Silence
from service.tasks import Tasks

ERROR_BYTES = 16_384
"""How much of an error page is read."""
ANSWER_BYTES = 64 * 1024 * 1024
"""The longest answer that is no stream: pictures come in base64, embeddings by the thousand."""

EVENTS = "text/event-stream"

MISSING = frozenset({404, 405, 501})
"""How upstreams say that they have no such path."""


class Deadlines(msgspec.Struct, frozen=True):
    """In seconds: to connect, to the first token, and between two pieces of an answer."""

    connect: float = 10
    first_token: float = 300
    idle: float = 300


class Upstream(Provider, ABC):
    """A provider elsewhere, as its row describes it; always streamed, for only a stream can be cancelled.

    `key` is ours: it goes to the row's own address only, and not where the client has brought one.
    """

    url: str
    path: str
    """Where questions go, under the address."""
    broken = "The connection to the provider broke. Try again."

    def __init__(
        self,
        row: ProviderRow,
        *,
        key: str | None = None,
        deadlines: Deadlines | None = None,
        connections: int = 1000,
        direct: bool = True,
    ) -> None:
        self.name, self.label, self.url = row.name, row.label or row.name, row.url.rstrip("/")
        self.default_model, self.local = row.default_model or None, row.local
        self._row, self._key = row, key
        self._deadlines = deadlines or Deadlines()
        self._silence = Silence(self._deadlines.idle)
        self._connections, self._direct = row.connections or connections, direct
        self._client: Client
        self._tasks: Tasks

    async def open(self, tasks: Tasks) -> None:
        self._client, self._tasks = self._opened(), tasks

    def _opened(self) -> Client:
        """How this upstream is reached."""
        proxies = Proxies() if self._row.proxy and not self.local else None
        named = URL(self.url).user is not None  # such a name and its password go out as a header
        if self._direct and not named and not (proxies and proxies.apply(self.url)):
            return Direct(self.url, self._connections, self._deadlines.connect)
        connector = aiohttp.TCPConnector(limit=self._connections)
        return Session(connector, self._deadlines.connect, proxies)

    async def close(self) -> None:
        await self._client.close()

    def obstacle(self) -> str | None:
        return self._keyless(Secrets())

    def reads(self, media_type: str) -> bool:
        return media_type in self._row.reads

    async def models(self) -> list[Model] | None:
        """Those that the row allows, else those that are listed, under our names."""
        if self._row.models:
            models = [Model(id) for id in self._row.models]
        elif (listed := await self._listed()) is None:
            return None
        else:
            models = self._renamed(listed)
        painters = self._row.image_models
        return [replace(model, image=True) if model.id in painters else model for model in models]

    async def check(self, ask: Ask) -> None:
        if ask.model and self._row.models and ask.model not in self._row.models:
            raise ModelNotFound(ask.model, self.name)

    async def pump(self, ask: Ask, append: Append) -> None:
        append([self.chosen(ask.model)])
        if reason := self._keyless(ask.keys):
            raise ProviderAuth(reason)
        if ask.web_search and not self._search(ask):
            append([_unsearched(self.label)])
        if ask.model in self._row.renamed:
            append = _without_names(append)
        base = self._base(ask)
        try:  # no `_translating`, for its frame would be kept as long as the stream
            async with (
                asyncio.timeout(self._deadlines.first_token) as deadline,
                await self._asked("POST", base, self.path, ask.keys, await self._body(ask)) as answer,
            ):
                reading = self._reading(ask)
                try:
                    await self._read(answer, reading, append, deadline)
                except BaseException:
                    if withheld := reading.left():
                        append(withheld)
                    raise
        except ServiceError as error:
            self._hide_keys(error, ask.keys)
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise self._in_words(error, base) from error

    async def post(self, path: str, body: Mapping[str, Any], keys: Secrets) -> dict[str, Any]:
        """What a path that does not stream answers to our name of a model. Raises `ServiceError`."""
        if reason := self._keyless(keys):
            raise ProviderAuth(reason)
        model = body.get("model")
        data = msgspec.json.encode({**body, "model": self._theirs(model)} if model else body)
        async with (
            self._translating(keys, self.url),
            asyncio.timeout(self._deadlines.first_token),
            self._request("POST", self.url, path, keys, data) as answer,
        ):
            said: dict[str, Any] = self._decoded(await answer.read(ANSWER_BYTES), dict[str, Any])
        return {**said, "model": model} if model in self._row.renamed else said

    async def upload(self, path: str, form: Form, keys: Secrets) -> Said:
        """What a path answers to a form with a file. Raises `ServiceError`."""
        if reason := self._keyless(keys):
            raise ProviderAuth(reason)
        kind, data = await form.encoded(self._theirs(form.model))
        headers = self._headers(self.url, keys) | {"content-type": kind}
        async with (
            self._translating(keys, self.url),
            asyncio.timeout(self._deadlines.first_token),
            await self._client.ask("POST", self.url + path, headers, data) as answer,
        ):
            if answer.status != 200:
                raise await self._refusal(answer)
            return Said(kind_of(answer), await answer.read(ANSWER_BYTES))

    async def uploaded(self, path: str, form: Form, keys: Secrets) -> AsyncGenerator[Said, None]:
        """The same where the answer may be a stream: each of its events; else all at once."""
        if reason := self._keyless(keys):
            raise ProviderAuth(reason)
        kind, data = await form.encoded(self._theirs(form.model))
        headers = self._headers(self.url, keys) | {"content-type": kind}
        async with self._translating(keys, self.url):
            asking = self._client.ask("POST", self.url + path, headers, data)
            async with await asyncio.wait_for(asking, self._deadlines.first_token) as answer:
                if answer.status != 200:
                    raise await self._refusal(answer)
                if (kind := kind_of(answer)) != EVENTS:
                    yield Said(kind, await answer.read(ANSWER_BYTES))
                    return
                events = EventStream()
                chunks = arriving(answer, self._tasks, self._deadlines.idle, ANSWER_BYTES)
                async with aclosing(chunks):
                    async for chunk in chunks:
                        for payload in events.feed(chunk):
                            yield Said(EVENTS, payload)

    @abstractmethod
    async def _body(self, ask: Ask) -> bytes:
        """The question as the upstream wants it."""

    @abstractmethod
    def _framing(self) -> Framing:
        """How the stream of an answer is cut."""

    @abstractmethod
    def _reading(self, ask: Ask) -> Reading:
        """How the answer is read."""

    @abstractmethod
    async def _listed(self) -> list[Model] | None:
        """The models under the upstream's names; None where it does not tell."""

    def _base(self, ask: Ask) -> str:
        """The address that is asked."""
        return self.url

    def _credentials(self, key: str) -> dict[str, str]:
        """The headers that carry a key, their names in lower case."""
        return {"authorization": f"Bearer {key}"}

    def _theirs(self, model: str | None) -> str | None:
        """The upstream's name of a model."""
        return self._row.renamed.get(model, model) if model else None

    def _search(self, ask: Ask) -> dict[str, Any]:
        """The fields that make the upstream search the web for this question; empty where nothing does."""
        if not ask.web_search:
            return {}
        model = self._theirs(ask.model) or ""
        able = any(fnmatchcase(model, pattern) for pattern in self._row.search_models or ("*",))
        return self._row.web_search if able else {}

    def _decoded(self, data: bytes, kind: Any) -> Any:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ProviderError(f"{self.label} sent something that makes no sense. Check its url.") from error

    async def _read(
        self, answer: Answer, reading: Reading, append: Append, deadline: asyncio.Timeout
    ) -> None:
        kind = kind_of(answer)
        if kind == "text/html":
            raise ProviderError(f"{self.label} answered with a web page, not with a stream. Check its url.")
        if kind == "application/json":  # it does not stream, whatever it was asked
            append(reading.events([await answer.read(LIMIT)]))
            append(reading.end())
            return
        framing, idle = self._framing(), _Idle(deadline)

        def take(data: bytes) -> bool:
            events, error = reading.events(framing.feed(data)), None
            if reading.done:
                events, error = _ended(reading, events)
            if events:
                append(events)
                self._silence.heard(idle)
                if deadline.when():  # that of the first token
                    deadline.reschedule(None)
            if error:
                raise error
            return reading.done

        try:
            await answer.pour(take)
        finally:
            self._silence.forget(idle)
        if not reading.done:
            append(reading.events(framing.end()))
            append(reading.end())

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        base: str,
        path: str,
        keys: Secrets,
        data: bytes | None = None,
        missing: bool = False,
    ) -> AsyncGenerator[Answer, None]:
        async with await self._asked(method, base, path, keys, data, missing) as answer:
            yield answer

    async def _asked(
        self,
        method: str,
        base: str,
        path: str,
        keys: Secrets,
        data: bytes | None = None,
        missing: bool = False,
    ) -> Answer:
        """The head of an answer of 200, or if `missing` may be of one that says that there is no such path.

        No redirect is followed, for it could lead a key elsewhere. Whoever reads a stream has it from here:
        in a context of its own, what was sent would be kept for as long as the stream lasts.
        """
        answer = await self._client.ask(method, base + path, self._headers(base, keys), data)
        if answer.status != 200 and not (missing and answer.status in MISSING):
            async with answer:
                raise await self._refusal(answer)
        return answer

    def _headers(self, base: str, keys: Secrets) -> dict[str, str]:
        """The client's key alone, or what is ours, which leaves for the row's own address only."""
        headers = {"content-type": "application/json"}
        if key := keys.get(self.name):
            return headers | self._credentials(key)
        if base != self.url:
            return headers
        own = {name.lower(): text for name, text in self._row.headers.items()}
        return headers | (self._credentials(self._key) if self._key else {}) | own

    def _keyless(self, keys: Secrets) -> str | None:
        if self._row.key and not self._key and not keys.get(self.name):
            return f"{self.label} needs a key: set the environment variable {self._row.key} and restart."
        return None

    def _renamed(self, listed: list[Model]) -> list[Model]:
        """Listed models under our names; what is renamed keeps no other."""
        theirs = {model.id: model for model in listed}
        renamed = self._row.renamed
        ours = [replace(theirs.get(name, Model(name)), id=id) for id, name in renamed.items()]
        taken = {*renamed, *renamed.values()}
        return [*ours, *(model for model in listed if model.id not in taken)]

    async def _refusal(self, answer: Answer) -> ServiceError:
        """What an answer other than 200 says; a body that makes no sense is told by its status."""
        if 300 <= answer.status < 400:
            return ProviderError(f"{self.label} redirects elsewhere, which is not followed. Check its url.")
        body = await answer.beginning(ERROR_BYTES)
        try:
            said = complaint(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            said = None
        error = translated(said or UpstreamError(answer.reason), self.label, answer.status)
        error.retry_after = retry_after(answer)
        return error

    @asynccontextmanager
    async def _translating(self, keys: Secrets, base: str) -> AsyncGenerator[None, None]:
        """What the network does wrong, in words for the user."""
        try:
            yield
        except ServiceError as error:
            self._hide_keys(error, keys)
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise self._in_words(error, base) from error

    def _hide_keys(self, error: ServiceError, keys: Secrets) -> None:
        """Some upstreams repeat what they were sent."""
        for key in filter(None, (self._key, keys.get(self.name))):
            error.message = error.message.replace(key, "…")

    def _in_words(self, error: aiohttp.ClientError | OSError, base: str) -> ServiceError:
        match error:
            case aiohttp.ConnectionTimeoutError() | SlowToConnect():
                return ProviderTimeout(f"{self.label} could not be reached in time.")
            case TimeoutError():
                return ProviderTimeout(f"{self.label} was silent for too long. Try again.")
            case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
                return ProviderError(
                    f"The proxy does not lead to {self.label}. Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
                )
            case aiohttp.ClientConnectorError() | Unreachable():
                return ProviderError(f"{self.label} cannot be reached at {base}. Is it running?")
            case _:
                return ProviderError(self.broken)


class _Idle:
    """An answer that may fall silent: then its deadline has come."""

    __slots__ = ("_deadline",)

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self._deadline = deadline

    def silent(self) -> None:
        self._deadline.reschedule(0)


def _ended(reading: Reading, events: list[Event]) -> tuple[list[Event], ServiceError | None]:
    """With what is left to say, which goes out with the rest; or what it failed with after all."""
    try:
        return events + reading.end(), None
    except ServiceError as error:
        return events, error


def _unsearched(label: str) -> Noted:
    return Noted(f"{label} does not search the web: it answers without.", "WebSearchUnavailable")


def _without_names(append: Append) -> Append:
    """Keeps to itself what the upstream calls a model that has a name of ours."""
    return lambda batch: append([event for event in batch if type(event) is not Chosen])
