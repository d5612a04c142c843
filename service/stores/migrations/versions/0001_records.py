"""The ledger's records."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("user", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("wire", sa.Text),
        sa.Column("provider_asked", sa.Text),
        sa.Column("model_asked", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("label", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("first_token_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("ending", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("saved_tokens", sa.BigInteger),
        sa.Column("usage_source", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_records"),
    )
    op.create_index("ix_records_day", "records", ["day", "opened_at", "id"])
    still_open = sa.text("ending IS NULL")
    op.create_index(
        "ix_records_open", "records", ["opened_at"], sqlite_where=still_open, postgresql_where=still_open
    )
