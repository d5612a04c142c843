"""The server's own secret: keys are hashed with it, and sessions signed; without it a hash opens nothing."""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from service.stores.database import DatabaseError

SIZE = 32


class Secret:
    """`given` by the operator, or 32 random bytes in the file `secret` of the state directory.

    The file is made when the secret is first needed. Raises `DatabaseError` where that cannot be done.
    """

    def __init__(self, state: Path, given: str | None) -> None:
        self._file = state / "secret"
        self._bytes = given.encode() if given else b""
        self._keyed: hmac.HMAC | None = None
        """Has taken in the secret, which costs more than all that follows it."""

    def __repr__(self) -> str:
        return "Secret()"

    @property
    def exists(self) -> bool:
        return bool(self._bytes) or self._file.exists()

    def load(self) -> None:
        """Reads or makes it now."""
        try:
            self._bytes = self._bytes or self._kept()
        except OSError as error:
            raise DatabaseError(f"The secret that keys are hashed with cannot be had: {error}.") from error

    def mac(self, *parts: str) -> str:
        """HMAC-SHA256 of the parts, in hex; the first one says what it is for."""
        if self._keyed is None:
            self.load()
            self._keyed = hmac.new(self._bytes, digestmod="sha256")
        keyed = self._keyed.copy()
        keyed.update("\0".join(parts).encode(errors="replace"))
        return keyed.hexdigest()

    def _kept(self) -> bytes:
        with suppress(FileNotFoundError):
            return self._read()
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._file.with_name(f"secret.{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(SIZE))
            os.fsync(descriptor)
            if os.geteuid() == 0:  # the command line may be root's, the service is whoever owns the directory
                owner = self._file.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            with suppress(FileExistsError):  # another process was faster: its secret is the one
                os.link(new, self._file)
        finally:
            os.close(descriptor)
            new.unlink()
        return self._read()

    def _read(self) -> bytes:
        """Raises `OSError` for a file that is no secret: a short one would be guessed."""
        kept = self._file.read_bytes()
        if len(kept) < SIZE:
            raise OSError(f"{self._file} is damaged. Restore it, or remove it and rotate all keys")
        return kept
