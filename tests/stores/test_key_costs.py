"""What each key has cost: added up as its records are settled, read without reading these."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from service.stores import migrations
from service.stores.blobs import Directory
from service.stores.database import Database
from service.stores.key_costs import key_costs
from service.stores.ledger import Ledger, Record
from service.stores.people import People, Row
from service.stores.retention import REMOVE
from service.stores.schema import keys, records
from service.stores.spending import spent
from tests.stores.opened import opened
from tests.stores.test_migrations import engine

__all__ = ["engine"]

TODAY = date.today()
FAR = date(2999, 1, 1)


def answered(id: str, cost: int | None = 5, **others: Any) -> Record:
    return Record(**{"id": id, "key": "ada-key", "cost": cost, "ending": "done"} | others)


async def costs(database: Database) -> dict[str, int]:
    return {row["key"]: row["cost"] for row in await database.read(select(key_costs))}


async def test_every_record_of_a_key_counts_once_when_it_ends(database: Database, ledger: Ledger) -> None:
    ledger.open(answered("turn", ending=None))
    await ledger.settle(answered("turn"))
    await ledger.settle(answered("turn", 1_000))
    await ledger.settle(answered("spoken", 20, kind="speech"))
    await ledger.settle(answered("of another", 300, key="bob-key"))
    for nothing in (
        answered("nobody's", key=None),
        answered("free", 0),
        answered("unpriced", None),
        answered("refused", ending="refused"),
        answered("reported", kind="report"),
    ):
        await ledger.settle(nothing)
    ledger.open(answered("running", ending=None))
    await ledger.settle(answered("correction", -2, kind="correction", corrects="turn"))
    assert await costs(database) == {"ada-key": 23, "bob-key": 300}
    assert (await spent(database, "key", "ada-key", TODAY)).month == 23


async def test_what_is_removed_was_spent_nonetheless(database: Database, ledger: Ledger) -> None:
    await ledger.settle(answered("turn"))
    await database.write(REMOVE, {"first": FAR})
    assert await database.read(select(records)) == []
    assert (await spent(database, "key", "ada-key", TODAY)).day == 5


async def test_what_is_read_does_not_grow_with_the_ledger(database: Database, ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.settle(answered(f"{number}")) for number in range(2_000)))
    assert len(await database.read(select(key_costs))) == 1
    assert (await spent(database, "key", "ada-key", TODAY)).day == 2_000 * 5


async def test_the_costs_of_who_is_forgotten_are_nobodys(database: Database, ledger: Ledger) -> None:
    for user in ("ada", "bob"):
        row: Row = dict.fromkeys(("hash", "role", "name", "limits", "budget"), "")
        row |= {"id": f"{user}-key", "user": user, "created_at": 0.0, "changes": 1}
        await database.write(insert(keys), row)
        await ledger.settle(answered(user, key=f"{user}-key", user=user))
    await People(database, Directory(Path("nowhere"))).forget("ada")
    assert await costs(database) == {"bob-key": 5}


async def test_what_was_there_before_is_added_up(url: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(migrations.migrate, "0013")
        row = {"kind": "turn", "day": TODAY, "attempts": 1, "opened_at": 0.0, "key": "ada-key", "cost": 5}
        rows = [{**row, "id": "1", "ending": "done"}, {**row, "id": "2", "ending": "failed"}]
        await connection.execute(insert(records), [*rows, {**row, "id": "3", "ending": None}])
    async with opened(url) as database:
        assert await costs(database) == {"ada-key": 10}
        (left,) = await Ledger(database).unsettled()
        left.ending = "interrupted"
        await Ledger(database).settle(left)
        assert await costs(database) == {"ada-key": 15}
