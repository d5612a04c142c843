"""The log of a turn: what it says, in order. It only grows, it ends once, and everything else reads it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from service.events import Batch, Event

Sink: TypeAlias = Callable[[Batch], None]
"""Called in the tick in which events are appended; with an empty batch when there is no more for it."""


class Log:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ended = False
        self.dismissed = False
        self._sinks: dict[Sink, None] = {}

    def append(self, events: Batch) -> None:
        """Keeps the events; an event's index is its place in the log. No task wakes up for them."""
        if events:
            self.events += events
            self._tell(events)

    def end(self) -> None:
        """Nothing follows any more."""
        self.ended = True
        self._tell(())

    def dismiss(self) -> None:
        """Sends the readers away; what follows is there for those who come back."""
        self.dismissed = True
        self._tell(())

    def _tell(self, events: Batch) -> None:
        for sink in tuple(self._sinks):
            sink(events)

    @contextmanager
    def attached(self, sink: Sink) -> Iterator[None]:
        self._sinks[sink] = None
        try:
            yield
        finally:
            self._sinks.pop(sink, None)

    async def follow(self, after: int = 0) -> AsyncGenerator[Batch, None]:
        """The events from an index on, those to come included, until the log ends."""
        grown = asyncio.Event()
        with self.attached(lambda _: grown.set()):
            while True:
                grown.clear()
                if batch := self.events[after:]:
                    after += len(batch)
                    yield batch
                elif self.ended or self.dismissed:
                    return
                else:
                    await grown.wait()
