"""Any OpenAI-compatible upstream.

Source: OpenAI's API reference, "Create chat completion", "List models", "Create embeddings", "Create image",
"Create moderation", "Create transcription", "Create translation".
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from service.errors import ProviderAuth
from service.messages import Ask, Message, Part
from service.providers.chunks import Chunks
from service.providers.exchange import accepted, asked, joined
from service.providers.forms import Form, Said
from service.providers.listings import Listed, Listing, models_of
from service.providers.pictures import drawn, painted, wish
from service.providers.provider import Append, Model
from service.providers.quotas import QUOTAS, Quota
from service.providers.sse import LIMIT, EventStream
from service.providers.upstream import Upstream
from service.settings import Secrets

THOUGHTS = frozenset({"thinking", "redacted_thinking"})
"""Parts of messages that nobody can read but the provider that said them."""


class ChatCompletions(Upstream):
    """Whoever answers POST /chat/completions."""

    path = "/chat/completions"

    async def _body(self, ask: Ask) -> bytes:
        ask = await self._prepared(ask)
        return msgspec.json.encode(
            {
                "model": self._theirs(ask.model),
                "messages": list(_readable(ask.messages)),
                **joined(self._fields(ask), self._search(ask)),
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )

    async def _prepared(self, ask: Ask) -> Ask:
        """The ask as this upstream needs it."""
        return ask

    def _fields(self, ask: Ask) -> dict[str, Any]:
        """How to answer; markers for a cache that only Anthropic has are taken out of the tools."""
        fields = accepted(asked(ask.generation, self._row.options), self._row.refuses)
        return fields | {"tools": list(map(_unmarked, fields["tools"]))} if "tools" in fields else fields

    def _search(self, ask: Ask) -> dict[str, Any]:
        """As the row says, else as the client does."""
        own = ask.generation.web_search_options
        return super()._search(ask) or ({} if own is None else {"web_search_options": own})

    def _framing(self) -> EventStream:
        return EventStream()

    def _reading(self, ask: Ask) -> Chunks:
        how = ask.generation
        model = self._theirs(ask.model)
        tools = None if how.tool_choice == "none" else how.tools
        return Chunks(self.label, model, self.chosen, self.broken, tools=tools, n=how.n or 1)


class Compatible(ChatCompletions):
    """An upstream that may do all that OpenAI does; what it has no path for fails with its 404."""

    _painters: frozenset[str] = frozenset()
    """Upstream's names of the models that are asked for pictures at a path of their own."""
    _drawers: Mapping[str, list[str]] = {}
    """Of those that draw them in a chat, with the modalities that they answer in."""

    async def check(self, ask: Ask) -> None:
        await super().check(ask)
        if self._paints(ask.model):
            wish(ask, self._row.image_sizes)

    def pump(self, ask: Ask, append: Append) -> Coroutine[Any, Any, None]:
        if self._paints(ask.model):
            return self._paint(ask, append)
        return super().pump(ask, _drawing(append, ask) if self._draws(ask.model) else append)

    async def _paint(self, ask: Ask, append: Append) -> None:
        append([self.chosen(ask.model)])
        body = wish(ask, self._row.image_sizes)
        append(painted(await self.paint(body, ask.keys), ask, body))

    async def embed(self, body: Mapping[str, Any], keys: Secrets) -> dict[str, Any]:
        """OpenAI's embeddings: the request's fields, and what they were answered with."""
        return await self.post("/embeddings", body, keys)

    async def paint(self, body: Mapping[str, Any], keys: Secrets) -> dict[str, Any]:
        """OpenAI's images/generations."""
        return await self.post("/images/generations", body, keys)

    async def moderate(self, body: Mapping[str, Any], keys: Secrets) -> dict[str, Any]:
        """OpenAI's moderations."""
        return await self.post("/moderations", body, keys)

    async def transcribe(self, form: Form, keys: Secrets) -> Said:
        """OpenAI's audio/transcriptions: what is said in a recording."""
        return await self.upload("/audio/transcriptions", form, keys)

    def dictated(self, form: Form, keys: Secrets) -> AsyncGenerator[Said, None]:
        """The same as it is understood: the events of a stream, or all at once from who knows no streams."""
        return self.uploaded("/audio/transcriptions", form, keys)

    async def translate(self, form: Form, keys: Secrets) -> Said:
        """OpenAI's audio/translations: the same, in English."""
        return await self.upload("/audio/translations", form, keys)

    async def quota(self, keys: Secrets) -> Quota | None:
        told = QUOTAS.get(self._row.quota)
        if told and (reason := self._keyless(keys)):
            raise ProviderAuth(reason)
        return await told(partial(self._looked_up, keys)) if told else None

    async def _looked_up(self, keys: Secrets, path: str, kind: type[Any]) -> Any:
        async with (
            self._translating(keys, self.url),
            asyncio.timeout(self._deadlines.connect),
            self._request("GET", self.url, path, keys) as answer,
        ):
            return self._decoded(await answer.read(LIMIT), kind)

    def _paints(self, model: str | None) -> bool:
        return model in self._row.image_models or self._theirs(model) in self._painters

    def _draws(self, model: str | None) -> bool:
        return self._theirs(model) in self._drawers

    def _fields(self, ask: Ask) -> dict[str, Any]:
        fields = super()._fields(ask)
        if modalities := self._drawers.get(self._theirs(ask.model) or ""):
            shape = {"image_config": {"aspect_ratio": ask.aspect_ratio}} if ask.aspect_ratio else {}
            fields = {"modalities": modalities, **shape, **fields}
        return fields

    async def _listed(self) -> list[Model] | None:
        """Also notes how each model that makes pictures is asked for them."""
        listed = await self._listed_at(self.url, Secrets())
        if listed is None:
            return None
        self._painters = frozenset(model.id for model in listed if model.painted)
        self._drawers = {model.id: model.drawn_in_chat for model in listed if model.drawn_in_chat}
        return [model.model() for model in listed]

    async def _listed_at(self, base: str, keys: Secrets) -> list[Listed] | None:
        """What an address lists; None where it lists nothing."""
        async with (
            self._translating(keys, base),
            self._request("GET", base, "/models", keys, missing=not self.local) as answer,
        ):  # on a local port anything may listen, and not to list is a sign of it
            if answer.status != 200:
                return None
            return models_of(self._decoded(await answer.read(LIMIT), Listing))


def _readable(messages: list[Message]) -> Iterator[Message]:
    """The messages without what only Anthropic writes: sealed thoughts, and markers for its cache."""
    for message in messages:
        if isinstance(message.content, list):
            parts = [_unmarked(part) for part in message.content if part.get("type") not in THOUGHTS]
            if not (parts or message.tool_calls or message.role == "tool"):
                continue
            message = replace(message, content=parts or ("" if message.role == "tool" else None))
        yield message


def _unmarked(part: Part) -> Part:
    return {name: value for name, value in part.items() if name != "cache_control"}


def _drawing(append: Append, ask: Ask) -> Append:
    """Shows the pictures that come in a chat."""
    return lambda batch: append([shown for event in batch for shown in drawn(event, ask)])
