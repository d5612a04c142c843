"""Logging in, for browsers: their events, sounds and pictures can send no header, but a cookie."""

import time
from collections.abc import Mapping

from msgspec import Struct

from service.context import Caller, Context
from service.errors import Unauthenticated
from service.replies import Cookie
from service.routes import anyone, route


class Credentials(Struct):
    """What somebody logs in with: a key of this service's; tokens are for programs."""

    key: str


class Who(Struct):
    """Who one is; `user` null for nobody, who `needs_key`. `key` is the id of the key."""

    user: str | None
    admin: bool
    needs_key: bool
    key: str | None = None


class Session:
    """session."""

    def __init__(self, context: Context) -> None:
        self._context, self._keys, self._seconds = context, context.keys, context.settings.keys.session
        self.routes = {"/backend-api/v2/session": route(GET=self.who, POST=self.log_in, DELETE=self.log_out)}

    @anyone
    async def who(self, caller: Caller) -> Who:
        """Who asks, and whether a key is needed here."""
        user = None if caller.anonymous else caller.user
        return Who(user, caller.admin, self._context.needs_key, caller.key)

    @anyone
    async def log_in(
        self, body: Credentials, headers: Mapping[str, str], caller: Caller, cookie: Cookie
    ) -> Who:
        """Takes a key, and leaves a cookie that stands for it: until it ends, is revoked or rotated.

        Where no key is needed there is nothing to log into.
        """
        if not self._context.needs_key:
            return await self.who(caller)
        if (key := self._keys.find(body.key.strip())) is None:
            raise Unauthenticated()
        until = min(time.time() + self._seconds, key.expires_at or float("inf"))
        cookie.text, cookie.until = self._keys.session(key, until), until
        cookie.secure = headers.get("Origin", "").startswith("https:")
        return Who(key.user, key.role == "admin", True, key.id)

    @anyone
    async def log_out(self, cookie: Cookie) -> None:
        """Takes the cookie away."""
        cookie.text = ""
