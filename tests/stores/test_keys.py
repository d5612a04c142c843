"""Keys: made, looked up, ended, and seen by another process."""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import Executable, RowMapping

from service.errors import BadRequest, NotFound
from service.messages import Allowed
from service.stores.database import DatabaseError
from service.stores.keys import FORM, Budget, Grant, Keys, Limits
from service.stores.secret import Secret
from tests.stores.opened import opened

GRANT = Grant(
    Allowed(frozenset({"Upstream"}), frozenset({"small", "large"})),
    Limits(requests_per_minute=3, turns_at_once=1),
    Budget(day=0.5),
)


@asynccontextmanager
async def kept(file: Path, secret: str | None = None, *, beside: bool = False) -> AsyncGenerator[Keys, None]:
    """The keys in `file`, as a process has them; `beside` as the command line has."""
    async with opened(file, beside=beside) as database:
        keys = Keys(database, Secret(file.parent, secret))
        await keys.refresh()
        yield keys


@pytest.fixture
async def keys(file: Path) -> AsyncGenerator[Keys, None]:
    async with kept(file) as keys:
        yield keys


async def test_a_key_has_the_form_that_finds_it(keys: Keys) -> None:
    key, text = await keys.create("ada", "admin", "Ada's laptop", grant=GRANT)
    assert re.fullmatch(r"ck-[a-z0-9]{8}-[A-Za-z0-9_-]{43}", text)
    found = keys.find(text)
    assert found is not None
    assert found == key
    assert (found.user, found.role, found.name, found.grant) == ("ada", "admin", "Ada's laptop", GRANT)
    assert keys.allowed(key.id) == GRANT.allowed
    assert [key.id for key in keys] == [text[3:11]]


async def test_no_two_keys_are_alike(keys: Keys) -> None:
    made = [await keys.create("ada", "user") for _ in range(20)]
    assert len({text for _, text in made}) == len({key.id for key, _ in made}) == len(keys) == 20
    for key, text in made:
        assert keys.find(text) == key


async def test_whatever_is_not_exactly_the_key_finds_nothing(keys: Keys) -> None:
    key, text = await keys.create("ada", "user")
    other, _ = await keys.create("bob", "user")
    wrong = "B" if text[-1] == "A" else "A"
    for near in (
        "",
        text[:-1],
        text[:-1] + wrong,
        text + "A",
        text.upper(),
        f" {text}",
        f"{text}\n",
        f"ck-{other.id}-{text[12:]}",
        f"ck-zzzzzzzz-{text[12:]}",
        text.removeprefix("ck-"),
        key.hash,
        f"ck-{key.id}-{key.hash}",
        f"ck-{key.id}-{key.hash[:43]}",
        f"{key.id}:{text[12:]}",
    ):
        assert keys.find(near) is None, near


async def test_the_file_has_no_secret_of_a_key(keys: Keys, file: Path) -> None:
    _, text = await keys.create("ada", "user")
    files = [path for path in file.parent.iterdir() if path.is_file()]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        assert text.encode() not in content
        assert text[12:].encode() not in content


async def test_a_hash_is_worth_nothing_with_another_secret_or_id(file: Path) -> None:
    async with kept(file, "a" * 32) as keys:
        key, text = await keys.create("ada", "user")
        other, _ = await keys.create("bob", "admin")
    async with kept(file, "b" * 32) as keys:
        assert keys.find(text) is None
        assert len(keys) == 2
    with closing(sqlite3.connect(file)) as connection:  # one who can write there still needs bob's own
        connection.execute("UPDATE keys SET hash = ? WHERE id = ?", (key.hash, other.id))
        connection.commit()
    async with kept(file, "a" * 32) as keys:
        assert keys.find(text) == key
        assert keys.find(f"ck-{other.id}-{text[12:]}") is None


async def test_a_key_outlives_the_process_with_all_its_rights(file: Path) -> None:
    async with kept(file) as keys:
        made, text = await keys.create("ada", "user", "note", time.time() + 60, GRANT)
    async with kept(file) as keys:
        assert keys.find(text) == made


def test_the_secret_is_for_its_user_alone_and_stays(tmp_path: Path) -> None:
    first = Secret(tmp_path / "state", None).mac("key", "x")
    assert (tmp_path / "state/secret").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "state/secret").read_bytes()) == 32
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["secret"]
    assert Secret(tmp_path / "state", None).mac("key", "x") == first
    assert Secret(tmp_path / "state", None).mac("session", "x") != first
    assert "secret" not in repr(Secret(tmp_path, "secret"))


def test_a_damaged_secret_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(DatabaseError, match="damaged"):
        Secret(tmp_path, None).mac("key")


async def test_a_revoked_key_finds_nothing_and_still_counts(keys: Keys) -> None:
    key, text = await keys.create("ada", "user")
    assert keys.holds(key.id)
    assert keys.holds(None)
    revoked = await keys.revoke(key.id)
    assert revoked.over == "revoked"
    assert keys.find(text) is None
    assert not keys.holds(key.id)
    assert keys
    assert await keys.revoke(key.id) == revoked
    with pytest.raises(BadRequest, match="revoked"):
        await keys.rotate(key.id)


async def test_an_expired_key_finds_nothing(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    key, text = await keys.create("ada", "user", expires_at=time.time() + 60)
    session = keys.session(key, time.time() + 600)
    assert keys.find(text) and keys.find_session(session)
    later = time.time() + 61
    monkeypatch.setattr("service.stores.keys.time.time", lambda: later)
    assert keys.find(text) is None
    assert keys.find_session(session) is None
    assert not keys.holds(key.id)
    assert keys[key.id].over == "expired"


async def test_a_rotated_key_has_a_new_secret_and_the_old_rights(keys: Keys) -> None:
    key, old = await keys.create("ada", "admin", grant=GRANT)
    rotated, new = await keys.rotate(key.id)
    assert old[:11] == new[:11]
    assert keys.find(old) is None
    assert keys.find(new) == rotated
    assert (rotated.user, rotated.role, rotated.grant) == ("ada", "admin", GRANT)
    assert keys.holds(key.id)


async def test_a_key_that_is_not_there_cannot_be_ended(keys: Keys) -> None:
    for change in (keys.revoke, keys.rotate):
        with pytest.raises(NotFound, match="nobody99"):
            await change("nobody99")


@pytest.mark.parametrize("user", ["", " ", "a\nb", "a\0b", "a" * 201, "ä" * 101, "\ud800"])
async def test_a_user_has_a_name_on_one_line(user: str, keys: Keys) -> None:
    with pytest.raises(BadRequest) as refused:
        await keys.create(user, "user")
    assert refused.value.param == "user"
    assert not keys


async def test_a_key_cannot_have_expired_before_it_is_made(keys: Keys) -> None:
    with pytest.raises(BadRequest, match="time to come"):
        await keys.create("ada", "user", expires_at=time.time())


async def test_another_process_is_heard(file: Path) -> None:
    async with kept(file) as service, kept(file, beside=True) as command:
        key, text = await command.create("ada", "user")
        assert service.find(text) is None
        await service.refresh()
        assert service.find(text) == key
        await command.revoke(key.id)
        assert service.find(text)
        await service.refresh()
        assert service.find(text) is None


async def test_what_was_read_late_does_not_bring_a_revoked_key_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(file) as service, kept(file, beside=True) as command, asyncio.TaskGroup() as both:
        key, text = await command.create("ada", "user")
        read, go_on, reads = service._database.read, asyncio.Event(), iter(range(10))

        async def late(statement: Executable) -> Sequence[RowMapping]:
            rows = await read(statement)
            if next(reads) == 1:  # the keys themselves, for whoever asks first
                await command.revoke(key.id)
                go_on.set()
                await asyncio.sleep(0.3)
            return rows

        monkeypatch.setattr(service._database, "read", late)
        both.create_task(service.refresh())
        await go_on.wait()
        await service.refresh()
        assert service.find(text) is None
        await asyncio.sleep(0.4)
        assert service.find(text) is None


async def test_a_session_stands_for_its_key_until_it_ends(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, text = await keys.create("ada", "user")
    session = keys.session(key, time.time() + 60)
    assert keys.find_session(session) == key
    assert FORM.search(session) is None
    assert text[12:] not in session
    later = time.time() + 61
    monkeypatch.setattr("service.stores.keys.time.time", lambda: later)
    assert keys.find_session(session) is None


async def test_a_session_ends_with_its_key(keys: Keys) -> None:
    key, _ = await keys.create("ada", "user")
    session = keys.session(key, time.time() + 60)
    rotated, _ = await keys.rotate(key.id)
    assert keys.find_session(session) is None
    session = keys.session(rotated, time.time() + 60)
    await keys.revoke(key.id)
    assert keys.find_session(session) is None


async def test_a_session_cannot_be_made_up(keys: Keys) -> None:
    key, _ = await keys.create("ada", "user")
    other, _ = await keys.create("bob", "admin")
    id, until, signature = keys.session(key, time.time() + 60).split(".")
    for forged in (
        "",
        ".",
        "..",
        f"{id}.{until}.",
        f"{id}.{until}.{'0' * 64}",
        f"{id}.{int(until) + 1}.{signature}",
        f"{other.id}.{until}.{signature}",
        f"{id}.{until}.{signature}\0",
        f"{id}.{until}.{key.hash}",
        f"{id}.inf.{signature}",
        "\ud800.\ud800.\ud800",
        "." * 8192,
    ):
        assert keys.find_session(forged) is None, forged
