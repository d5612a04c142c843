"""Work that waits, in turn: whoever has much of it keeps nobody else waiting."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Rounds(Generic[T]):
    """A queue of a queue for each user: one piece of each, then the next piece of each."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}
        """In the order in which they are served; none is empty."""
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, user: str, work: T) -> None:
        self._queues.setdefault(user, deque()).append(work)
        self._some.set()

    async def next(self) -> T:
        """Waits for work, and takes it."""
        while not self._queues:
            self._some.clear()
            await self._some.wait()
        user = next(iter(self._queues))
        queue = self._queues.pop(user)
        work = queue.popleft()
        if queue:
            self._queues[user] = queue
        return work
