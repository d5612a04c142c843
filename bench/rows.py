"""What a measure is asked, how it compares, and what it answers."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

COLUMNS = ("nginx", "LiteLLM", "g4f")
"""What the service is compared with: a plain proxy, and two peers."""


class Options(NamedTuple):
    """`rounds` for what is compared, `starts` for what is only repeated; `folder` is scratch.

    Of the scenarios those that are named, or all of them.
    """

    rounds: int
    starts: int
    folder: Path
    scenarios: tuple[str, ...] = ()

    def wanted(self, scenario: str) -> bool:
        return not self.scenarios or scenario in self.scenarios


class Bound(NamedTuple):
    """What must be, and what is aimed at: of our figure ÷ nginx's, of a peer's ÷ ours, or of ours alone.

    A peer has to cost so much at least; everything else may so much at most.
    """

    column: str
    must: float
    aim: float
    unit: str = ""
    least: bool = False

    def met(self, value: float) -> str:
        """The better of both that `value` keeps."""
        for name in ("aim", "must"):
            limit = getattr(self, name)
            if value >= limit if self.at_least else value <= limit:
                return name
        return "missed"

    @property
    def at_least(self) -> bool:
        return self.least or self.column in {"LiteLLM", "g4f"}

    def said(self, name: str) -> str:
        limit = f"{'≥' if self.at_least else '≤'} {getattr(self, name):g}{self.unit}"
        return f"{self.column} {limit}" if self.column in COLUMNS else limit


class Row(NamedTuple):
    """One line of the table; `details` are the figures behind it, `flawed` says that it proves nothing.

    `bounds` come with the values that are held against them.
    """

    measure: str
    ours: str
    peers: dict[str, str]
    bounds: list[tuple[Bound, float]]
    details: dict[str, object]
    flawed: bool = False


def turns(names: Iterable[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Each name once a round, and each begins in its turn: what disturbs the machine disturbs them all."""
    order = list(names)
    for number in range(rounds):
        yield from ((number, name) for name in order)
        order.append(order.pop(0))


class Table(NamedTuple):
    """The heads of its columns, and its lines."""

    heads: list[str]
    lines: list[list[str]]

    def text(self) -> str:
        """In Markdown."""
        lines = [self.heads, ["---"] * len(self.heads), *self.lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def comparison(rows: list[Row]) -> Table:
    """Ours beside everybody else's."""
    return Table(["measure", "ours", *COLUMNS, "must", "aim", "met"], [cells(row) for row in rows])


def cells(row: Row) -> list[str]:
    limits = [", ".join(bound.said(name) for bound, _ in row.bounds) or "–" for name in ("must", "aim")]
    met = ", ".join(bound.met(value) for bound, value in row.bounds) or "–"
    peers = [row.peers.get(column, "–") for column in COLUMNS]
    return [row.measure, row.ours, *peers, *limits, "flawed" if row.flawed else met]
