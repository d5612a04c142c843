"""The tables as the newest migration leaves them, in types that SQLite and PostgreSQL share.

Times are UTC seconds since 1970, as `time.time()` gives them. A record's `day` is the server's local date,
fixed when it is opened: a day that is over keeps its rows, whatever clock and time zone do later.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

REVISION = "0016"

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

records = Table(
    "records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("user", Text),
    Column("request_id", Text),
    Column("wire", Text),
    Column("provider_asked", Text),
    Column("model_asked", Text),
    Column("provider", Text),
    Column("model", Text),
    Column("label", Text),
    Column("attempts", Integer, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("first_token_at", Double),
    Column("ended_at", Double),
    Column("ending", Text),
    Column("error", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("saved_tokens", BigInteger),
    Column("usage_source", Text),
    Column("legs", Text),
    Column("key", Text),
    Column("cost", BigInteger),
    Column("price", Text),
    Column("cache_write_tokens", BigInteger),
    Column("characters", Integer),
    Column("bytes", BigInteger),
    Column("corrects", Text),
    Column("times", Integer),
    Column("seconds", Double),
)

Index("ix_records_day", records.c.day, records.c.opened_at, records.c.id)

is_correction = records.c.corrects.is_not(None)
Index("ix_records_corrects", records.c.corrects, sqlite_where=is_correction, postgresql_where=is_correction)

still_open = records.c.ending.is_(None)
Index("ix_records_open", records.c.opened_at, sqlite_where=still_open, postgresql_where=still_open)

turns = Table(  # what is kept to be read again; it expires
    "turns",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text),
    Column("epoch", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("idempotency_key", Text),
    Column("digest", Text),
    Column("ended_at", Double),
    Column("ending", Text),
    Column("events", LargeBinary),
    Column("request", LargeBinary),
)

Index("ix_turns_key", turns.c.owner, turns.c.idempotency_key)
Index("ix_turns_ended", turns.c.ended_at)

journal = Table(  # pieces of running turns' logs, from their first event on
    "journal",
    metadata,
    Column("turn", Text, primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("events", LargeBinary, nullable=False),
)

keys = Table(  # of whoever may use the service; a row is never removed by itself
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("models", Text),
    Column("providers", Text),
    Column("limits", Text, nullable=False),
    Column("budget", Text, nullable=False),
    Column("changes", Integer, nullable=False),
)

version = Table(  # Alembic's own, as Alembic makes it
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
