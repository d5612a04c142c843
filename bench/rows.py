"""What a measure is asked, how it compares, and what it answers."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """`rounds` for what is compared, `starts` for what is only repeated; `folder` is scratch."""

    rounds: int
    starts: int
    folder: Path


class Row(NamedTuple):
    """One line of the table; `details` are the figures behind it, `flawed` says that it proves nothing."""

    measure: str
    result: str
    aim: str
    details: dict[str, object]
    flawed: bool = False


def turns(names: Iterable[str], rounds: int) -> Iterator[str]:
    """Each name once a round, and each begins in its turn: what disturbs the machine disturbs them all."""
    order = list(names)
    for _ in range(rounds):
        yield from order
        order.append(order.pop(0))
