"""What chats cost: those who do without pay nothing, those who have one pay a read and no commit."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.messages import Ask, Message
from service.stores.ledger import Record
from service.stores.schema_chats import PLACES
from service.tasks import Tasks
from service.turns.chats import Scribe
from tests.serving import Service
from tests.turns.test_chats import until_ended


@asynccontextmanager
async def counted(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, list[str]]]:
    """The statements that are read, the tasks that are begun, and the commits, until all is written."""
    database, found = service.context.database, dict[str, list[str]](reads=[], tasks=[], commits=[])
    read, start, before = database.read, Tasks.start, database.commits

    async def reading(statement: Any) -> Sequence[Any]:
        found["reads"].append(str(statement))
        return await read(statement)

    def starting(tasks: Tasks, work: Any, name: str) -> Any:
        found["tasks"].append(name.split()[0])
        return start(tasks, work, name)

    with monkeypatch.context() as patched:
        patched.setattr(database, "read", reading)
        patched.setattr(Tasks, "start", starting)
        yield found
        await until_ended(service)
    found["commits"] = ["commit"] * (database.commits - before)


async def cost(service: Service, monkeypatch: pytest.MonkeyPatch, **body: Any) -> dict[str, list[str]]:
    """Of one question, without what the journal's own clock adds."""
    await until_ended(service)
    async with counted(service, monkeypatch) as found:
        await service.ask("Hello", **body)
    found["reads"] = [statement for statement in found["reads"] if "chat" in statement]
    return found


async def test_a_turn_in_no_chat_pays_nothing_and_one_in_a_chat_a_read(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.ask("Hello")
    await service.ask("Hello", conversation_id="c")
    without = [await cost(service, monkeypatch) for _ in range(8)]
    within = [await cost(service, monkeypatch, conversation_id="c") for _ in range(8)]
    assert [len(each["reads"]) for each in without] == [0] * 8
    assert [len(each["reads"]) for each in within] == [1] * 8
    assert {tuple(each["tasks"]) for each in [*without, *within]} == {("turn",)}
    assert fewest(within) == fewest(without)


def fewest(found: list[dict[str, list[str]]]) -> int:
    """Commits of the quickest turn: of a slow one the journal writes a piece, too."""
    return min(len(each["commits"]) for each in found)


@pytest.mark.slow
async def test_a_long_history_keeps_nobody_waiting(service: Service) -> None:
    """Old clients send all of it with their first question here."""
    text = " ".join(f"word{number}" for number in range(2_000))
    ask = Ask(messages=[Message("assistant" if place % 2 else "user", text) for place in range(300)])
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        began = time.perf_counter()
        async with Scribe(service.context.chats).placed(ask, None, Record(id="t", user="u"), "c") as place:
            whole = time.perf_counter() - began
        await asyncio.sleep(0.01)  # whoever was kept waiting says so
        watching.cancel()
    assert place.answer - (place.chat << PLACES) == len(ask.messages) + 1
    assert max(gaps) < whole / 3
