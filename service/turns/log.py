"""The log of a turn: what it says, in order. It only grows, it ends once, and everything else reads it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TypeAlias

from service.events import Batch, Event

Sink: TypeAlias = Callable[[Batch], None]
"""Called in the tick in which events are appended; with an empty batch when there is no more for it."""


class Log:
    __slots__ = (
        "_sinks",
        "dismissed",
        "ended",
        "events",
    )

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ended = False
        self.dismissed = False
        self._sinks: list[Sink] = []

    def append(self, events: Batch) -> None:
        """Keeps the events; an event's index is its place in the log. No task wakes up for them."""
        if events:
            self.events += events
            self._tell(events)

    def end(self, last: Batch = ()) -> None:
        """Nothing follows any more but these: who reads is told that it is over, and finds them here."""
        self.events += last
        self.ended = True
        self._tell(())

    def dismiss(self) -> None:
        """Sends the readers away; what follows is there for those who come back."""
        self.dismissed = True
        self._tell(())

    def _tell(self, events: Batch) -> None:
        for sink in tuple(self._sinks):
            sink(events)

    def attach(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def detach(self, sink: Sink) -> None:
        self._sinks.remove(sink)

    async def over(self) -> None:
        """Returns when the log has ended, or its readers are sent away; no task wakes up before."""
        if self.ended or self.dismissed:
            return
        await self._told_of(lambda events: not events)

    async def begun(self, begins: Callable[[Batch], bool], patience: float) -> None:
        """Returns when it says what `begins` recognises, when it is over, or after so many seconds."""
        if not (self.ended or self.dismissed or begins(self.events)):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._told_of(lambda events: not events or begins(events))

    async def _told_of(self, enough: Callable[[Batch], bool]) -> None:
        told = asyncio.get_running_loop().create_future()

        def note(events: Batch) -> None:
            if enough(events) and not told.done():
                told.set_result(None)

        self.attach(note)
        try:
            await told
        finally:
            self.detach(note)

    async def follow(self, after: int = 0) -> AsyncGenerator[Batch, None]:
        """The events from an index on, those to come included, until the log ends."""
        grown = asyncio.Event()

        def wake(_: Batch) -> None:
            grown.set()

        self.attach(wake)
        try:
            while True:
                grown.clear()
                if batch := self.events[after:]:
                    after += len(batch)
                    yield batch
                elif self.ended or self.dismissed:
                    return
                else:
                    await grown.wait()
        finally:
            self.detach(wake)
