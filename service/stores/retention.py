"""How long records are kept: old ones are removed a page at a time, and stay in the sums."""

import asyncio
import logging
from contextlib import suppress
from datetime import date, timedelta

from sqlalchemy import bindparam, delete, select

from service.errors import Unavailable
from service.stores.database import PAGE, Database
from service.stores.schema import records

log = logging.getLogger(__name__)

SHORTEST = 32
"""Days; the budgets of a month are counted from their records."""
PAUSE_SECONDS = 0.05
ROUND_SECONDS = 3_600.0

OLD = (records.c.day < bindparam("first"), records.c.ending.is_not(None))
PAGE_OF_OLD = select(records.c.id).where(*OLD).order_by(records.c.day).limit(PAGE)
REMOVE = delete(records).where(records.c.id.in_(PAGE_OF_OLD))


async def remove_old(database: Database, keep: int) -> None:
    """Removes the records of days before the last `keep`. Raises `Unavailable`."""
    first = date.today() - timedelta(days=max(keep, SHORTEST))
    while await database.read(select(records.c.id).where(*OLD).limit(1).params(first=first)):
        await database.write(REMOVE, {"first": first})
        await asyncio.sleep(PAUSE_SECONDS)  # the ends of turns come first


async def retain(database: Database, keep: int) -> None:
    """Removes old records every hour from now on; with 0 none is ever old."""
    while keep:
        with suppress(Unavailable):  # while nothing can be written, nothing is removed
            await remove_old(database, keep)
        await asyncio.sleep(ROUND_SECONDS)
