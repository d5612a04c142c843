from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from service.stores.database import Database
from service.tasks import Tasks


@asynccontextmanager
async def opened(
    where: Path | str, linger: float = 0.003, *, beside: bool = False
) -> AsyncGenerator[Database, None]:
    """The database in a file, or at a URL, as a service opens and closes it."""
    tasks = Tasks()
    url = f"sqlite:///{where}" if isinstance(where, Path) else where
    database = Database(url, linger, tasks)
    await database.open(beside=beside)
    try:
        yield database
    finally:
        await database.close()
        await tasks.close()
