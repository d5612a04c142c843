"""What each key has cost on each day; the database keeps it, in triggers, as it keeps the totals.

A budget is held against it: the first question of a key reads a month in 31 rows, not in all its records.
"""

from sqlalchemy import DDL, BigInteger, Column, Date, Table, Text, event

from service.stores.schema import metadata
from service.stores.totals import COUNTED

key_costs = Table(
    "key_costs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("cost", BigInteger, nullable=False),  # in billionths of a US dollar
)

COSTS = f"{COUNTED} AND NEW.key IS NOT NULL AND NEW.cost <> 0"
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
for dialect, statements in TRIGGERS.items():
    for statement in statements:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(metadata, "after_create", ddl.execute_if(dialect=dialect))
