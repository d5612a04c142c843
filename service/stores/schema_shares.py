"""The table of shared chats; see service.stores.schema for what its types mean."""

import time
from typing import Any

from sqlalchemy import BigInteger, Column, Double, Index, LargeBinary, Table, Text, bindparam, case, update
from sqlalchemy.sql.dml import UpdateBase

from service.stores.schema import metadata

shares = Table(  # one that has ended keeps its id for its user for a while: readers know it, too
    "shares",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("chat", BigInteger),
    Column("updated", BigInteger, nullable=False),
    Column("object", LargeBinary),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
)

Index("ix_shares_user", shares.c.user, shares.c.chat)

ends = shares.c.expires_at.is_not(None)
Index("ix_shares_expires", shares.c.expires_at, sqlite_where=ends, postgresql_where=ends)

_now = bindparam("now", type_=BigInteger())
_touch = (
    update(shares)
    .where(
        shares.c.user == bindparam("whose", type_=Text()),
        shares.c.chat == bindparam("which", type_=BigInteger()),
    )
    .values(updated=case((shares.c.updated < _now, _now), else_=shares.c.updated + 1))
)


def touched(user: str, chat: int) -> tuple[UpdateBase, dict[str, Any]]:
    """What is to be written with a change that whoever reads a chat's share would see."""
    return _touch, {"whose": user, "which": chat, "now": int(time.time() * 1000)}
