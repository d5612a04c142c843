"""The tables of chats, and of their words; see service.stores.schema for what their types mean.

The number of a message is made of its chat's number and of its place in the chat, so that the messages of a
chat lie together, and whoever has found a message in the index of words knows the chat. Place 0 is the chat's
title. The index is as in service.stores.schema_passages, but smaller: it need not know where a word stands.
"""

from sqlalchemy import DDL, BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table, Text, event

from service.stores.schema import metadata

PLACES = 20
"""Bits of a message's number that are its place in the chat."""

Number = BigInteger().with_variant(Integer, "sqlite")

chats = Table(
    "chats",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("user", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("starred", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("settings", Text, nullable=False),
    Column("leaf", BigInteger),
    Column("share", Text),
)

Index("ix_chats_id", chats.c.user, chats.c.id, unique=True)
Index("ix_chats_updated", chats.c.user, chats.c.updated_at, chats.c.number)

messages = Table(
    "chat_messages",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=False),
    Column("chat", BigInteger, nullable=False),
    Column("parent", BigInteger),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("turn", Text),
    Column("model", Text),
    Column("provider", Text),
    Column("finish", Text),
    Column("error", Text),
    Column("reasoning", Text),
    Column("usage", Text),
    Column("sources", Text),
)

is_running = messages.c.state == "running"
Index("ix_chat_messages_running", messages.c.number, sqlite_where=is_running, postgresql_where=is_running)

chat_words = Table(  # by the number of the message; not in the metadata, for SQLAlchemy cannot make it
    "chat_words", MetaData(), Column("rowid", BigInteger, primary_key=True), Column("words", Text)
)

CREATE = {
    "sqlite": [
        "CREATE VIRTUAL TABLE chat_words USING fts5("
        "words, detail=none, columnsize=0, tokenize='unicode61 remove_diacritics 0')"
    ],
    "postgresql": [
        "CREATE TABLE chat_words (rowid bigint PRIMARY KEY, words tsvector NOT NULL)",
        "CREATE INDEX ix_chat_words ON chat_words USING gin (words)",
    ],
}


def _made(statement: str, dialect: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(messages, "after_create", ddl.execute_if(dialect=dialect))


for dialect, statements in CREATE.items():
    for statement in statements:
        _made(statement, dialect)
event.listen(messages, "before_drop", DDL("DROP TABLE IF EXISTS chat_words"))  # type: ignore[no-untyped-call]
