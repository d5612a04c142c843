"""What providers do beside chatting, passed on to one that can: embeddings, pictures, moderation.

Source: OpenAI's API reference, "Create embeddings", "Create image", "Create moderation".
"""

from typing import Any

import msgspec
from msgspec import Struct

from service.context import Context
from service.errors import ServiceError
from service.handlers.skills import Skills
from service.routes import route, user
from service.settings import Secrets
from service.stores.ledger import Record
from service.turns.limits import Question


class Passed(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is passed on is what has a field; `provider` says who is asked, else the first with the model."""

    model: str | None = None
    provider: str | None = None
    user: str | None = None


class Embedding(Passed, frozen=True, kw_only=True):
    """Texts, or tokens where the provider takes them; `encoding_format` is "float" or "base64"."""

    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None
    input_type: str | None = None


class Picture(Passed, frozen=True, kw_only=True):
    """What to paint, and how; which of these a model knows is its own affair."""

    prompt: str
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    moderation: str | None = None
    response_format: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    negative_prompt: str | None = None
    seed: int | None = None


class Judgement(Passed, frozen=True, kw_only=True):
    """Texts to be judged, or parts as in a message."""

    input: str | list[str | dict[str, Any]]


class Endpoints:
    """embeddings, images/generations, moderations."""

    def __init__(self, context: Context) -> None:
        self._skills, self._keys = Skills(context.registry), context.keys
        self._limiter, self._turns = context.limiter, context.turns
        self.routes = {
            "/v1/embeddings": route(POST=self.embeddings),
            "/v1/images/generations": route(POST=self.images),
            "/v1/moderations": route(POST=self.moderations),
        }

    @user
    async def embeddings(self, body: Embedding, record: Record) -> dict[str, Any]:
        """Embeds texts."""
        return await self._pass(body, "embed", "embedding", record)

    @user
    async def images(self, body: Picture, record: Record) -> dict[str, Any]:
        """Makes pictures; they come as addresses or in base64."""
        return await self._pass(body, "paint", "image", record)

    @user
    async def moderations(self, body: Judgement, record: Record) -> dict[str, Any]:
        """Judges texts."""
        return await self._pass(body, "moderate", "moderation", record)

    async def _pass(self, body: Passed, skill: str, kind: str, record: Record) -> dict[str, Any]:
        provider, able = self._skills.able(skill, body.provider, body.model, self._keys.allowed(record.key))
        record.wire, record.provider_asked, record.model_asked = "openai", body.provider, body.model
        request = msgspec.to_builtins(msgspec.structs.replace(body, provider=None))
        if self._limiter.limits(record):  # a token for four bytes, as nobody has counted them
            tokens = len(msgspec.json.encode(request)) // 4
            await self._turns.reserve(record, Question(tokens, 0, [(provider.name, body.model)]))
        record.kind, record.attempts = kind, 1
        record.provider, record.label, record.model = provider.name, provider.label, body.model
        try:
            answer: dict[str, Any] = await able(request, Secrets())
        except ServiceError as error:
            record.error = type(error).__name__
            raise
        if isinstance(named := answer.get("model"), str):
            record.model = named
        count(answer.get("usage"), record)
        if isinstance(body, Embedding) and record.usage_source is None:
            record.prompt_tokens, record.completion_tokens = _estimated(body.input), 0
            record.usage_source = "estimate"
        return answer


def count(usage: Any, record: Record) -> None:
    """Keeps what the provider counted, under whichever of the two names."""
    if isinstance(usage, dict):
        prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
        completion = usage.get("completion_tokens", usage.get("output_tokens", 0))
        if isinstance(prompt, int) and isinstance(completion, int):
            record.prompt_tokens, record.completion_tokens = prompt, completion
            record.usage_source = "provider"


def _estimated(given: str | list[Any]) -> int:
    """Tokens of texts that nobody has counted, one for four bytes; some are tokens already."""
    if isinstance(given, str):
        return -(-len(given.encode()) // 4)
    return sum(1 if isinstance(each, int) else _estimated(each) for each in given)
