"""A chat comes whole and goes whole, whatever happens meanwhile; what is left of one is removed."""

import asyncio
from typing import Any

import pytest

from service.errors import NotFound
from service.stores.chats import Chat, Chats, Message
from service.stores.chats_list import Wanted
from service.stores.chats_rows import BATCH
from service.stores.database import Database
from service.stores.retention import remove_old_chats
from tests.stores.test_chats import dialogue, found, page, rows
from tests.upstream import until

MANY = 5 * BATCH + 1


@pytest.fixture
def store(database: Database) -> Chats:
    return Chats(database)


def long(**about: Any) -> Chat:
    return dialogue("long", *["Some words"] * MANY, **about)


async def seen(store: Chats) -> list[int]:
    """How many messages there are in each chat, wherever one could see it."""
    (listed, _), (hits, _) = await store.page("ann", Wanted()), await store.page("ann", Wanted(words="words"))
    exported = [len(chat.messages) async for chat in store.all("ann")]
    return sorted({*exported, *(chat.messages for chat in [*listed, *hits])})


async def test_nobody_sees_a_part_of_a_chat_that_comes_or_goes(store: Chats, database: Database) -> None:
    before = database.commits
    async with asyncio.TaskGroup() as group:
        coming = group.create_task(store.add("ann", long()))
        while not coming.done():
            assert await seen(store) in ([], [MANY])
            await store.sweep()
    assert await seen(store) == [MANY]
    assert database.commits > before + 1, "others could write in between"
    async with asyncio.TaskGroup() as group:
        going = group.create_task(store.remove("ann", "long"))
        while not going.done():
            assert await seen(store) in ([], [MANY])
    assert await rows(database) == [0, 0, 0]


async def test_what_fails_in_the_midst_leaves_nothing(store: Chats, database: Database) -> None:
    chat = long()
    chat.messages[-1] = Message(role="user", content="Hi", created_at=object())  # type: ignore[arg-type]
    with pytest.raises(Exception):  # noqa: B017 - each database has its own
        await store.add("ann", chat)
    assert await seen(store) == []
    with pytest.raises(NotFound):
        await store.find("ann", "long")
    assert await store.add("ann", dialogue("long", "Hi")) == "long"
    assert (await rows(database))[1] == MANY - 1 - (MANY - 1) % BATCH + 1
    await store.sweep()
    assert await rows(database) == [1, 1, 2]
    assert await found(store, "words") == []


async def test_whoever_leaves_in_the_midst_has_removed_it(store: Chats, database: Database) -> None:
    await store.add("ann", long())
    before = database.commits
    async with asyncio.TaskGroup() as group:
        going = group.create_task(store.remove("ann", "long"))
        await until(lambda: database.commits > before)
        going.cancel()
    assert going.cancelled()
    assert await seen(store) == []
    assert (await rows(database))[1] > 0
    again = Chats(database)
    await again.add("ann", dialogue("long", "Hi"))
    await again.sweep()
    assert await rows(database) == [1, 1, 2]


async def test_old_chats_that_are_arriving_are_not_yet_old(store: Chats) -> None:
    async with asyncio.TaskGroup() as group:
        coming = group.create_task(store.add("ann", long(updated_at=1.0)))
        while not coming.done():
            await remove_old_chats(store, 30)
            await asyncio.sleep(0)
    await remove_old_chats(store, 30)
    assert await page(store) == []


async def test_many_are_removed_together(store: Chats, database: Database) -> None:
    for number in range(40):
        await store.add("ann", dialogue(f"c{number}", "Hi", "Ho"))
    before = database.commits
    assert await store.remove_all("ann") == 40
    assert database.commits - before < 40
    assert await rows(database) == [0, 0, 0]
