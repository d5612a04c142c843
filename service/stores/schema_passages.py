"""The tables of passages, and of their words; see service.stores.schema for what their types mean.

Each system has its own index of words: a virtual table of FTS5, or a column of PostgreSQL's text search. Both
have the same two columns, so that one statement fills either.
"""

from sqlalchemy import DDL, BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, event

from service.stores.schema import metadata

passages = Table(
    "passages",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("file", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("page", Integer),
    Column("title", Text),
    Column("start", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("last_page", Integer),
)

Index("ix_passages_file", passages.c.file, passages.c.position, unique=True)

passage_words = Table(  # by the id of the passage; not in the metadata, for SQLAlchemy cannot make it
    "passage_words", MetaData(), Column("rowid", BigInteger, primary_key=True), Column("words", Text)
)

passage_vectors = (
    Table(  # by the id of the passage: what it means to a model, as service.stores.vectors packs it
        "passage_vectors",
        metadata,
        Column("passage", BigInteger, primary_key=True, autoincrement=False),
        Column("model", Text, nullable=False),
        Column("signs", LargeBinary, nullable=False),
        Column("vector", LargeBinary, nullable=False),
    )
)

CREATE = {
    "sqlite": [
        "CREATE VIRTUAL TABLE passage_words USING fts5(words, tokenize='unicode61 remove_diacritics 0')"
    ],
    "postgresql": [
        "CREATE TABLE passage_words (rowid bigint PRIMARY KEY, words tsvector NOT NULL)",
        "CREATE INDEX ix_passage_words ON passage_words USING gin (words)",
    ],
}


def _made(statement: str, dialect: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(passages, "after_create", ddl.execute_if(dialect=dialect))


for dialect, statements in CREATE.items():
    for statement in statements:
        _made(statement, dialect)
event.listen(passages, "before_drop", DDL("DROP TABLE IF EXISTS passage_words"))  # type: ignore[no-untyped-call]
