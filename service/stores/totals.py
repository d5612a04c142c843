"""What the records of a day add up to; the database keeps it, in triggers.

So the sums are right whoever writes a record, in the same transaction, and reading them takes no longer when
there are more. A record counts once, when it gets its ending; it may be removed later without changing a sum.
"""

from datetime import date, timedelta

from sqlalchemy import DDL, BigInteger, Column, ColumnElement, Date, Double, Table, Text, and_, event

from service.stores.schema import metadata

# A key in PostgreSQL's index is shorter than 2704 bytes: an odd name is cut, for it may not cost the row.
LONGEST_USER = 255
LONGEST_NAME = 200

NAMES = {
    "user": f"coalesce(substr(NEW.\"user\", 1, {LONGEST_USER}), '')",
    "model": f"coalesce(substr(coalesce(NEW.model, NEW.model_asked), 1, {LONGEST_NAME}), '')",
    "provider": f"coalesce(substr(coalesce(NEW.provider, NEW.provider_asked), 1, {LONGEST_NAME}), '')",
}
SCOPES = {"models": ("model", "provider"), "users": ("user",), "both": ("user", "model", "provider")}
"""The names of a sum by its scope; the others are empty. So there are few rows to add up for everybody."""
KEY = ("scope", "day", *NAMES)
ENDINGS = ("done", "stopped", "abandoned", "failed", "timeout", "interrupted")
TOKENS = ("prompt_tokens", "completion_tokens", "saved_tokens")

ANSWERED = (
    "NEW.corrects IS NULL AND NEW.first_token_at >= NEW.opened_at AND NEW.ended_at >= NEW.first_token_at"
)
FIRST_CORRECTION = """EXISTS (SELECT 1 FROM records WHERE id = NEW.corrects AND price = 'unpriced')
 AND NOT EXISTS (SELECT 1 FROM records WHERE corrects = NEW.corrects AND id <> NEW.id)"""


def _where(fact: str, what: str = "1") -> str:
    return f"CASE WHEN {fact} THEN {what} ELSE 0 END"


COUNTS = (
    {"requests": _where("NEW.corrects IS NULL")}
    | {name: f"coalesce(NEW.{name}, 0)" for name in TOKENS}
    | {
        "total_tokens": "coalesce(NEW.prompt_tokens, 0) + coalesce(NEW.completion_tokens, 0)",
        "cost": "coalesce(NEW.cost, 0)",
        "unpriced": f"CASE WHEN NEW.price = 'unpriced' THEN 1 WHEN {FIRST_CORRECTION} THEN -1 ELSE 0 END",
    }
    | {ending: _where(f"NEW.corrects IS NULL AND NEW.ending = '{ending}'") for ending in ENDINGS}
    | {
        "first_tokens": _where(ANSWERED),
        "spoken_tokens": _where(ANSWERED, "coalesce(NEW.completion_tokens, 0)"),
    }
)
"""Integers: corrections add their cost, and are no requests; `cost` is in billionths of a US dollar."""
SECONDS = {
    "waited": _where(ANSWERED, "NEW.first_token_at - NEW.opened_at"),
    "spoken": _where(ANSWERED, "NEW.ended_at - NEW.first_token_at"),
}
"""Of answers that had a first token: until it came, and from then on."""
SUMS = COUNTS | SECONDS

totals = Table(
    "totals",
    metadata,
    *(Column(name, Date if name == "day" else Text, primary_key=True) for name in KEY),
    *(Column(name, BigInteger, nullable=False) for name in COUNTS),
    *(Column(name, Double, nullable=False) for name in SECONDS),
)

COUNTED = "NEW.ending IS NOT NULL AND NEW.ending <> 'refused' AND NEW.kind <> 'report'"


def _add(scope: str) -> str:
    names = (value if name in SCOPES[scope] else "''" for name, value in NAMES.items())
    return f"""INSERT INTO totals (scope, day, "user", model, provider, {", ".join(SUMS)})
VALUES ('{scope}', NEW.day, {", ".join([*names, *SUMS.values()])})
ON CONFLICT (scope, day, "user", model, provider) DO UPDATE SET
{", ".join(f"{name} = totals.{name} + excluded.{name}" for name in SUMS)};"""


ADD = "\n".join(_add(scope) for scope in SCOPES)
NEW = f"AFTER INSERT ON records FOR EACH ROW WHEN ({COUNTED})"
SETTLED = f"AFTER UPDATE OF ending ON records FOR EACH ROW WHEN (OLD.ending IS NULL AND {COUNTED})"

TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER add_new {NEW} BEGIN {ADD} END",
        f"CREATE TRIGGER add_settled {SETTLED} BEGIN {ADD} END",
    ),
    "postgresql": (
        f"CREATE FUNCTION add_record() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {ADD} RETURN NULL; END$$",
        f"CREATE TRIGGER add_new {NEW} EXECUTE FUNCTION add_record()",
        f"CREATE TRIGGER add_settled {SETTLED} EXECUTE FUNCTION add_record()",
    ),
}
for dialect, statements in TRIGGERS.items():
    for statement in statements:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(metadata, "after_create", ddl.execute_if(dialect=dialect))


def since(days: int, by: str, user: str | None) -> ColumnElement[bool]:
    """Which rows make the sums of the last `days`, today included, of `user` or of everybody (None).

    `by` is what they will be grouped by: a column of `KEY`.
    """
    scope = "both" if user is not None else "users" if by == "user" else "models"
    # Each day by itself: so the index leads to one user's rows past those of all others.
    each = [date.today() - timedelta(days=ago) for ago in range(days)]
    rows = and_(totals.c.scope == scope, totals.c.day.in_(each))
    return rows if user is None else and_(rows, totals.c.user == user[:LONGEST_USER])
