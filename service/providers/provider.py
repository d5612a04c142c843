"""What a provider is: a name, its models, and an answer to a question."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeAlias

import msgspec
from msgspec import Struct

from service.errors import ProviderError
from service.events import Answerer, Batch, Chosen
from service.messages import Ask
from service.providers.quotas import Quota
from service.settings import Secrets
from service.tasks import Tasks

Append: TypeAlias = Callable[[Batch], None]


_encode = msgspec.json.Encoder().encode


class Model(Struct, frozen=True):
    """A model as its provider offers it; `context_length` in tokens, None where it is not known.

    It sees pictures (`vision`), makes some (`image`), speaks (`audio`).
    """

    id: str
    context_length: int | None = None
    vision: bool = False
    image: bool = False
    audio: bool = False


class Provider:
    """Who answers. A subclass names itself and has `chat`; everything else may stay as it is.

    A capability is a method that exists, never a flag.
    """

    name: str
    label: str
    url: str | None = None
    default_model: str | None = None
    local = False
    """It runs on this machine: it is live when it answers."""
    on_request = False
    """It answers only who names it: the service never chooses it."""

    async def open(self, tasks: Tasks) -> None:
        """Takes what it needs to answer; called once. What runs in the background is kept by `tasks`."""

    async def close(self) -> None:
        """Gives back what `open` took."""

    def obstacle(self) -> str | None:
        """Why it cannot answer, known without asking anybody; a sentence for the user."""
        return None

    def reads(self, media_type: str) -> bool:
        """Whether it reads files of a type that are in a message; of others it is told what they say."""
        return False

    async def models(self) -> list[Model] | None:
        """Its models, asked for now; None where it does not tell. Raises `ProviderError` when it is away."""
        return None

    async def quota(self, keys: Secrets) -> Quota | None:
        """What is left for the client's key, or ours; None where it does not tell. Raises `ServiceError`."""
        return None

    async def check(self, ask: Ask) -> None:
        """Raises a `BadRequest` when it is plain, before anything is sent, that the ask must fail."""

    def chat(self, ask: Ask) -> AsyncGenerator[Batch, None]:
        """The answer, a batch for each read of the upstream; raises `ProviderError`.

        It ends with `Finished`; `Used` may stand anywhere, and may be missing.
        """
        raise ProviderError(f"{self.label} does not chat; choose another provider.")

    async def pump(self, ask: Ask, append: Append) -> None:
        """Drives `chat`, appending what it says; a provider on the hot path may append where bytes arrive."""
        append([self.chosen(ask.model)])
        async with aclosing(self.chat(ask)) as batches:
            async for batch in batches:
                _encode(batch)  # what no wire and no database can hold, half an emoji, fails here and alone
                append(batch)

    def chosen(self, model: str | None) -> Chosen:
        """The event that names this provider and the model that answers."""
        return Chosen(Answerer(self.name, self.url, self.label, model))
