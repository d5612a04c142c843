"""Buckets: whose they are decides, and what was added is there."""

import asyncio
import time

import pytest

from service.errors import NotFound
from service.stores.buckets import Buckets, File, new_id
from service.stores.database import Database


@pytest.fixture
def buckets(database: Database) -> Buckets:
    return Buckets(database)


def file(name: str = "notes.txt", user: str = "ann", bucket: str = "b", **other: object) -> File:
    """What it says of itself is its name, unless there is another sha256."""
    said: dict[str, object] = {"kind": "document", "media_type": "text/plain", "bytes": 3, "sha256": name}
    return File(id=new_id(), user=user, bucket=bucket, name=name, **(said | other))  # type: ignore[arg-type]


def names(files: list[File]) -> list[str]:
    return [each.name for each in files]


async def test_what_was_added_is_there(buckets: Buckets) -> None:
    added = file(state="waiting", created_at=12.5, purpose="vision", width=4, duration=1.5)
    assert await buckets.add([added]) == [added]
    assert await buckets.bucket("ann", "b") == [added]
    assert await buckets.named("ann", "b", "notes.txt") == added
    assert await buckets.find("ann", added.id) == added
    assert await buckets.add([]) == []


async def test_a_second_upload_adds(buckets: Buckets) -> None:
    await buckets.add([file("a.txt", created_at=1), file("b.txt", created_at=2)])
    await buckets.add([file("c.txt", created_at=3)])
    assert names(await buckets.bucket("ann", "b")) == ["a.txt", "b.txt", "c.txt"]


async def test_a_name_that_is_taken_gets_a_number(buckets: Buckets) -> None:
    first, second, third = [file(sha256=content) for content in ("1", "2", "3")]
    assert names(await buckets.add([first, second])) == ["notes.txt", "notes-2.txt"]
    assert names(await buckets.add([third])) == ["notes-3.txt"]
    assert len(await buckets.bucket("ann", "b")) == 3


async def test_the_same_file_once_more_is_the_one_that_is_there(buckets: Buckets) -> None:
    first, second = file(sha256="1"), file(sha256="2")
    await buckets.add([first, second])
    assert await buckets.add([file(sha256="2"), file(sha256="1"), file(sha256="1")]) == [second, first, first]
    twice = [file("x.txt"), file("x.txt")]
    assert await buckets.add(twice) == [twice[0], twice[0]]
    assert len(await buckets.bucket("ann", "b")) == 3


async def test_many_at_once_have_names_of_their_own(buckets: Buckets) -> None:
    added = await asyncio.gather(*(buckets.add([file(sha256=str(number))]) for number in range(20)))
    assert len({each.name for (each,) in added}) == 20
    assert len(await buckets.bucket("ann", "b")) == 20


async def test_the_same_id_of_another_is_another_bucket(buckets: Buckets) -> None:
    hers, his = file("hers.txt"), file("his.txt", "bob")
    await buckets.add([hers])
    for ask in (
        buckets.bucket("bob", "b"),
        buckets.named("bob", "b", "hers.txt"),
        buckets.find("bob", hers.id),
        buckets.remove("bob", "b"),
        buckets.remove_file("bob", hers.id),
    ):
        with pytest.raises(NotFound):
            await ask
    await buckets.add([his])
    assert await buckets.bucket("ann", "b") == [hers]
    assert await buckets.remove("bob", "b") == [his]
    assert await buckets.bucket("ann", "b") == [hers]
    assert await buckets.of("bob") == []


async def test_a_bucket_goes_with_all_its_files_and_can_be_made_anew(buckets: Buckets) -> None:
    both = await buckets.add([file("a.txt"), file("b.txt")])
    assert await buckets.remove("ann", "b") == both
    for _ in range(2):
        with pytest.raises(NotFound):
            await buckets.remove("ann", "b")
    again = await buckets.add([file("a.txt")])
    assert await buckets.bucket("ann", "b") == again


async def test_a_bucket_goes_with_its_last_file(buckets: Buckets) -> None:
    a, b = await buckets.add([file("a.txt"), file("b.txt")])
    assert await buckets.remove_file("ann", a.id) == a
    assert [bucket.files for bucket in await buckets.of("ann")] == [1]
    await buckets.remove_file("ann", b.id)
    assert await buckets.of("ann") == []
    with pytest.raises(NotFound):
        await buckets.remove_file("ann", b.id)


async def test_what_is_learnt_is_kept_and_what_is_gone_stays_gone(buckets: Buckets) -> None:
    (added,) = await buckets.add([file(state="waiting", created_at=1)])
    other = await buckets.add([file("other.txt", "bob", state="waiting", created_at=2)])
    assert await buckets.waiting() == [added, *other]
    added.state, added.pages, added.characters = "ready", 3, 5_000_000_000
    await buckets.settle(added)
    assert await buckets.find("ann", added.id) == added
    assert await buckets.waiting() == other
    await buckets.remove("ann", "b")
    await buckets.settle(added)
    with pytest.raises(NotFound):
        await buckets.find("ann", added.id)


async def test_a_users_buckets_with_what_is_in_them(buckets: Buckets) -> None:
    before = time.time()
    await buckets.add([file("a.txt", bytes=2**40), file("b.txt", bytes=1)])
    await buckets.add([file("c.txt", bucket="c")])
    await buckets.use("ann", "b")
    listed = await buckets.of("ann")
    assert [(bucket.id, bucket.files, bucket.bytes) for bucket in listed] == [
        ("b", 2, 2**40 + 1),
        ("c", 1, 3),
    ]
    assert all(before <= bucket.created_at <= bucket.used_at for bucket in listed)
    assert await buckets.used() == {"ann": 2**40 + 4}


async def test_files_are_listed_in_pages(buckets: Buckets) -> None:
    for number in range(5):
        purpose = "vision" if number % 2 else "batch"
        await buckets.add([file(f"{number}.txt", bucket=str(number), created_at=number, purpose=purpose)])
    await buckets.add([file("other.txt", "bob")])
    newest = await buckets.listed("ann", None, None, 2, "desc")
    assert names(newest) == ["4.txt", "3.txt"]
    assert names(await buckets.listed("ann", None, newest[-1], 9, "desc")) == ["2.txt", "1.txt", "0.txt"]
    assert names(await buckets.listed("ann", None, newest[-1], 9, "asc")) == ["4.txt"]
    assert names(await buckets.listed("ann", "vision", None, 9, "asc")) == ["1.txt", "3.txt"]


async def test_files_of_the_same_moment_are_all_listed(buckets: Buckets) -> None:
    await buckets.add([file(f"{number}.txt", created_at=1.0) for number in range(5)])
    seen: list[File] = []
    while page := await buckets.listed("ann", None, seen[-1] if seen else None, 2, "desc"):
        seen += page
    assert len({each.id for each in seen}) == len(seen) == 5


async def test_what_nobody_has_used_is_found(buckets: Buckets) -> None:
    await buckets.add([file(bucket="old")])
    await buckets.add([file(user="bob", bucket="used")])
    between = time.time()
    assert await buckets.unused(between - 3600) == []
    await buckets.use("bob", "used")
    assert await buckets.unused(between) == [("ann", "old")]


async def test_which_ids_are_files(buckets: Buckets) -> None:
    (added,) = await buckets.add([file()])
    assert await buckets.existing([added.id, new_id(), "nonsense"]) == {added.id}
    assert await buckets.existing([]) == set()


@pytest.mark.parametrize("id", ["", "\0", "file-" + "x" * 10_000, "'; DROP TABLE files; --", "%"])
async def test_an_id_of_nonsense_is_no_file(buckets: Buckets, id: str) -> None:
    await buckets.add([file()])
    with pytest.raises(NotFound):
        await buckets.find("ann", id)


def test_ids_and_keys_are_random_and_nothing_that_was_said() -> None:
    made = file("secret name.txt")
    assert len({new_id() for _ in range(1000)}) == 1000
    assert made.blobs == (made.id[5:], f"{made.id[5:]}.text", f"{made.id[5:]}.thumbnail")
