"""How much room uploaded files take, and may take: for each user, and for everybody together."""

from collections import defaultdict
from collections.abc import Mapping

from service.errors import TooLarge


class Space:
    """Counts bytes as they arrive, so that no number of uploads at once gets past a quota; 0 is no quota."""

    def __init__(self, user_quota: int, total_quota: int) -> None:
        self.user_quota, self.total_quota = user_quota, total_quota
        self.moves = 0
        """How often something was taken or given back."""
        self._used: defaultdict[str, int] = defaultdict(int)
        self._total = 0

    def count(self, used: Mapping[str, int]) -> None:
        """Begins anew with what each user has used."""
        self._used = defaultdict(int, used)
        self._total = sum(used.values())

    def used(self, user: str) -> int:
        return self._used.get(user, 0)

    def take(self, user: str, size: int, spare: int = 0) -> None:
        """Raises `TooLarge`, and takes nothing, where so much is not left.

        `spare` is what the user will give back: it counts in what everybody has, where the disk ends.
        """
        if self.user_quota and self.used(user) + size > self.user_quota + spare:
            raise TooLarge(
                f"Your files would take more than the limit of {self.user_quota} bytes (files.user_quota)."
                " Delete some first: GET /backend-api/v2/files lists them."
            )
        if self.total_quota and self._total + size > self.total_quota:
            raise TooLarge(
                f"All files together would take more than the limit of {self.total_quota} bytes"
                " (files.total_quota). Ask the operator."
            )
        self.moves += 1
        self._used[user] += size
        self._total += size

    def give_back(self, user: str, size: int) -> None:
        self.moves += 1
        self._used[user] -= size
        self._total -= size
        if self._used[user] <= 0:
            del self._used[user]
