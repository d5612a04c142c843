"""How long records and chats are kept: old ones are removed a page at a time; records stay in the sums."""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import date, timedelta

from sqlalchemy import bindparam, delete, select

from service.errors import NotFound, Unavailable
from service.setting_types import DAY
from service.stores.chats import Chats
from service.stores.database import PAGE, Database
from service.stores.schema import records

log = logging.getLogger(__name__)

SHORTEST = 32
"""Days, so that the bill of a month can be held against its records."""
PAUSE_SECONDS = 0.05
ROUND_SECONDS = 3_600.0
START_SECONDS = 20.0
"""A service that has just begun has better things to do; nobody sees what is left of a chat."""

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


async def remove_old_chats(chats: Chats, keep: int) -> None:
    """Removes chats that nobody has used for `keep` days, unless they are starred. Raises `Unavailable`."""
    before = time.time() - keep * DAY
    while old := await chats.old(before):
        for user, id in old:
            with suppress(NotFound):  # its owner has removed it, or used it again
                await chats.remove(user, id, before)
            await asyncio.sleep(PAUSE_SECONDS)


async def retain_chats(chats: Chats, keep: int) -> None:
    """Removes old chats every hour, and what a crash has left of some; with 0 none is old."""
    await asyncio.sleep(START_SECONDS)
    while True:
        with suppress(Unavailable):
            await chats.sweep()
            if keep:
                await remove_old_chats(chats, keep)
        await asyncio.sleep(ROUND_SECONDS)
