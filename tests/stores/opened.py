from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from service.stores.database import Database
from service.tasks import Tasks


@asynccontextmanager
async def opened(file: Path, linger: float = 0.003) -> AsyncGenerator[Database, None]:
    """The database in `file`, as a service opens and closes it."""
    tasks = Tasks()
    database = Database(f"sqlite:///{file}", linger, tasks)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
        await tasks.close()
