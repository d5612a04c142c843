"""Passages found by what they mean, beside those that have a question's words: where the operator wants it.

They are embedded in the background, after they can be found by their words, and paid for by whose they are.
A question waits for this only so long, and never fails for it.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.documents.extraction import Document
from service.errors import (
    BadRequest,
    LimitReached,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ServiceError,
    Unavailable,
)
from service.providers.circuit import Circuit
from service.providers.provider import Provider
from service.settings import Files, Secrets
from service.stores.buckets import File
from service.stores.ledger import Record
from service.stores.passages import Passage
from service.stores.vectors import NOTHING, Packed, Vectors, packed
from service.turns.admission import Turns
from service.turns.limits import Question
from service.turns.rounds import Rounds

log = logging.getLogger(__name__)

KIND = "embedding"
"""Of the records of what it costs."""
AT_ONCE = 32
"""Passages of one request, whose answer is a megabyte of JSON: a few milliseconds' work."""
NEAREST = 64
"""Passages that are ranked for a question."""
READ = 4_000
"""Characters of a question."""
PAUSE_SECONDS, LONGEST_PAUSE = 5.0, 3_600.0
BYTES_PER_TOKEN = 4


class _Vector(Struct):
    embedding: list[float]
    index: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None


class _Answer(Struct):
    """OpenAI's API reference, "Create embeddings"."""

    data: list[_Vector]
    usage: _Usage | None = None


class Meanings:
    """Embeds passages with one model of one provider, and finds those that are near to a question."""

    def __init__(
        self, vectors: Vectors, provider: Provider, turns: Turns, circuit: Circuit, limits: Files
    ) -> None:
        self._vectors, self._provider, self._turns, self._circuit = vectors, provider, turns, circuit
        self._model = limits.embeddings.partition("/")[2]
        self._most, self._patience = limits.embedded_passages, limits.embeddings_timeout
        self._rounds: Rounds[tuple[str, str]] = Rounds()
        self._queued: set[str] = set()

    async def add(self, file: File, document: Document) -> None:
        """Queues a document whose passages are indexed; nobody waits for more."""
        self._queue(file.user, file.id)

    async def resume(self) -> None:
        """Queues what lacks vectors: of a former process, of another model, or of a provider's bad hour."""
        for user, id in await self._vectors.lacking(self._most):
            self._queue(user, id)

    async def near(self, within: Sequence[str], question: str, asked: Record) -> list[Passage]:
        """Those passages of some files that mean what a question says, the best first.

        None where that cannot be told in time; `asked` is the record of the turn.
        """
        if not (within and question.strip() and self._circuit.free):
            return []
        record = _record(asked.user, asked.key)
        record.request_id, record.wire = asked.request_id, asked.wire
        try:
            if await self._vectors.any(within):
                (wanted,) = await self._embedded([question[:READ]], record, self._patience)
                return await self._vectors.nearest(within, wanted, NEAREST)
        except ServiceError as error:
            log.warning("a question is answered by its words alone: %s", error)
        return []

    async def run(self) -> None:
        """Embeds a few passages of one document, then of the next: each user's in turn."""
        while True:
            user, id = await self._rounds.next()
            self._queued.discard(id)
            try:
                if self._circuit.free:
                    again = await self._embed_some(user, id)
                else:
                    again = await asyncio.sleep(PAUSE_SECONDS, True)
            except LimitReached as error:  # it is resumed another hour
                log.info("%s waits to be embedded: %s", id, error)
                again = False
            except ServiceError as error:
                log.warning("%s is not embedded yet: %s", id, error)
                again = _passes(error) and await asyncio.sleep(_pause(error), True)
            if again:
                self._queue(user, id)

    def _queue(self, user: str, id: str) -> None:
        if id not in self._queued:
            self._queued.add(id)
            self._rounds.add(user, (user, id))

    async def _embed_some(self, user: str, id: str) -> bool:
        """Whether there may be more of it."""
        some = await self._vectors.missing(id, self._most, AT_ONCE)
        if some:
            await self._vectors.add(zip(some, await self._vectors_of(some, user), strict=True))
        return len(some) == AT_ONCE

    async def _vectors_of(self, some: Sequence[Passage], user: str) -> list[Packed]:
        """Of all at once; where the model refuses that, of each alone: it may be one that is too long."""
        try:
            return await self._embedded([passage.text for passage in some], _record(user))
        except BadRequest as error:
            if len(some) > 1:
                return [(await self._vectors_of([passage], user))[0] for passage in some]
            log.info("a passage of %s has no embedding: %s", some[0].file, error)
            return [NOTHING]

    async def _embedded(
        self, texts: list[str], record: Record, patience: float | None = None
    ) -> list[Packed]:
        """Within so many seconds, and accounted for, whatever becomes of it. Raises `ServiceError`."""
        record.provider_asked, record.model_asked = self._provider.name, self._model
        tokens = sum(len(text.encode(errors="replace")) for text in texts) // BYTES_PER_TOKEN + 1
        target = (self._provider.name, self._model)
        await self._turns.reserve(record, Question(tokens, 0, [target], beside=True))
        record.provider, record.label, record.model = self._provider.name, self._provider.label, self._model
        record.attempts, record.ending = 1, "abandoned"
        try:
            with self._circuit.asked():
                answer = await self._answer(texts, patience)
            counted = answer.usage and answer.usage.prompt_tokens
            record.prompt_tokens, record.completion_tokens = counted or tokens, 0
            record.usage_source, record.ending = "provider" if counted else "estimate", "done"
            return await _packed(answer)
        except ServiceError as error:
            record.ending, record.error = "failed", type(error).__name__
            raise
        finally:
            record.ended_at = time.time()
            await self._turns.settle(record)

    async def _answer(self, texts: list[str], patience: float | None) -> _Answer:
        """Raises `ProviderError` where it makes no sense, and `ProviderTimeout`."""
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        embed: Any = self._provider.embed  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(patience):
                answer = msgspec.convert(await embed(body, Secrets()), _Answer)
        except TimeoutError as error:
            raise ProviderTimeout(f"{self._provider.label} took too long to embed it.") from error
        except msgspec.ValidationError as error:
            raise self._nonsense() from error
        if len(answer.data) != len(texts):
            raise self._nonsense()
        answer.data.sort(key=lambda vector: vector.index or 0)
        return answer

    def _nonsense(self) -> ProviderError:
        return ProviderError(f"{self._provider.label} sent no embeddings that make sense for {self._model}.")


def _passes(error: ServiceError) -> bool:
    """Whether it may do so soon. Whatever else it is: what lacks vectors is looked for again each hour."""
    return error.outage or isinstance(error, RateLimited | Unavailable)


def _pause(error: ServiceError) -> float:
    return max(PAUSE_SECONDS, min(error.retry_after or 0.0, LONGEST_PAUSE))


async def _packed(answer: _Answer) -> list[Packed]:
    """One after another: others have their turn between them."""
    vectors = []
    for vector in answer.data:
        try:
            vectors.append(packed(vector.embedding))
        except ValueError:
            vectors.append(NOTHING)
        await asyncio.sleep(0)
    return vectors


def _record(user: str | None, key: str | None = None) -> Record:
    return Record(id=secrets.token_urlsafe(16), kind=KIND, user=user, key=key)
