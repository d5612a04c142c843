"""Turns that can be read again, and the journal of those that run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("digest", sa.Text),
        sa.Column("ended_at", sa.Double),
        sa.Column("ending", sa.Text),
        sa.Column("events", sa.LargeBinary),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
    )
    op.create_index("ix_turns_key", "turns", ["owner", "idempotency_key"])
    op.create_index("ix_turns_ended", "turns", ["ended_at"])
    op.create_table(
        "journal",
        sa.Column("turn", sa.Text, nullable=False),
        sa.Column("first", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("events", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("turn", "first", name="pk_journal"),
    )
