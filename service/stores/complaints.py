"""What clients saw go wrong: the last of it, for them and for the operator."""

import secrets
import time

from msgspec import Struct
from sqlalchemy import and_, bindparam, delete, or_, select

from service.stores.database import Database
from service.stores.ledger import storable
from service.stores.schema_complaints import complaints

MOST = 1_000
"""How many are kept, of everybody together: whoever complains without end costs no more than that."""
KEPT_SECONDS = 7 * 86_400.0


class Complaint(Struct):
    """What a user's client said at a time, UTC seconds since 1970: `error` is a class, `message` its text."""

    at: float
    user: str
    type: str | None
    error: str | None
    message: str | None


class Complaints:
    """The table of complaints."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert(complaints)
        newest = select(complaints.c.at).order_by(complaints.c.at.desc())
        too_many = newest.offset(MOST - 1).limit(1).scalar_subquery()
        self._prune = delete(complaints).where(
            or_(complaints.c.at < bindparam("before"), complaints.c.at < too_many)
        )

    def note(self, user: str, kind: str | None, error: str | None, message: str | None) -> None:
        """Queues a complaint, in whose place an old one goes; nobody waits for it."""
        now, said = time.time(), {"user": user, "type": kind, "error": error, "message": message}
        row = {name: storable(value) for name, value in said.items()}
        self._database.write(self._insert, {"id": secrets.token_urlsafe(16), "at": now, **row})
        self._database.write(self._prune, {"before": now - KEPT_SECONDS})

    async def last(self, limit: int, user: str | None) -> list[Complaint]:
        """Those of `user`, or of everybody (None), of the last seven days, the newest first."""
        recent = complaints.c.at >= time.time() - KEPT_SECONDS
        whose = recent if user is None else and_(recent, complaints.c.user == storable(user))
        newest = select(complaints).where(whose).order_by(complaints.c.at.desc()).limit(limit)
        return [
            Complaint(**{name: row[name] for name in Complaint.__struct_fields__})
            for row in await self._database.read(newest)
        ]
