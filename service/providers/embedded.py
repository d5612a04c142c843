"""`Embedded`: the model that needs no key and no network, asked over the engine's private socket."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec
from msgspec.structs import asdict, replace

from service.errors import BadRequest, ContextTooLong
from service.messages import Ask, Generation, Message, texts
from service.providers.answers import Client
from service.providers.compatible import ChatCompletions
from service.providers.engine import Engine
from service.providers.engine_child import EMBEDDED_TOKENS
from service.providers.provider import Model
from service.providers.session import Session
from service.providers.sse import LIMIT
from service.providers.upstream import Deadlines
from service.settings import ProviderRow, Secrets
from service.tasks import Tasks

ROOT = "http://embedded"
"""A name for requests that go through the socket; nobody looks it up."""

SYSTEM = Message("system", "You are a helpful assistant.")
DEFAULTS = Generation(temperature=0.0, max_tokens=768)
SAFE_BYTES = 4096
"""Prompts below this are not counted beforehand: no token is shorter than a byte, no context that small."""

AT_MOST = 2048
"""Texts in one request for embeddings, as OpenAI has it."""

T = TypeVar("T")


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Meta(msgspec.Struct):
    n_ctx: int
    n_embd: int


class _Loaded(msgspec.Struct):
    meta: _Meta


class _Models(msgspec.Struct):
    data: list[_Loaded]


class _Vector(msgspec.Struct):
    """Numbers, or their base64 as little-endian float32."""

    embedding: list[float] | str


class _Counted(msgspec.Struct):
    prompt_tokens: int


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: _Counted


class Embedded(ChatCompletions):
    """The engine's model; `bundled` says that it is the small one that comes with the installation."""

    path = "/v1/chat/completions"
    broken = "The embedded model broke off. If it has stopped, it is being started again: ask once more."

    def __init__(self, engine: Engine, *, bundled: bool, deadlines: Deadlines) -> None:
        label = f"Embedded ({engine.name})"
        row = ProviderRow("Embedded", ROOT, label, local=True, default_model=engine.name)
        super().__init__(row, key=engine.key, deadlines=deadlines)
        self.engine, self._bundled = engine, bundled
        self._embedding = asyncio.Lock()

    async def open(self, tasks: Tasks) -> None:
        await super().open(tasks)
        self._running = tasks.start(self.engine.run(), "embedded engine")

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        await super().close()

    def _opened(self) -> Client:
        # The engine promises keep-alive and closes: every second request on a used connection would fail.
        socket, most = str(self.engine.socket), self._connections
        connector = aiohttp.UnixConnector(socket, force_close=True, limit=most)
        return Session(connector, self._deadlines.connect)

    def obstacle(self) -> str | None:
        return self.engine.reason if self.engine.state == "failed" else None

    async def _listed(self) -> list[Model]:
        if self.engine.state != "ready":
            return [Model(self.engine.name)]
        return [Model(self.engine.name, (await self._meta()).n_ctx)]

    async def check(self, ask: Ask) -> None:
        """Counts the tokens of a long prompt, so that one that is too long is refused before the stream."""
        size = sum(len(text.encode()) for message in ask.messages for text in texts(message))
        if size >= SAFE_BYTES and self.engine.state == "ready":
            limit = (await self._meta()).n_ctx
            if (prompt_tokens := await self._count(ask)) >= limit:
                raise ContextTooLong(prompt_tokens, limit)

    async def embed(self, body: Mapping[str, Any], keys: Secrets) -> dict[str, Any]:
        """OpenAI's embeddings: of each text the mean of what the model makes of its tokens, at length 1.

        It is a chat model that nobody has taught to compare texts. The bundled one finds the answers to 12 of
        20 questions among these 20 (counting common words finds 4): enough to try a search, not to rely on
        one. Raises `BadRequest`.
        """
        given = _given(body.get("input"))
        if (encoding := body.get("encoding_format") or "float") not in {"float", "base64"}:
            raise BadRequest('encoding_format is "float" or "base64".', "encoding_format")
        await self.engine.ready()
        await self._check_embedding(given, body.get("dimensions"))
        answers = [await self._embedded(text, encoding) for text in given]
        count = sum(answer.usage.prompt_tokens for answer in answers)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": answer.data[0].embedding}
                for index, answer in enumerate(answers)
            ],
            "model": self.engine.name,
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }

    async def _check_embedding(self, given: Sequence[str], dimensions: object) -> None:
        """Refuses what cannot be embedded before anything is computed; no token is shorter than a byte."""
        meta = await self._meta()
        if dimensions not in (None, meta.n_embd):
            raise BadRequest(
                f"The embeddings of {self.engine.name} have {meta.n_embd} dimensions. Leave dimensions out.",
                "dimensions",
            )
        limit = min(EMBEDDED_TOKENS, meta.n_ctx)
        for text in given:
            if len(text.encode()) >= limit and (tokens := await self._tokens(text)) > limit:
                error = ContextTooLong(tokens, limit)
                error.param = "input"
                raise error

    async def _embedded(self, text: str, encoding: str) -> _Embeddings:
        """One at a time, for between two texts an answer can begin: several would keep it out for good."""
        body = {"input": text, "encoding_format": encoding}
        async with (
            self._embedding,
            self._translating(Secrets(), ROOT),
            asyncio.timeout(self._deadlines.first_token),
        ):
            return await self._ask("POST", "/v1/embeddings", body, _Embeddings)

    async def _meta(self) -> _Meta:
        return (await self._ask("GET", "/v1/models", None, _Models)).data[0].meta

    async def _count(self, ask: Ask) -> int:
        messages = {"messages": (await self._prepared(ask)).messages}
        return await self._tokens((await self._ask("POST", "/apply-template", messages, _Prompt)).prompt)

    async def _tokens(self, text: str) -> int:
        body = {"content": text, "add_special": True, "parse_special": True}
        return len((await self._ask("POST", "/tokenize", body, _Tokens)).tokens)

    async def _ask(self, method: str, path: str, body: object, kind: type[T]) -> T:
        none, data = Secrets(), msgspec.json.encode(body)
        async with self._translating(none, ROOT), self._request(method, ROOT, path, none, data) as answer:
            return msgspec.json.decode(await answer.read(LIMIT), type=kind)

    async def _prepared(self, ask: Ask) -> Ask:
        """Waits for the engine; gives the bundled model what it needs, where the client is silent.

        At other temperatures, and without a system message, it does not know the capital of France (16 of 16
        against none); without a limit it may go on until its context is full.
        """
        await self.engine.ready()
        if not self._bundled:
            return ask
        asked = {name: value for name, value in asdict(ask.generation).items() if value is not None}
        if ask.generation.max_completion_tokens is not None:
            asked.setdefault("max_tokens", ask.generation.max_completion_tokens)
        messages = ask.messages
        if not any(message.role in {"system", "developer"} for message in messages):
            messages = [SYSTEM, *messages]
        return replace(ask, generation=replace(DEFAULTS, **asked), messages=messages)


def _given(texts: object) -> Sequence[str]:
    """The texts of a request for embeddings. Raises `BadRequest`."""
    given = [texts] if isinstance(texts, str) else texts
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise BadRequest("Send input as a text or a list of texts; tokens are not read.", "input")
    if not all(given) or not 0 < len(given) <= AT_MOST:
        raise BadRequest(f"input has 1 to {AT_MOST} texts, of which none is empty.", "input")
    return given
