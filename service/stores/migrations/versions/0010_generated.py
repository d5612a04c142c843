"""Generated media among the files."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("files", sa.Column("words", sa.Text))
    op.add_column("files", sa.Column("source", sa.Text))
    generated = sa.text("words IS NOT NULL")
    op.create_index(
        "ix_files_generated",
        "files",
        ["user", "name"],
        sqlite_where=generated,
        postgresql_where=generated,
    )
