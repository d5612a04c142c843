"""Buckets, and the files in them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "buckets",
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("used_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("user", "id", name="pk_buckets"),
    )
    op.create_index("ix_buckets_used", "buckets", ["used_at"])
    op.create_table(
        "files",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("duration", sa.Double),
        sa.Column("pages", sa.Integer),
        sa.Column("characters", sa.BigInteger),
        sa.Column("purpose", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_name", "files", ["user", "bucket", "name"], unique=True)
    op.create_index("ix_files_created", "files", ["user", "created_at", "id"])
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_files_waiting", "files", ["created_at"], sqlite_where=waiting, postgresql_where=waiting
    )
