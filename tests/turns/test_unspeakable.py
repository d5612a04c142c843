"""A provider in Python that says what cannot be written down."""

from collections.abc import AsyncGenerator

from service.events import Batch, Content
from service.messages import Ask
from service.providers.scripted import Scripted
from tests.serving import Service, kinds


class Unspeakable(Scripted):
    async def chat(self, ask: Ask) -> AsyncGenerator[Batch, None]:
        yield [Content("a")]
        yield [Content("\ud83d")]


async def test_half_an_emoji_fails_its_own_turn_alone(service: Service) -> None:
    service.context.registry._providers["Unspeakable"] = provider = Unspeakable()
    provider.name = "Unspeakable"
    service.context.registry._listings["Unspeakable"] = service.context.registry.listing("Upstream")
    answer = await service.ask(provider="Unspeakable", model="small")
    assert kinds(answer) == ["provider", "content", "error"]
    assert kinds(await service.ask()) == ["provider", "content", "finish", "usage"]
