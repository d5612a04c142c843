"""`Embedded`: the model that needs no key and no network, asked over the engine's private socket."""

import asyncio
from typing import TypeVar

import aiohttp
import msgspec
from msgspec.structs import asdict, replace

from service.errors import ContextTooLong
from service.messages import Ask, Generation, Message, texts
from service.providers.compatible import Compatible, Deadlines
from service.providers.engine import Engine
from service.providers.provider import Model
from service.tasks import Tasks

ROOT = "http://embedded"
"""A name for requests that go through the socket; nobody looks it up."""

SYSTEM = Message("system", "You are a helpful assistant.")
DEFAULTS = Generation(temperature=0.0, max_tokens=768)
SAFE_BYTES = 4096
"""Prompts below this are not counted beforehand: no token is shorter than a byte, no context that small."""

T = TypeVar("T")


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Meta(msgspec.Struct):
    n_ctx: int


class _Loaded(msgspec.Struct):
    meta: _Meta


class _Models(msgspec.Struct):
    data: list[_Loaded]


class Embedded(Compatible):
    """The engine's model; `bundled` says that it is the small one that comes with the installation."""

    broken = "The embedded model broke off. If it has stopped, it is being started again: ask once more."

    def __init__(self, engine: Engine, *, bundled: bool, deadlines: Deadlines) -> None:
        super().__init__(
            "Embedded",
            f"Embedded ({engine.name})",
            f"{ROOT}/v1",
            key=engine.key,
            local=True,
            default_model=engine.name,
            deadlines=deadlines,
        )
        self.engine, self._bundled = engine, bundled

    async def open(self, tasks: Tasks) -> None:
        await super().open(tasks)
        self._running = tasks.start(self.engine.run(), "embedded engine")

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        await super().close()

    def _connector(self) -> aiohttp.BaseConnector:
        # The engine promises keep-alive and closes: every second request on a used connection would fail.
        return aiohttp.UnixConnector(str(self.engine.socket), force_close=True, limit=self._connections)

    def obstacle(self) -> str | None:
        return self.engine.reason if self.engine.state == "failed" else None

    async def models(self) -> list[Model]:
        if self.engine.state != "ready":
            return [Model(self.engine.name)]
        return [Model(self.engine.name, await self._context_length())]

    async def check(self, ask: Ask) -> None:
        """Counts the tokens of a long prompt, so that one that is too long is refused before the stream."""
        size = sum(len(text.encode()) for message in ask.messages for text in texts(message))
        if size >= SAFE_BYTES and self.engine.state == "ready":
            limit = await self._context_length()
            if (prompt_tokens := await self._count(ask)) >= limit:
                raise ContextTooLong(prompt_tokens, limit)

    async def _context_length(self) -> int:
        return (await self._ask("GET", "/v1/models", None, _Models)).data[0].meta.n_ctx

    async def _count(self, ask: Ask) -> int:
        messages = {"messages": (await self._prepared(ask)).messages}
        prompt = (await self._ask("POST", "/apply-template", messages, _Prompt)).prompt
        text = {"content": prompt, "add_special": True, "parse_special": True}
        return len((await self._ask("POST", "/tokenize", text, _Tokens)).tokens)

    async def _ask(self, method: str, path: str, body: object, kind: type[T]) -> T:
        data = msgspec.json.encode(body)
        async with self._translating(), self._http.request(method, ROOT + path, data=data) as answer:
            if answer.status != 200:
                raise await self._refusal(answer)
            return msgspec.json.decode(await answer.read(), type=kind)

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
