"""Passages in both databases: found by what a question says, in the named files only, and dropped."""

from collections.abc import Sequence

import pytest
from sqlalchemy import func, select, text

from service.stores.database import Database
from service.stores.passages import BATCH, Passage, Passages
from service.stores.schema_passages import passage_words, passages


@pytest.fixture
def store(database: Database) -> Passages:
    return Passages(database)


def written(file: str, *texts: str) -> list[Passage]:
    return [Passage(file, at, at + 1, None, 0, said) for at, said in enumerate(texts)]


async def counts(database: Database) -> tuple[int, int]:
    tables = [select(func.count().label("count")).select_from(table) for table in (passages, passage_words)]
    first, second = [(await database.read(table))[0]["count"] for table in tables]
    return first, second


TEXTS = (
    "The launch code of the rocket is PINEAPPLE-42.",
    "Срок действия договора составляет три года со дня подписания.",
    "東京都の人口は約千四百万人です。",
    "北京是中华人民共和国的首都。",
    "Refunds are granted within fourteen days; companies must ask in writing.",
    "Ёлка стоит в большой комнате у окна.",
    "Der Vertrag läuft über zwölf Monate.",
    "서울의 인구는 약 천만 명이다.",
)


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("What is the launch code?", 0),
        ("pineapple-42", 0),
        ("На какой срок заключены договоры?", 1),
        ("сроки договором", 1),
        ("東京の人口", 2),
        ("中国的首都在哪里", 3),
        ("Which company gets a refund?", 4),
        ("елку поставили в комнату", 5),
        ("ЁЛКА", 5),
        ("Wie lange lauft der Vertrag?", 6),
        ("서울 인구", 7),
        ("約", 2),
    ],
)
async def test_a_question_finds_its_passage(store: Passages, question: str, place: int) -> None:
    await store.add(written("a", *TEXTS))
    found = await store.found(["a"], question, 3)
    assert found[0] == written("a", *TEXTS)[place]


async def test_what_is_rare_counts(store: Passages) -> None:
    texts = [f"The code of page {page} is FACT{page * 7919}." for page in range(200)]
    await store.add(written("a", *texts))
    for page in (0, 7, 150):
        (found,) = await store.found(["a"], f"What is the code of page {page}?", 1)
        assert found.position == page


@pytest.mark.parametrize(
    "question", ["", "?!", "nothing of it", '"', "a* OR b", "NEAR(", "'); DROP TABLE passages; --", "\0"]
)
async def test_a_question_of_other_words_finds_nothing(store: Passages, question: str) -> None:
    await store.add(written("a", "Quite another text."))
    assert await store.found(["a"], question, 3) == []


async def test_nothing_is_found_in_files_that_are_not_named(store: Passages) -> None:
    await store.add(written("a", "The code is red."))
    await store.add(written("b", "The code is blue."))
    await store.add(written("c", "The code is green."))
    for within, found in ((["b"], {"b"}), (["a", "c"], {"a", "c"}), ([], set()), (["d"], set())):
        assert {passage.file for passage in await store.found(within, "Which code?", 9)} == found
        assert {passage.file for passage in await store.first(within, 9)} == found


async def test_what_comes_first_is_the_beginning_of_each_file(store: Passages) -> None:
    await store.add([*written("a", "1", "2", "3"), *written("b", "4", "5")])
    assert _texts(await store.first(["a", "b"], 3)) == ["1", "4", "2"]


async def test_a_repeated_write_changes_nothing(store: Passages, database: Database) -> None:
    for _ in range(2):
        await store.add(written("a", *TEXTS))
    assert await counts(database) == (len(TEXTS), len(TEXTS))
    assert len(await store.found(["a"], "launch code", 9)) == 1


async def test_a_dropped_file_leaves_nothing(store: Passages, database: Database) -> None:
    many = [f"number{number}" for number in range(2 * BATCH + 3)]
    await store.add(written("a", *many))
    await store.add(written("b", "number1"))
    await store.drop("a")
    assert await counts(database) == (1, 1)
    assert _texts(await store.found(["a", "b"], "number1", 9)) == ["number1"]
    await store.drop("a")
    await store.drop("never there")


async def test_what_a_crash_has_left_is_known(store: Passages) -> None:
    await store.add(written("a", "one", "two"))
    assert [file async for file in store.orphans()] == ["a"]


async def test_the_index_is_whole(store: Passages, database: Database) -> None:
    """FTS5 checks itself; PostgreSQL's needs none."""
    await store.add(written("a", *TEXTS))
    await store.drop("a")
    await store.add(written("a", *TEXTS))
    if database.dialect == "sqlite":
        found = await database.read(
            text("SELECT count(*) AS n FROM passage_words WHERE passage_words MATCH 'code'")
        )
        assert found[0]["n"] == 1


def _texts(found: Sequence[Passage]) -> list[str]:
    return [passage.text for passage in found]
