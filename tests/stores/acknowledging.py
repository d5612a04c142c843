"""A process to be killed: serves the database at argv[1] and prints each record's id once it is durable."""

import asyncio
import itertools
import sys

from service.stores.database import Database
from service.stores.ledger import Ledger, Record
from service.tasks import Tasks


async def acknowledge(ledger: Ledger, name: str) -> None:
    for number in itertools.count():
        record = Record(id=f"{name}-{number}")
        ledger.open(record)
        record.ending = "done"
        await ledger.settle(record)
        sys.stdout.write(f"{record.id}\n")
        sys.stdout.flush()


async def main() -> None:
    database = Database(sys.argv[1], 0.003, Tasks())
    await database.open()
    ledger = Ledger(database)
    ledger.open(Record(id="left open"))
    await asyncio.gather(*(acknowledge(ledger, f"reader{number}") for number in range(20)))


if __name__ == "__main__":
    asyncio.run(main())
