"""How long what was spoken, or heard, takes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("records", sa.Column("seconds", sa.Double))
