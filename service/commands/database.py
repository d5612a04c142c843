"""The database as a command opens it: the service may be running on it."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings
from service.tasks import Tasks

if TYPE_CHECKING:  # loaded for the commands that need it
    from service.stores.database import Database


@asynccontextmanager
async def beside(settings: Settings) -> AsyncGenerator["Database", None]:
    """The database, for a command: the service may be running on it."""
    from service.stores.database import Database

    tasks = Tasks()
    database = Database(settings.database_url, 0, tasks)
    await database.open(beside=True)
    try:
        yield database
    finally:
        await database.close()
        await tasks.close()
        _give_back(settings.state)


def _give_back(state: Path) -> None:
    """What root has made the service could not read: it belongs to whom the directory belongs to."""
    if os.geteuid() == 0 and state.exists() and (owner := state.stat()).st_uid != 0:
        for file in state.iterdir():
            if file.lstat().st_uid == 0:
                os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=False)
