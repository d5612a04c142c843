"""What a record cost, by which prices, with whose key; corrections; many refusals in one row."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("records", sa.Column("key", sa.Text))
    op.add_column("records", sa.Column("cost", sa.BigInteger))
    op.add_column("records", sa.Column("price", sa.Text))
    op.add_column("records", sa.Column("cache_write_tokens", sa.BigInteger))
    op.add_column("records", sa.Column("characters", sa.Integer))
    op.add_column("records", sa.Column("bytes", sa.BigInteger))
    op.add_column("records", sa.Column("corrects", sa.Text))
    op.add_column("records", sa.Column("times", sa.Integer))
    is_correction = sa.text("corrects IS NOT NULL")
    op.create_index(
        "ix_records_corrects",
        "records",
        ["corrects"],
        sqlite_where=is_correction,
        postgresql_where=is_correction,
    )
