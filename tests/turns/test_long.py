"""Very long answers: read on from any place, and no memory is held when they have ended."""

import asyncio
import gc
import random
import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy import func, select

from service.stores.schema import journal
from service.turns.log import Log
from tests.conftest import ROW
from tests.serving import Service, events, ids, serving, text
from tests.turns.clients import TURNS, followed
from tests.upstream import Close, Done, Finish, Say, Upstream, Usage, until

TOKENS = 20_000
LOG_BYTES = 100 * TOKENS
"""What a log of so many tokens takes in memory, at least."""


async def ended(service: Service) -> bytes:
    """The stream of a turn that has ended and has left the memory."""
    async with service.asking() as answer:
        stream = await answer.read()
    await until(lambda: not service.context.turns._present)
    return bytes(stream)


async def length_of(service: Service, turn: str) -> int:
    """How many bytes are read of a turn; none of them is kept."""
    async with service.http.get(f"{service.url}{TURNS}/{turn}") as answer:
        return sum([len(data) async for data in answer.content.iter_any()])


async def test_a_long_answer_is_read_on_from_any_place(service: Service, upstream: Upstream) -> None:
    upstream.script(*(Say(f"{number} ") for number in range(TOKENS)), Finish(), Usage(), Done())
    whole = await ended(service)
    assert text(events(whole)) == "".join(f"{number} " for number in range(TOKENS))
    turn, chance = events(whole)[0]["turn"], random.Random(1)
    frames = whole.split(b"\n\n")
    for read in [1, 2, *(chance.randrange(1, TOKENS) for _ in range(20)), TOKENS]:
        last = ids(frames[read - 1])[0]
        assert await followed(service.http, service.url, turn, last) == (200, b"\n\n".join(frames[read:]))


async def test_no_memory_is_held_of_long_answers_and_of_their_readers(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script(*(Say(f"{number} ") for number in range(TOKENS)), Finish(), Usage(), Done(), Close())
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        turn = events(await ended(service))[0]["turn"]  # what is loaded once is loaded now
        await followed(service.http, service.url, turn)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(3):
                await ended(service)
            lengths = await asyncio.gather(*(length_of(service, turn) for _ in range(10)))
            assert len(set(lengths)) == 1
            gc.collect()
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak > LOG_BYTES, "it has been there"
    assert held < LOG_BYTES // 2


async def test_the_pieces_of_an_ended_log_are_not_kept_beside_it(
    service: Service, upstream: Upstream
) -> None:
    upstream.script(Say("Hel"), *([Say("lo")] * 50), Finish(), Usage(), Done())
    await ended(service)
    database = service.context.database
    await until(lambda: not database.waiting)
    pieces = await database.read(select(func.count().label("number")).select_from(journal))
    assert pieces[0]["number"] == 0


async def test_those_who_read_an_ended_turn_share_its_log(service: Service, upstream: Upstream) -> None:
    upstream.script(*[Say("x" * 20_000)] * 400, Finish(), Usage(), Done())
    turn = events(await ended(service))[0]["turn"]
    async with AsyncExitStack() as stack:
        for _ in range(20):
            following = service.http.get(f"{service.url}{TURNS}/{turn}")
            await (await stack.enter_async_context(following)).content.readuntil(b"\n\n")
        assert len([thing for thing in gc.get_objects() if isinstance(thing, Log)]) == 1
