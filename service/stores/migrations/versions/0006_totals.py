"""What the records of a day add up to, kept by triggers; see service/stores/totals.py as it was then."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SCOPES = {"models": ("model", "provider"), "users": ("user",), "both": ("user", "model", "provider")}
NAMES = {
    "user": "coalesce(substr(NEW.\"user\", 1, 255), '')",
    "model": "coalesce(substr(coalesce(NEW.model, NEW.model_asked), 1, 200), '')",
    "provider": "coalesce(substr(coalesce(NEW.provider, NEW.provider_asked), 1, 200), '')",
}
ANSWERED = (
    "NEW.corrects IS NULL AND NEW.first_token_at >= NEW.opened_at AND NEW.ended_at >= NEW.first_token_at"
)
FIRST_CORRECTION = """EXISTS (SELECT 1 FROM records WHERE id = NEW.corrects AND price = 'unpriced')
 AND NOT EXISTS (SELECT 1 FROM records WHERE corrects = NEW.corrects AND id <> NEW.id)"""
COUNTS = {
    "requests": "CASE WHEN NEW.corrects IS NULL THEN 1 ELSE 0 END",
    "prompt_tokens": "coalesce(NEW.prompt_tokens, 0)",
    "completion_tokens": "coalesce(NEW.completion_tokens, 0)",
    "saved_tokens": "coalesce(NEW.saved_tokens, 0)",
    "total_tokens": "coalesce(NEW.prompt_tokens, 0) + coalesce(NEW.completion_tokens, 0)",
    "cost": "coalesce(NEW.cost, 0)",
    "unpriced": f"CASE WHEN NEW.price = 'unpriced' THEN 1 WHEN {FIRST_CORRECTION} THEN -1 ELSE 0 END",
    "done": "CASE WHEN NEW.corrects IS NULL AND NEW.ending = 'done' THEN 1 ELSE 0 END",
    "stopped": "CASE WHEN NEW.corrects IS NULL AND NEW.ending = 'stopped' THEN 1 ELSE 0 END",
    "abandoned": "CASE WHEN NEW.corrects IS NULL AND NEW.ending = 'abandoned' THEN 1 ELSE 0 END",
    "failed": "CASE WHEN NEW.corrects IS NULL AND NEW.ending = 'failed' THEN 1 ELSE 0 END",
    "timeout": "CASE WHEN NEW.corrects IS NULL AND NEW.ending = 'timeout' THEN 1 ELSE 0 END",
    "interrupted": "CASE WHEN NEW.corrects IS NULL AND NEW.ending = 'interrupted' THEN 1 ELSE 0 END",
    "first_tokens": f"CASE WHEN {ANSWERED} THEN 1 ELSE 0 END",
    "spoken_tokens": f"CASE WHEN {ANSWERED} THEN coalesce(NEW.completion_tokens, 0) ELSE 0 END",
}
SECONDS = {
    "waited": f"CASE WHEN {ANSWERED} THEN NEW.first_token_at - NEW.opened_at ELSE 0 END",
    "spoken": f"CASE WHEN {ANSWERED} THEN NEW.ended_at - NEW.first_token_at ELSE 0 END",
}
SUMS = COUNTS | SECONDS
COUNTED = "NEW.ending IS NOT NULL AND NEW.ending <> 'refused' AND NEW.kind <> 'report'"
INTO = f"""INSERT INTO totals (scope, day, "user", model, provider, {", ".join(SUMS)})"""


def named(scope: str) -> list[str]:
    return [value if name in SCOPES[scope] else "''" for name, value in NAMES.items()]


def add(scope: str) -> str:
    return f"""{INTO}
VALUES ('{scope}', NEW.day, {", ".join([*named(scope), *SUMS.values()])})
ON CONFLICT (scope, day, "user", model, provider) DO UPDATE SET
{", ".join(f"{name} = totals.{name} + excluded.{name}" for name in SUMS)};"""


ADD = "\n".join(add(scope) for scope in SCOPES)
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


def upgrade() -> None:
    names = ("scope", "day", "user", "model", "provider")
    op.create_table(
        "totals",
        *(sa.Column(name, sa.Date if name == "day" else sa.Text, nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Double, nullable=False) for name in SECONDS),
        sa.PrimaryKeyConstraint(*names, name="pk_totals"),
    )
    sums = ", ".join(f"sum({value})" for value in SUMS.values())
    for scope in SCOPES:
        op.execute(
            f"{INTO} SELECT '{scope}', NEW.day, {', '.join(named(scope))}, {sums} FROM records AS NEW"
            f" WHERE {COUNTED} GROUP BY 2, 3, 4, 5"
        )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)
