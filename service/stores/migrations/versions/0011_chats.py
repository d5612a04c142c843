"""Chats, and an index of their words."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "chats",
        sa.Column("number", number, autoincrement=False, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("starred", sa.Boolean, nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("leaf", sa.BigInteger),
        sa.Column("share", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_chats"),
    )
    op.create_index("ix_chats_id", "chats", ["user", "id"], unique=True)
    op.create_index("ix_chats_updated", "chats", ["user", "updated_at", "number"])
    op.create_table(
        "chat_messages",
        sa.Column("number", number, autoincrement=False, nullable=False),
        sa.Column("chat", sa.BigInteger, nullable=False),
        sa.Column("parent", sa.BigInteger),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("turn", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("finish", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("reasoning", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("sources", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_chat_messages"),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_chat_messages_running",
        "chat_messages",
        ["number"],
        sqlite_where=running,
        postgresql_where=running,
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE chat_words USING fts5("
            "words, detail=none, columnsize=0, tokenize='unicode61 remove_diacritics 0')"
        )
    else:
        op.execute("CREATE TABLE chat_words (rowid bigint PRIMARY KEY, words tsvector NOT NULL)")
        op.execute("CREATE INDEX ix_chat_words ON chat_words USING gin (words)")
