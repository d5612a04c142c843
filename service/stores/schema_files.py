"""The tables of buckets and of the files in them; see service.stores.schema for what their types mean."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table, Text

from service.stores.schema import metadata

buckets = Table(  # a bucket is its user's: two users may have one of the same id
    "buckets",
    metadata,
    Column("user", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("used_at", Double, nullable=False),
)

Index("ix_buckets_used", buckets.c.used_at)

files = Table(  # what was uploaded; its bytes are blobs, named after the id
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("reason", Text),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration", Double),
    Column("pages", Integer),
    Column("characters", BigInteger),
    Column("purpose", Text),
    Column("words", Text),
    Column("source", Text),
)

Index("ix_files_name", files.c.user, files.c.bucket, files.c.name, unique=True)
Index("ix_files_created", files.c.user, files.c.created_at, files.c.id)

is_waiting = files.c.state == "waiting"
Index("ix_files_waiting", files.c.created_at, sqlite_where=is_waiting, postgresql_where=is_waiting)

is_generated = files.c.words.is_not(None)
Index(
    "ix_files_generated", files.c.user, files.c.name, sqlite_where=is_generated, postgresql_where=is_generated
)
