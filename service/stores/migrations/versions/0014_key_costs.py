"""What each key has cost on each day, kept by triggers; see service/stores/key_costs.py as it was then."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

COSTS = (
    "NEW.ending IS NOT NULL AND NEW.ending <> 'refused' AND NEW.kind <> 'report'"
    " AND NEW.key IS NOT NULL AND NEW.cost <> 0"
)
ADD = """INSERT INTO key_costs (key, day, cost) VALUES (NEW.key, NEW.day, NEW.cost)
ON CONFLICT (key, day) DO UPDATE SET cost = key_costs.cost + excluded.cost;"""
NEW = f"AFTER INSERT ON records FOR EACH ROW WHEN ({COSTS})"
SETTLED = f"AFTER UPDATE OF ending ON records FOR EACH ROW WHEN (OLD.ending IS NULL AND {COSTS})"
TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER add_new_cost {NEW} BEGIN {ADD} END",
        f"CREATE TRIGGER add_settled_cost {SETTLED} BEGIN {ADD} END",
    ),
    "postgresql": (
        f"CREATE FUNCTION add_cost() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {ADD} RETURN NULL; END$$",
        f"CREATE TRIGGER add_new_cost {NEW} EXECUTE FUNCTION add_cost()",
        f"CREATE TRIGGER add_settled_cost {SETTLED} EXECUTE FUNCTION add_cost()",
    ),
}


def upgrade() -> None:
    op.create_table(
        "key_costs",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", "day", name="pk_key_costs"),
    )
    op.execute(
        "INSERT INTO key_costs (key, day, cost)"
        f" SELECT NEW.key, NEW.day, sum(NEW.cost) FROM records AS NEW WHERE {COSTS} GROUP BY NEW.key, NEW.day"
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
