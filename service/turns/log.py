"""The log of a turn: what it says, in order. It only grows, it ends once, and everything else reads it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
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
        over = asyncio.get_running_loop().create_future()

        def note(events: Batch) -> None:
            if not events and not over.done():
                over.set_result(None)

        self.attach(note)
        try:
            await over
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
