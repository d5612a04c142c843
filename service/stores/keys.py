"""Keys: who may use the service, and for what. They are looked up in memory; on the disk are their hashes."""

import asyncio
import hmac
import logging
import re
import secrets
import string
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from sqlalchemy import RowMapping, bindparam, func, select, update

from service.errors import BadRequest, NotFound, Unavailable
from service.messages import Allowed
from service.stores.database import Database
from service.stores.schema import keys as table
from service.stores.secret import Secret
from service.tasks import Tasks

log = logging.getLogger(__name__)

FORM = re.compile(r"ck-([a-z0-9]{8})-([\w-]{43})", re.ASCII)
"""How every key looks: its id, which is no secret, and the secret."""
REFRESH_SECONDS = 2.0
"""How long a key that another process has changed is still what it was."""
WRITE_SECONDS = 10.0
LONGEST_NAME = 200
ALPHABET = string.ascii_lowercase + string.digits
NOBODY = "-"

Role = Literal["user", "admin"]
Many = Annotated[int, Meta(ge=1, le=2**53)] | None
Dollars = Annotated[float, Meta(ge=0, le=1e12)] | None


class Limits(Struct, frozen=True, omit_defaults=True):
    """None is no limit."""

    requests_per_minute: Many = None
    tokens_per_minute: Many = None
    turns_at_once: Many = None


class Budget(Struct, frozen=True, omit_defaults=True):
    """In US dollars; None is no limit."""

    day: Dollars = None
    month: Dollars = None


UNLIMITED = Limits()
UNMEASURED = Budget()


class Grant(Struct, frozen=True):
    """What a key is good for; by itself everything, without limits."""

    allowed: Allowed = Allowed()
    limits: Limits = UNLIMITED
    budget: Budget = UNMEASURED

    @property
    def limited(self) -> bool:
        """Whether it says how much, and not only what for."""
        return self.limits != UNLIMITED or self.budget != UNMEASURED


EVERYTHING = Grant()


class Key(Struct, frozen=True, kw_only=True):
    """A key without its secret; times in UTC seconds since 1970."""

    id: str
    hash: str
    user: str
    role: Role = "user"
    name: str = ""
    created_at: float = field(default_factory=time.time)
    expires_at: float | None = None
    revoked_at: float | None = None
    grant: Grant = EVERYTHING

    def __repr__(self) -> str:
        return f"Key({self.id!r}, {self.user!r}, {self.role!r})"

    @property
    def over(self) -> Literal["revoked", "expired"] | None:
        """Why it opens nothing any more."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= time.time() else None


class Keys:
    """All keys in memory, as fresh as `REFRESH_SECONDS`: the command line changes them in another process."""

    def __init__(self, database: Database, secret: Secret) -> None:
        self._database, self._secret = database, secret
        self._keys: dict[str, Key] = {}
        self._version: tuple[object, ...] = ()
        self._reading = asyncio.Lock()
        self._told: Callable[[], None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        # A commit may be repeated, so each of these bears that.
        self._insert = database.insert(table).on_conflict_do_nothing(index_elements=["id"])
        standing = update(table).where(table.c.id == bindparam("key"), table.c.revoked_at.is_(None))
        changed = standing.values(changes=table.c.changes + 1)
        self._revoke = changed.values(revoked_at=bindparam("now"))
        self._rotate = changed.values(hash=bindparam("new"))

    def __iter__(self) -> Iterator[Key]:
        return iter(sorted(self._keys.values(), key=lambda key: key.created_at))

    def __len__(self) -> int:
        """Those that are over count: revoking the last one must not open the service."""
        return len(self._keys)

    def __getitem__(self, id: str) -> Key:
        """Raises `NotFound`."""
        if id not in self._keys:
            raise NotFound(f"There is no key {id!r}. The list of keys has their ids.", "id")
        return self._keys[id]

    def find(self, text: str) -> Key | None:
        """Whose key this is, None where it is nobody's or over; the work is the same for all of them."""
        if not self._keys:
            return None
        match = FORM.fullmatch(text)
        id, secret = match.groups() if match else (NOBODY, NOBODY)
        key = self._keys.get(id)
        same = hmac.compare_digest(self._hash(id, secret), key.hash if key else NOBODY)
        return key if same and key and not key.over else None

    def holds(self, id: str | None) -> bool:
        """Whether who came with this key may go on; who came without one may."""
        return id is None or ((key := self._keys.get(id)) is not None and not key.over)

    def allowed(self, id: str | None) -> Allowed:
        """What who came with this key may ask for."""
        return self.grant(id).allowed

    def grant(self, id: str | None) -> Grant:
        """What who came with this key may do; who came without one is not limited by it."""
        return self._keys[id].grant if id in self._keys else EVERYTHING

    def session(self, key: Key, until: float) -> str:
        """What a browser may show in the place of the key, until a time; not after the key was rotated."""
        told = f"{key.id}.{until:.0f}"
        return f"{told}.{self._secret.mac('session', told, key.hash)}"

    def find_session(self, text: str) -> Key | None:
        """Whose session this is; None where it is nobody's, or over."""
        if not self._keys:
            return None
        told, _, signature = text.rpartition(".")
        id, _, until = told.partition(".")
        key = self._keys.get(id)
        right = self._secret.mac("session", told, key.hash if key else NOBODY)
        if not hmac.compare_digest(right.encode(), signature.encode(errors="replace")):
            return None
        return key if key and not key.over and float(until) > time.time() else None

    async def create(
        self,
        user: str,
        role: Role,
        name: str = "",
        expires_at: float | None = None,
        grant: Grant = EVERYTHING,
    ) -> tuple[Key, str]:
        """A new key, and its text, which nobody can read again. Raises `BadRequest`, `Unavailable`."""
        if expires_at is not None and expires_at <= time.time():
            raise BadRequest("The key would have expired already. Choose a time to come.", "expires_at")
        user, name = _named(user, "user"), _named(name, "name")
        if not user:
            raise BadRequest("A key needs the name of its user.", "user")
        await self.refresh()
        id = "".join(secrets.choice(ALPHABET) for _ in range(8))
        secret = secrets.token_urlsafe(32)
        key = Key(
            id=id,
            hash=self._hash(id, secret),
            user=user,
            role=role,
            name=name,
            expires_at=expires_at,
            grant=grant,
        )
        await self._write(self._insert, _row(key))
        return self[id], f"ck-{id}-{secret}"

    async def revoke(self, id: str) -> Key:
        """Ends a key for good, and what runs with it. Raises `NotFound`, `Unavailable`."""
        await self.refresh()
        if not self[id].revoked_at:
            await self._write(self._revoke, {"key": id, "now": time.time()})
        return self[id]

    async def rotate(self, id: str) -> tuple[Key, str]:
        """A new secret for a key that is not over. Raises `NotFound`, `BadRequest`, `Unavailable`."""
        await self.refresh()
        if over := self[id].over:
            raise BadRequest(f"The key {id} is {over}. Create a new one.", "id")
        secret = secrets.token_urlsafe(32)
        await self._write(self._rotate, {"key": id, "new": self._hash(id, secret)})
        return self[id], f"ck-{id}-{secret}"

    async def refresh(self) -> None:
        """Reads the keys if any of them has changed. Raises `Unavailable`.

        One at a time: what was read first must not take the place of what was read later.
        """
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        counted = select(func.count().label("keys"), func.sum(table.c.changes)).select_from(table)
        (version,) = await self._database.read(counted)
        if (found := tuple(version.values())) != self._version:
            if version["keys"]:
                self._find_secret()
            self._keys = {row["id"]: _key(row) for row in await self._database.read(select(table))}
            self._version = found

    def _find_secret(self) -> None:
        if not self._secret.exists:
            log.error(
                "The secret that keys are hashed with is gone: they open nothing until each was rotated"
                " (python -m service keys rotate ID)."
            )
        self._secret.load()

    def watch(self, tasks: Tasks, told: Callable[[], None]) -> None:
        """Refreshes from now on; `told` is called each time, for a key that runs out changes no row."""
        self._told = told
        self._watching = tasks.start(self._watch(told), "keys")

    async def close(self) -> None:
        """Ends the watching, without cutting off what it reads. Call it before the database is closed."""
        self._closing.set()
        if self._watching:
            await asyncio.wait([self._watching])

    async def _watch(self, told: Callable[[], None]) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._closing.wait()
            with suppress(Unavailable):  # what cannot be read now stays as it was known
                await self.refresh()
            told()

    async def _write(self, statement: Any, row: Mapping[str, Any]) -> None:
        """Returns when it is durable and known here."""
        done = self._database.write(statement, row)
        try:
            await asyncio.wait_for(asyncio.shield(done), WRITE_SECONDS)
        except TimeoutError as error:
            raise Unavailable("The database cannot be written now. Look at the keys later.") from error
        await self.refresh()
        if self._told:
            self._told()

    def _hash(self, id: str, secret: str) -> str:
        return self._secret.mac("key", id, secret)


def _named(text: str, what: str) -> str:
    text = text.strip()
    if not text.isprintable() or len(text.encode(errors="replace")) > LONGEST_NAME:
        raise BadRequest(f"The {what} must be text on one line, of at most {LONGEST_NAME} bytes.", what)
    return text


def _row(key: Key) -> dict[str, Any]:
    told = {name: getattr(key, name) for name in Key.__struct_fields__ if name != "grant"}
    grant = key.grant
    return told | {
        "models": _list(grant.allowed.models),
        "providers": _list(grant.allowed.providers),
        "limits": msgspec.json.encode(grant.limits).decode(),
        "budget": msgspec.json.encode(grant.budget).decode(),
        "changes": 0,
    }


def _list(names: frozenset[str] | None) -> str | None:
    return None if names is None else msgspec.json.encode(sorted(names)).decode()


def _key(row: RowMapping) -> Key:
    told = {name: row[name] for name in Key.__struct_fields__ if name != "grant"}
    lists = {name: _set(row[name]) for name in ("providers", "models")}
    limits = msgspec.json.decode(row["limits"], type=Limits)
    budget = msgspec.json.decode(row["budget"], type=Budget)
    return Key(**told, grant=Grant(Allowed(**lists), limits, budget))


def _set(names: str | None) -> frozenset[str] | None:
    return None if names is None else msgspec.json.decode(names, type=frozenset[str])
