"""Generated media among the files: found by name and by words, on both databases."""

import time

import pytest

from service.errors import NotFound
from service.stores.buckets import Buckets
from service.stores.database import Database
from service.stores.generated import Generated
from tests.stores.test_buckets import file


@pytest.fixture
def generated(database: Database) -> Generated:
    return Generated(database)


async def add(database: Database, *names: str, user: str = "ann", **other: object) -> None:
    """The later ones are newer."""
    for at, name in enumerate(names):
        said = {
            "words": f"image/png {name}".casefold(),
            "bucket": f"b-{name}-{at}",
            "created_at": at,
            **other,
        }
        await Buckets(database).add([file(name, user, kind="image", **said)])  # type: ignore[arg-type]


async def test_it_is_found_by_its_name_by_whom_it_was_made_for(
    database: Database, generated: Generated
) -> None:
    await add(database, "1_bus.png", source="https://a.example/1.png")
    found = await generated.named("ann", "1_bus.png")
    assert (found.name, found.source) == ("1_bus.png", "https://a.example/1.png")
    for user, name in (("bob", "1_bus.png"), ("ann", "1_BUS.png"), ("ann", "1_bus.pn_"), ("ann", "\0")):
        with pytest.raises(NotFound):
            await generated.named(user, name)


async def test_of_the_same_name_it_is_the_newest(database: Database, generated: Generated) -> None:
    await add(database, "bus.png", "bus.png", sha256="x")
    assert (await generated.named("ann", "bus.png")).created_at == 1


async def test_what_was_uploaded_is_not_generated(database: Database, generated: Generated) -> None:
    await Buckets(database).add([file("bus.png", kind="image")])
    with pytest.raises(NotFound):
        await generated.named("ann", "bus.png")
    assert await generated.count("ann", ["bus"], 1) == 0


@pytest.mark.parametrize(
    ("words", "least", "found"),
    [
        (["bus"], 1, ["3_БЛАУ_bus.png", "2_Blue+bus.png", "1_red_bus.png"]),
        (["blue", "bus"], 2, ["2_Blue+bus.png"]),
        (["blue", "red"], 1, ["2_Blue+bus.png", "1_red_bus.png"]),
        (["blue", "red"], 2, []),
        (["блау"], 1, ["3_БЛАУ_bus.png"]),
        (["%"], 1, []),
        (["b_s"], 1, []),
        (["/"], 1, ["3_БЛАУ_bus.png", "2_Blue+bus.png", "1_red_bus.png"]),
        (["x' OR 1=1 --"], 1, []),
        (["image", "png", "bus", "1_"], 4, ["1_red_bus.png"]),
    ],
)
async def test_it_is_found_by_its_words(
    database: Database, generated: Generated, words: list[str], least: int, found: list[str]
) -> None:
    await add(database, "1_red_bus.png", "2_Blue+bus.png", "3_БЛАУ_bus.png")
    await add(database, "4_bus_of_bob.png", user="bob")
    assert await generated.count("ann", words, least) == len(found)
    for place, name in enumerate(found):
        assert (await generated.found("ann", words, least, place)).name == name
    with pytest.raises(NotFound):
        await generated.found("ann", words, least, len(found))


async def test_a_search_among_many_is_quick(database: Database, generated: Generated) -> None:
    names = [f"{number}_{'bus_' * 20}.png" for number in range(2_000)]
    files = [
        file(name, kind="image", words=name, bucket="all", created_at=at) for at, name in enumerate(names)
    ]
    await Buckets(database).add(files)
    for words in (["bus"], ["%" * 4000], ["bus%" * 1000], [f"{number}_" for number in range(16)]):
        began = time.perf_counter()
        await generated.count("ann", words, len(words))
        assert time.perf_counter() - began < 1
