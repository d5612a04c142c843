"""What is kept of one person: handed out whole, forgotten whole; nobody else is touched."""

import base64
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec
from sqlalchemy import select

from service.events import Content, Finish, Finished
from service.stores.blobs import Directory
from service.stores.buckets import Buckets, File, new_id
from service.stores.database import Database
from service.stores.journal import Entry, Journal
from service.stores.ledger import Ledger, Record
from service.stores.people import People
from service.stores.schema import journal, records, turns
from service.stores.shares import Shares
from service.stores.sums import Stats
from tests.upstream import until

ENDED = [Content("Hello "), Content("東京"), Finished(Finish("stop"))]


def people(database: Database) -> People:
    """Of somebody who has uploaded nothing."""
    return People(database, Directory(Path("nowhere")))


async def lived(database: Database) -> None:
    """Two people have asked twice each, and one answer runs for each of them."""
    ledger, log = Ledger(database), Journal(database)
    for user in ("ann", "bob"):
        for id in (f"{user}-1", f"{user}-2"):
            record = Record(id=id, user=user, key=f"{user}s", request_id="r", model="m", provider="p")
            record.prompt_tokens, record.cost, record.price = 3, 7, "table"
            entry = Entry(id=id, owner=user, epoch="e", opened_at=time.time(), request=b'{"prompt":"Hi"}')
            ledger.open(record)
            log.open(entry)
            log.append(id, 0, ENDED[:1])
            if id.endswith("1"):
                record.ending, entry.ending, entry.ended_at = "done", "done", time.time()
                await ledger.settle(record)
                await log.close(entry, ENDED)
    await until(lambda: not database.waiting)


async def test_what_a_person_shares_is_handed_out_and_forgotten(database: Database) -> None:
    shares = Shares(database, quota=100)
    for user in ("ann", "bob"):
        await shares.post(user, f"{user}s", 5, b'{"title":"Sea"}', None)
    (share,) = await exported(database, "ann")
    assert (share["type"], share["id"], share["object"]) == ("share", "anns", {"title": "Sea"})
    await people(database).forget("ann")
    assert await exported(database, "ann") == []
    assert (await shares.find("bobs")).user == "bob"


async def exported(database: Database, user: str) -> list[dict[str, object]]:
    return [msgspec.json.decode(msgspec.json.encode(row)) async for row in people(database).export(user)]


async def stats(database: Database) -> Stats:
    return await Ledger(database).stats(1, None)


async def test_everything_of_a_person_is_handed_out(database: Database) -> None:
    await lived(database)
    ended, running, *found = await exported(database, "ann")
    assert (ended["type"], ended["id"], ended["request"]) == ("turn", "ann-1", {"prompt": "Hi"})
    assert ended["events"] == msgspec.to_builtins(ENDED)
    assert (running["ending"], running["events"]) == (None, msgspec.to_builtins(ENDED[:1]))
    assert [(row["type"], row["id"], row["cost"]) for row in found] == [
        ("record", "ann-1", 7),
        ("record", "ann-2", 7),
    ]
    assert "bob" not in str(ended) + str(running) + str(found)
    assert await exported(database, "nobody") == []


async def test_a_person_is_forgotten_and_the_books_add_up(database: Database) -> None:
    await lived(database)
    await Ledger(database).settle(
        Record(id="anonymous", model="m", provider="p", prompt_tokens=1, ending="done")
    )
    before = await stats(database)
    for _ in range(2):
        await people(database).forget("ann")
        assert await exported(database, "ann") == []
        after = await stats(database)
        assert (after.totals, after.days, after.models) == (before.totals, before.days, before.models)
        assert {name: sums.prompt_tokens for name, sums in after.users.items()} == {"unknown": 4, "bob": 3}
    assert len(await exported(database, "bob")) == 4
    rows = await database.read(select(records).where(records.c.id.like("ann-%")))
    assert {(row["user"], row["key"], row["request_id"]) for row in rows} == {(None, None, None)}
    assert {row["id"] for row in await database.read(select(turns.c.id))} == {"bob-1", "bob-2"}
    assert {row["turn"] for row in await database.read(select(journal.c.turn))} == {"bob-2"}


async def test_what_ran_meanwhile_ends_as_nobodys(database: Database) -> None:
    await lived(database)
    await people(database).forget("ann")
    await Ledger(database).settle(Record(id="ann-2", user="ann", ending="done", prompt_tokens=5))
    assert set((await stats(database)).users) == {"unknown", "bob"}


async def test_the_sums_of_records_that_are_gone_are_forgotten_too(database: Database) -> None:
    await lived(database)
    await database.write(records.delete(), {})
    await people(database).forget("ann")
    assert set((await stats(database)).users) == {"unknown", "bob"}


# Files


async def uploaded(database: Database, blobs: Directory, user: str) -> File:
    """A file that has been read."""
    file = File(
        id=new_id(),
        user=user,
        bucket="b",
        name="a.txt",
        kind="document",
        media_type="text/plain",
        bytes=3,
        sha256="",
    )
    for key, data in zip(file.blobs, (b"abc", b"text", b"small"), strict=True):
        await blobs.write(key, once(data))
    await Buckets(database).add([file])
    return file


async def once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


async def test_files_are_handed_out_with_their_bytes(database: Database, tmp_path: Path) -> None:
    blobs = Directory(tmp_path)
    await blobs.open()
    file = await uploaded(database, blobs, "ann")
    await uploaded(database, blobs, "bob")
    told, piece = [row async for row in People(database, blobs).export("ann")]
    assert (told["type"], told["id"], told["name"], told["bytes"]) == ("file", file.id, "a.txt", 3)
    assert (piece["type"], piece["file"]) == ("bytes", file.id)
    assert base64.b64decode(piece["base64"]) == b"abc"


async def test_files_are_forgotten_with_everything_made_of_them(database: Database, tmp_path: Path) -> None:
    blobs = Directory(tmp_path)
    await blobs.open()
    await uploaded(database, blobs, "ann")
    other = await uploaded(database, blobs, "bob")
    assert (await People(database, blobs).forget("ann")).files == 1
    assert [row async for row in People(database, blobs).export("ann")] == []
    async with aclosing(blobs.keys()) as pages:
        assert sorted([key async for page in pages for key in page]) == sorted(other.blobs)
    assert [bucket.id for bucket in await Buckets(database).of("bob")] == ["b"]
    assert await Buckets(database).of("ann") == []
