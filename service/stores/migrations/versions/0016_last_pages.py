"""On which page a passage ends, where that is not the one on which it begins."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("passages", sa.Column("last_page", sa.Integer))
