"""Shared chats."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("chat", sa.BigInteger),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("object", sa.LargeBinary),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
    )
    op.create_index("ix_shares_user", "shares", ["user", "chat"])
    ends = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_shares_expires", "shares", ["expires_at"], sqlite_where=ends, postgresql_where=ends)
