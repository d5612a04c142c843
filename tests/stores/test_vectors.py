"""Vectors of passages in both databases: small, near to what they were, and gone with their passages."""

import asyncio
import math
import random
import time

import pytest
from sqlalchemy import func, select

from service.stores.database import Database
from service.stores.passages import Passage, Passages
from service.stores.schema_passages import passage_vectors
from service.stores.vectors import CLOSE, NOTHING, Vectors, likeness, packed

DIMENSIONS = 100


def passages(file: str, count: int) -> list[Passage]:
    return [Passage(file, at, 1, None, 0, f"Passage {at} of {file}.") for at in range(count)]


def near(vector: list[float], chance: random.Random, noise: float) -> list[float]:
    return [number + chance.gauss(0, noise) for number in vector]


def drawn(chance: random.Random) -> list[float]:
    return [chance.gauss(0, 1) for _ in range(DIMENSIONS)]


async def count(database: Database) -> int:
    (row,) = await database.read(select(func.count().label("count")).select_from(passage_vectors))
    return int(row["count"])


async def test_what_is_nearest_comes_first(database: Database) -> None:
    chance, store, vectors = random.Random(3), Passages(database), Vectors(database, "m")
    said = passages("a", 400)
    await store.add(said)
    numbers = [drawn(chance) for _ in said]
    await vectors.add((passage, packed(vector)) for passage, vector in zip(said, numbers, strict=True))
    for at in (0, 77, 399):
        found = await vectors.nearest(["a"], packed(near(numbers[at], chance, 0.4)), 5)
        assert found[0] == said[at]
        assert len(found) == len(set(found)) == 5


async def test_nothing_is_near_in_files_that_are_not_named_or_by_another_model(database: Database) -> None:
    store, vectors = Passages(database), Vectors(database, "m")
    for file in ("a", "b"):
        await store.add(passages(file, 3))
        await vectors.add((passage, packed([1.0] * 9)) for passage in passages(file, 3))
    near_b = await vectors.nearest(["b"], packed([1.0] * 9), 9)
    assert [passage.file for passage in near_b] == ["b"] * 3
    assert await vectors.any(["c", "b"]) and not await vectors.any([]) and not await vectors.any(["c"])
    assert not await Vectors(database, "other").any(["a", "b"])


async def test_nothing_is_near_to_nothing_or_in_another_number_of_dimensions(database: Database) -> None:
    store, vectors = Passages(database), Vectors(database, "m")
    await store.add(said := passages("a", 3))
    await vectors.add([(said[0], NOTHING), (said[1], packed([1.0] * 9)), (said[2], packed([1.0] * 99))])
    assert await vectors.nearest(["a"], NOTHING, 9) == []
    assert await vectors.nearest(["a"], packed([1.0] * 9), 9) == [said[1]]


async def test_others_have_their_turn_while_thousands_are_compared(database: Database) -> None:
    """In processor time: nobody waits for as long as the comparison of the nearest alone would take."""
    store, vectors = Passages(database), Vectors(database, "m")
    await store.add(said := passages("a", 2_500))
    alike = packed([1.0, -1.0] * 768)
    await vectors.add((passage, alike) for passage in said)
    gaps, over = [0.0], asyncio.Event()

    async def others() -> None:
        last = time.thread_time()
        while not over.is_set():
            await asyncio.sleep(0)
            gaps.append((now := time.thread_time()) - last)
            last = now

    async with asyncio.TaskGroup() as group:
        group.create_task(others())
        assert len(await vectors.nearest(["a"], alike, 64)) == 64
        over.set()
    began = time.thread_time()
    for _ in range(CLOSE * 64):
        likeness(alike.vector, alike.vector)
    assert max(gaps) < (time.thread_time() - began) / 3


async def test_what_is_missing_is_told_and_only_that(database: Database) -> None:
    store, vectors = Passages(database), Vectors(database, "m")
    await store.add(said := passages("a", 10))
    await vectors.add((passage, packed([1.0, 2.0])) for passage in said[:3])
    await vectors.add([(said[3], NOTHING)])
    assert await vectors.missing("a", most=9, count=4) == said[4:8]
    assert await vectors.missing("a", most=4, count=4) == []
    other = Vectors(database, "other")
    assert await other.missing("a", most=9, count=99) == said[:9]
    await other.add((passage, packed([1.0])) for passage in said)
    assert await vectors.missing("a", most=99, count=99) == said
    assert await count(database) == 10


async def test_they_go_with_their_passages_and_never_come_without(database: Database) -> None:
    store, vectors = Passages(database), Vectors(database, "m")
    await store.add(said := passages("a", 40))
    await vectors.add((passage, packed([1.0, -2.0])) for passage in said)
    await store.drop("a")
    assert await count(database) == 0
    await vectors.add((passage, packed([1.0, -2.0])) for passage in said)
    assert await count(database) == 0


@pytest.mark.parametrize("size", [1, 7, 8, 9, 1536])
def test_a_packed_vector_points_where_it_pointed(size: int) -> None:
    chance = random.Random(size)
    for scale in (1e-6, 1.0, 1e6):
        one, other = ([scale * chance.gauss(0, 1) for _ in range(size)] for _ in range(2))
        cosine = sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))
        first, second = packed(one), packed(other)
        assert len(first.signs) == -(-size // 8) and len(first.vector) == size
        length = math.sqrt(likeness(second.vector, second.vector) ** 2)
        assert likeness(first.vector, second.vector) / length == pytest.approx(cosine, abs=0.02)


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], [math.nan, 1.0], [math.inf], [1.0] * 20_000])
def test_what_is_no_vector_is_refused(vector: list[float]) -> None:
    with pytest.raises(ValueError, match="no direction"):
        packed(vector)
