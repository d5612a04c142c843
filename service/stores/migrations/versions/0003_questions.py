"""What a turn was asked, for those who go on with it; and what each provider had a part in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("turns", sa.Column("request", sa.LargeBinary))
    op.add_column("records", sa.Column("legs", sa.Text))
