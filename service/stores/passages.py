"""Passages of documents: kept, found by their words, dropped; a few at a time, so that others can write."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    BindParameter,
    Executable,
    Integer,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    select,
    text,
)
from sqlalchemy.types import UserDefinedType

from service.stores.database import PAGE, Database
from service.stores.schema_files import files
from service.stores.schema_passages import passage_vectors, passage_words, passages
from service.stores.words import Term, terms, words

BATCH = 16
"""Passages of one commit, some milliseconds of the writer's time: whoever writes meanwhile waits for one."""
COLUMNS = ("file", "position", "page", "title", "start", "text", "last_page")
LONGEST = 16_000
"""Positions that PostgreSQL can count."""


class Passage(Struct, frozen=True):
    """A passage of a file; `position` counts the file's passages, `start` the characters of its page.

    `last_page` is where it ends, if that is another page.
    """

    file: str
    position: int
    page: int | None
    title: str | None
    start: int
    text: str
    last_page: int | None = None


class Passages:
    """Nothing is found but in the files that are named, whose owner asks. All raise `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = POSTGRESQL if database.dialect == "postgresql" else SQLITE
        self._add = database.insert(passages).on_conflict_do_nothing(index_elements=["file", "position"])
        of, at, end = _text("of"), _number("at"), _number("end")
        this = select(passages.c.id, self._index.bound).where(
            passages.c.file == of, passages.c.position == at
        )
        insert = database.insert(passage_words).from_select(["rowid", "words"], this)
        if database.dialect == "postgresql":
            self._add_words: Any = insert.on_conflict_do_nothing(index_elements=["rowid"])
        else:
            self._add_words = insert.prefix_with("OR REPLACE")
        some = (passages.c.file == of, passages.c.position >= at, passages.c.position < end)
        ids = select(passages.c.id).where(*some)
        self._drop_words = delete(passage_words).where(passage_words.c.rowid.in_(ids))
        self._drop_vectors = delete(passage_vectors).where(passage_vectors.c.passage.in_(ids))
        self._drop = delete(passages).where(*some)

    async def add(self, batch: Sequence[Passage]) -> None:
        """Returns when they are durable; those that are there already stay as they are."""
        writes = [
            self._database.write_together(
                (self._add, {name: getattr(passage, name) for name in COLUMNS}),
                (
                    self._add_words,
                    {
                        "words": self._index.row(words(passage.text)),
                        "of": passage.file,
                        "at": passage.position,
                    },
                ),
            )
            for passage in batch
        ]
        await asyncio.gather(*writes)

    async def drop(self, file: str) -> None:
        """Removes the passages of a file."""
        last = select(func.max(passages.c.position).label("last")).where(passages.c.file == file)
        (row,) = await self._database.read(last)
        for at in range(0, (-1 if row["last"] is None else row["last"]) + 1, BATCH):
            some = {"of": file, "at": at, "end": at + BATCH}
            drops = (self._drop_words, self._drop_vectors, self._drop)
            await self._database.write_together(*((drop, some) for drop in drops))

    async def found(self, within: Sequence[str], question: str, most: int) -> list[Passage]:
        """Those passages of some files that have what a question says, the best first."""
        wanted = terms(question)
        if not within or not wanted:
            return []
        return await self._read(self._index.search(within, wanted, most))

    async def first(self, within: Sequence[str], most: int) -> list[Passage]:
        """The first passages of some files: what to show where a question has no word of theirs."""
        first = select(passages).where(passages.c.file.in_(within))
        return await self._read(first.order_by(passages.c.position, passages.c.file).limit(most))

    async def orphans(self) -> AsyncGenerator[str, None]:
        """The ids of files that are gone, whose passages a crash has left; a thousand at most."""
        theirs = exists().where(files.c.id == passages.c.file)
        lost = select(passages.c.file).where(~theirs).distinct().limit(PAGE)
        for row in await self._database.read(lost):
            yield row["file"]

    async def _read(self, statement: Executable) -> list[Passage]:
        rows = await self._database.read(statement)
        return [Passage(**{name: row[name] for name in COLUMNS}) for row in rows]


class _SQLite:
    """FTS5, which ranks by BM25. Source: SQLite's documentation, "FTS5"."""

    bound: Any = bindparam("words", type_=Text())
    _found = text(
        """
SELECT passages.*, bm25(passage_words) AS score FROM passage_words JOIN passages ON id = passage_words.rowid
WHERE passage_words MATCH :words AND file IN :files
    AND passage_words.rowid >= (SELECT min(id) FROM passages WHERE file IN :files)
    AND passage_words.rowid <= (SELECT max(id) FROM passages WHERE file IN :files)
ORDER BY score, file, position LIMIT :most
"""
    ).bindparams(bindparam("files", expanding=True))

    def row(self, words: list[str]) -> str:
        return " ".join(words)

    def search(self, within: Sequence[str], wanted: Sequence[Term], most: int) -> Executable:
        query = " OR ".join(f'"{term.word}"{" *" if term.begins else ""}' for term in wanted)
        return self._found.bindparams(words=query, files=list(within), most=most)


COUNT = "count(*) FILTER (WHERE found.words @@ CAST(:{name} AS tsquery)) AS {name}"
SCORE = "ln(1 + (total - {name} + 0.5) / ({name} + 0.5)) * ts_rank(found.words, CAST(:{name} AS tsquery))"
FOUND = """
WITH found AS MATERIALIZED (
    SELECT passages.*, words FROM passages JOIN passage_words ON rowid = id
    WHERE file IN :files AND words @@ CAST(:words AS tsquery)
), counted AS (
    SELECT (SELECT count(*) FROM passages WHERE file IN :files) AS total, {counts} FROM found
)
SELECT found.*, {score} AS score FROM found, counted ORDER BY score DESC, file, position LIMIT :most
"""


class _Vector(UserDefinedType[str]):
    """PostgreSQL's own type; to import SQLAlchemy's would load all that it knows of that system."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "tsvector"


class _PostgreSQL:
    """Its text search knows no BM25: what is rare among these files weighs more, as there.

    Source: PostgreSQL's manual, "Text Search Functions and Operators".
    """

    bound: Any = cast(bindparam("words", type_=Text()), _Vector())

    def row(self, words: list[str]) -> str:
        return " ".join(f"{word}:{min(place, LONGEST)}" for place, word in enumerate(words, 1))

    def search(self, within: Sequence[str], wanted: Sequence[Term], most: int) -> Executable:
        queries = {f"t{number}": self._query(term) for number, term in enumerate(wanted)}
        counts = ", ".join(COUNT.format(name=name) for name in queries)
        score = " + ".join(SCORE.format(name=name) for name in queries)
        return (
            text(FOUND.format(counts=counts, score=score))
            .bindparams(bindparam("files", expanding=True))
            .bindparams(files=list(within), most=most, words=" | ".join(queries.values()), **queries)
        )

    def _query(self, term: Term) -> str:
        return f"'{term.word}'{':*' if term.begins else ''}"


SQLITE, POSTGRESQL = _SQLite(), _PostgreSQL()


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=Text())


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=Integer())
