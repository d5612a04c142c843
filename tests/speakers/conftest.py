"""What the tests of speakers stand on: real engines in real children."""

from collections.abc import AsyncGenerator

import pytest

from service.speakers.embedded import HIBARI, NANOTTS, Embedded
from service.speakers.encoding import Encoders
from service.tasks import Tasks


@pytest.fixture
async def tasks() -> AsyncGenerator[Tasks, None]:
    tasks = Tasks()
    yield tasks
    await tasks.close()


@pytest.fixture
async def local(tasks: Tasks) -> AsyncGenerator[Embedded, None]:
    async for speaker in opened(Embedded(NANOTTS), tasks):
        yield speaker


@pytest.fixture
async def hibari(tasks: Tasks) -> AsyncGenerator[Embedded, None]:
    async for speaker in opened(Embedded(HIBARI), tasks):
        yield speaker


@pytest.fixture
async def encoders(tasks: Tasks) -> AsyncGenerator[Encoders, None]:
    encoders = Encoders()
    encoders.open(tasks)
    yield encoders
    await encoders.close()


async def opened(speaker: Embedded, tasks: Tasks) -> AsyncGenerator[Embedded, None]:
    await speaker.open(tasks)
    yield speaker
    await speaker.close()
