"""An answer whose media are copied on their way; what follows them waits, what came before does not."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from service.errors import ServiceError
from service.events import Batch, Chosen, Content, Event
from service.messages import Ask, texts
from service.providers.pictures import picture
from service.providers.provider import Append, Provider
from service.settings import Files
from service.stores.buckets import File
from service.tasks import Tasks
from service.turns.media import Media, Wanted, address, shown


class Copied(Provider):
    """The provider; in place of what it has generated stand copies, as far as those can be made."""

    def __init__(self, provider: Provider, user: str, copier: "Copier") -> None:
        self.name, self.label = provider.name, provider.label
        self._provider, self._user, self._copier = provider, user, copier

    async def pump(self, ask: Ask, append: Append) -> None:
        passage = Passage(append, ask, self._user, self._copier)
        error: ServiceError | None = None
        try:
            try:
                await self._provider.pump(ask, passage.append)
            except ServiceError as failed:
                error = failed
            await passage.over()
        finally:
            passage.give_up()
        if error:
            raise error


class Copier:
    """Has media copied, within the limits on an answer's."""

    def __init__(self, media: Media, limits: Files, tasks: Tasks) -> None:
        self.media, self.limits, self.tasks = media, limits, tasks

    def copied(self, provider: Provider, ask: Ask, user: str | None) -> Provider:
        """The provider, as it is to answer this ask."""
        return Copied(provider, user, self) if ask.download_media and user else provider


class Passage:
    """What is said passes here: at once, until there is a medium in it."""

    __slots__ = ("_append", "_ask", "_chosen", "_copier", "_copies", "_held", "_left", "_user", "_work")

    def __init__(self, append: Append, ask: Ask, user: str, copier: Copier) -> None:
        self._append, self._ask, self._user, self._copier = append, ask, user, copier
        self._chosen: Chosen | None = None
        self._held: list[Event] = []
        """From the medium on that is being copied."""
        self._copies: dict[str, File | None] = {}
        """By their sources."""
        self._left = copier.limits.media_timeout
        """How many seconds this answer's copies may still take."""
        self._work: asyncio.Task[None] | None = None

    def append(self, events: Batch) -> None:
        if self._held:
            self._held += events
            return
        for event in events:
            kind = type(event)
            if kind is Content:
                if event.urls:  # type: ignore[attr-defined]
                    self._hold(events)
                    return
            elif kind is Chosen:
                self._chosen = event  # type: ignore[assignment]
        self._append(events)

    async def over(self) -> None:
        """Returns when everything has passed."""
        if self._work:
            await asyncio.wait([self._work])

    def give_up(self) -> None:
        """What is held passes as it is."""
        if self._work:
            self._work.cancel()
        held, self._held = self._held, []
        if held:
            self._append(held)

    def _hold(self, events: Batch) -> None:
        first = next(index for index, event in enumerate(events) if _media(event))
        self._held = list(events[first:])
        if first:
            self._append(events[:first])
        self._work = self._copier.tasks.start(self._pass_on(), "copies of generated media")

    async def _pass_on(self) -> None:
        """Until nothing is held any more; what comes meanwhile joins what is held."""
        while self._held:
            held = self._held[:]
            await self._copy([source for event in held for source in _media(event)])
            del self._held[: len(held)]
            self._append([self._shown(event) for event in held])

    async def _copy(self, sources: Sequence[str]) -> None:
        """All at the same time: what cannot be copied in time stays where it is."""
        room = self._copier.limits.media_count - len(self._copies)
        new = [source for source in dict.fromkeys(sources) if source not in self._copies][:room]
        if new and self._left > 0:
            loop = asyncio.get_running_loop()
            began = loop.time()
            copies = await asyncio.gather(*map(self._copied, new))
            self._copies.update(zip(new, copies, strict=True))
            self._left -= loop.time() - began

    async def _copied(self, source: str) -> File | None:
        provider = self._chosen.provider if self._chosen else None
        model = (provider and provider.model) or self._ask.model
        tags = tuple(filter(None, (model, self._ask.aspect_ratio)))
        own = provider.url if provider else None
        try:
            async with asyncio.timeout(self._left):
                return await self._copier.media.copy(Wanted(source, self._user, self._prompt(), tags, own))
        except TimeoutError:
            return None

    def _shown(self, event: Event) -> Event:
        """With the addresses of the copies that there are; a picture without a word as clients show it."""
        sources = _media(event)
        if not isinstance(event, Content) or not sources:
            return event
        if event.content and not any(map(self._copies.get, sources)):
            return event
        alt = event.alt or self._prompt()
        copies = [(source, self._copies.get(source)) for source in sources]
        urls = [address(copy) if copy else source for source, copy in copies]
        markup = [shown(copy, alt) if copy else picture(source, alt).content for source, copy in copies]
        sounds = [address(copy) for _, copy in copies if copy and copy.kind == "audio"]
        return replace(
            event, content="\n".join(markup), urls=urls, alt=alt, data=sounds[0] if sounds else None
        )

    def _prompt(self) -> str:
        """What the user said last."""
        said = (
            text
            for message in reversed(self._ask.messages)
            if message.role == "user"
            for text in texts(message)
            if text
        )
        return next(said, "")


def _media(event: Event) -> Sequence[str]:
    """Where the media of an event lie."""
    return event.urls or () if type(event) is Content else ()
