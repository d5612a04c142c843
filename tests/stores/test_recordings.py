"""What was spoken is kept: within bounds, whole, and under names that say nothing."""

import asyncio
import os
from pathlib import Path

import pytest

from service.errors import StorageFull
from service.stores.recordings import Recordings, remove
from service.stores.secret import Secret


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state/voices"


async def opened(folder: Path, limit: int = 1000) -> Recordings:
    recordings = Recordings(folder, limit, Secret(folder.parent, None))
    await recordings.open()
    return recordings


async def kept(recordings: Recordings, file: str, size: int = 100) -> None:
    draft = await recordings.begin()
    await draft.write(b"x" * size)
    await recordings.keep(draft, file)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_what_is_kept_is_found(folder: Path) -> None:
    recordings = await opened(folder)
    draft = await recordings.begin()
    await draft.write(b"0123")
    await draft.write(b"4567")
    await draft.correct(2, b"--")
    assert (await draft.read(0), await draft.read(5), draft.size) == (b"01--4567", b"567", 8)
    assert not recordings.has("a.mp3")
    assert await recordings.find("a.mp3") is None
    await recordings.keep(draft, "a.mp3")
    path = await recordings.find("a.mp3")
    assert path
    assert path.read_bytes() == b"01--4567"
    assert path.stat().st_mode & 0o077 == 0


async def test_what_is_dropped_is_gone_but_can_be_read_to_its_end(folder: Path) -> None:
    recordings = await opened(folder)
    draft = await recordings.begin()
    await draft.write(b"sound")
    await recordings.drop(draft)
    assert files(folder) == set()
    assert await draft.read(0) == b"sound"


async def test_what_was_not_heard_for_the_longest_time_goes(folder: Path) -> None:
    recordings = await opened(folder)
    for name in "abcdefghij":
        await kept(recordings, name)
    assert await recordings.find("a")
    await kept(recordings, "k")
    await kept(recordings, "l")
    assert files(folder) == set("adefghijkl")
    assert await recordings.find("b") is None


async def test_the_order_outlives_a_restart(folder: Path) -> None:
    recordings = await opened(folder)
    for age, name in enumerate("abc"):
        await kept(recordings, name)
        os.utime(folder / name, (1000 + age, 1000 + age))
    assert await recordings.find("a")
    recordings = await opened(folder, 200)
    assert files(folder) == {"a", "c"}
    assert recordings.has("a")
    assert not recordings.has("b")


async def test_the_same_again_takes_the_place_of_the_one_before(folder: Path) -> None:
    recordings = await opened(folder)
    for size in (600, 600, 300):
        await kept(recordings, "a", size)
    await kept(recordings, "b", 700)
    assert files(folder) == {"a", "b"}


async def test_what_is_larger_than_all_room_is_not_kept(folder: Path) -> None:
    for limit in (0, 99):
        recordings = await opened(folder, limit)
        await kept(recordings, "a", 100)
        assert files(folder) == set()
        assert not recordings.has("a")


async def test_what_a_dead_process_left_half_made_is_removed(folder: Path) -> None:
    recordings = await opened(folder)
    await kept(recordings, "a")
    await (await recordings.begin()).write(b"half")
    assert len(files(folder)) == 2
    await opened(folder)
    assert files(folder) == {"a"}


async def test_what_somebody_has_removed_is_not_found(folder: Path) -> None:
    recordings = await opened(folder)
    await kept(recordings, "a", 900)
    (folder / "a").unlink()
    assert await recordings.find("a") is None
    await kept(recordings, "b", 900)
    assert files(folder) == {"b"}


async def test_names_are_nothing_without_the_secret(folder: Path, tmp_path: Path) -> None:
    recordings, other = await opened(folder), await opened(tmp_path / "elsewhere/voices")
    name = recordings.name("zoe", "local", "Good morning.")
    assert name == (await opened(folder)).name("zoe", "local", "Good morning.")
    names = {
        name,
        other.name("zoe", "local", "Good morning."),
        recordings.name("bob", "local", "Good morning."),
        recordings.name("zoelocal", "", "Good morning."),
    }
    assert len(names) == 4
    assert all(len(name) == 80 and "zoe" not in name for name in names)


async def test_all_that_is_ones_own_is_forgotten_together(folder: Path) -> None:
    recordings = await opened(folder)
    names = {owner: recordings.name(owner, "Good morning.") for owner in ("ada", "bob", "")}
    for name in names.values():
        await kept(recordings, f"{name}.mp3")
        await kept(recordings, f"{name}.json")
    for name in ("carl", "dora"):
        await kept(recordings, recordings.name(name, "Good morning."))
    await (await opened(folder)).forget("ada")
    await recordings.forget("nobody")
    await recordings.forget("carl")
    draft = await recordings.begin()
    remove(folder, Secret(folder.parent, None), "dora")
    remove(folder / "nowhere", Secret(folder / "nowhere", None), "ada")
    await recordings.drop(draft)
    assert files(folder) == {f"{names[owner]}.{kind}" for owner in ("bob", "") for kind in ("mp3", "json")}


async def test_what_is_being_made_has_a_bound_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.stores.recordings.LEAST", 100)
    recordings = await opened(folder, 10)
    drafts = [await recordings.begin() for _ in range(3)]
    for draft in drafts[:2]:
        await draft.write(b"x" * 50)
    with pytest.raises(StorageFull, match=r"speech\.cache_size"):
        await drafts[2].write(b"x")
    await recordings.drop(drafts[0])
    await drafts[2].write(b"x" * 50)
    assert drafts[2].size == 50


async def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFull, match="cannot be written down"):
        await Recordings(tmp_path / "file/voices", 1000, Secret(tmp_path, None)).open()


async def test_many_at_once_stay_within_bounds(folder: Path) -> None:
    recordings = await opened(folder)
    await asyncio.gather(*(kept(recordings, f"{number}") for number in range(50)))
    assert len(files(folder)) == 10
