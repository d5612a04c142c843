"""Anthropic by its own interface: thoughts with their seals, a cache for prompts, documents.

Source: Anthropic's API reference, "Create a Message", "List Models".
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import BadRequest
from service.messages import Ask
from service.providers.anthropic_request import Able, body
from service.providers.anthropic_stream import Answer
from service.providers.exchange import joined
from service.providers.parts import kinds
from service.providers.provider import Model
from service.providers.sse import LIMIT, EventStream
from service.providers.upstream import Upstream
from service.settings import Secrets

VERSION = "2023-06-01"
PAGES = 20
"""How many pages of a list of models are read, of a thousand each."""


class _Listed(Struct):
    id: str
    max_input_tokens: int | None = None
    capabilities: dict[str, Any] | None = None

    def model(self) -> Model:
        return Model(self.id, self.max_input_tokens, vision=self._can("image_input") is True)

    def able(self) -> Able:
        adaptive = self._can("thinking", "types", "adaptive") is True
        return Able(adaptive, schemas=self._can("structured_outputs") is not False)

    def _can(self, *names: str) -> bool | None:
        """Whether a capability is supported; None where that is not told."""
        told: Any = self.capabilities
        for name in (*names, "supported"):
            told = told.get(name) if isinstance(told, dict) else None
        return told if isinstance(told, bool) else None


class _Page(Struct):
    data: list[_Listed]
    has_more: bool = False
    last_id: str | None = None


READ = frozenset({"application/pdf", "text/plain"})
"""Files that Anthropic's models read. Source: its guide, "PDF support", and `document` blocks."""


class Anthropic(Upstream):
    """Whoever speaks as Anthropic does, at the `url` under which `/messages` lies."""

    path = "/messages"
    _able: Mapping[str, Able] = {}
    """By the upstream's names of the models."""

    def reads(self, media_type: str) -> bool:
        return media_type in READ or super().reads(media_type)

    async def check(self, ask: Ask) -> None:
        await super().check(ask)
        for kind, part in kinds(ask.messages):
            if kind == "input_audio":
                raise BadRequest(
                    f"{self.label} does not listen: send text, pictures or documents.", "messages"
                )
            if kind == "file" and not (part.get("file") or {}).get("file_data"):
                raise BadRequest(
                    f"{self.label} has no files of that id: send the file itself, as a data URI.", "messages"
                )

    async def _body(self, ask: Ask) -> bytes:
        model = self._theirs(ask.model)
        fields = body(ask, model, self._able.get(model or "", Able()), self._row.options)
        return msgspec.json.encode(joined(fields, self._search(ask)))

    def _framing(self) -> EventStream:
        return EventStream()

    def _reading(self, ask: Ask) -> Answer:
        return Answer(self.label, self._theirs(ask.model), self.chosen, self.broken)

    def _credentials(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    def _headers(self, base: str, keys: Secrets) -> dict[str, str]:
        return {"anthropic-version": VERSION, **super()._headers(base, keys)}

    async def _listed(self) -> list[Model] | None:
        """Also notes what each of them can do."""
        listed: list[_Listed] = []
        after = ""
        for _ in range(PAGES):
            page = await self._page(after)
            listed += page.data
            if not page.has_more or not page.last_id:
                break
            after = f"&after_id={page.last_id}"
        self._able = {model.id: model.able() for model in listed}
        return [model.model() for model in listed]

    async def _page(self, after: str) -> _Page:
        none = Secrets()
        async with (
            self._translating(none, self.url),
            self._request("GET", self.url, f"/models?limit=1000{after}", none) as answer,
        ):
            page: _Page = self._decoded(await answer.read(LIMIT), _Page)
        return page
