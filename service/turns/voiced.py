"""An answer that says how it can be heard."""

from service.events import Batch, Content, Spoken
from service.messages import Ask
from service.providers.provider import Append, Provider


class Voiced(Provider):
    """The provider; its answer ends with where it can be heard, if there is anything to hear."""

    def __init__(self, provider: Provider, speaker: str, data: dict[str, str]) -> None:
        self.name, self.label = provider.name, provider.label
        self._provider = provider
        self._spoken = Spoken({"provider": speaker, "data": data})

    async def pump(self, ask: Ask, append: Append) -> None:
        said = False

        def listening(batch: Batch) -> None:
            nonlocal said
            said = said or any(isinstance(event, Content) and event.content.strip() for event in batch)
            append(batch)

        await self._provider.pump(ask, listening)
        if said:
            append([self._spoken])


def voiced(provider: Provider, ask: Ask, turn: str) -> Provider:
    """The provider, as it is to answer this ask."""
    if ask.speaker is None:
        return provider
    voice = {"voice": ask.voice} if ask.voice else {}
    return Voiced(provider, ask.speaker, {"turn": turn, **voice})
