"""Answers of several rounds as rows of the table."""

from statistics import median
from typing import NamedTuple

from asking import Asked
from rows import COLUMNS, Bound, Row
from scenarios import Scenario

Rounds = dict[str, list[Asked]]
TITLES = {
    "cost": "CPU of a {unit}",
    "first": "first token, p50 / p99",
    "added": "first token, added to the provider's, p50",
    "delay": "delay of a token, p50 / p99",
    "memory": "memory of a stream",
    "left": "leavers that the provider saw",
}
WIRES = {"v2": "v2 events", "v1": "/v1"}


class Figure(NamedTuple):
    """What is compared, and how it is written; `compared`: as a ratio to others, too."""

    value: float
    said: str
    compared: bool = False


def row(kind: str, scenario: Scenario, asked: Rounds, wire: str) -> Row:
    """One measure of ours on one wire beside everybody else's."""
    figures = {name: figure(kind, scenario, some, asked) for name, some in asked.items() if some}
    ours = figures[f"ours {wire}"]
    said = ours.said + incomplete(asked[f"ours {wire}"])
    if without := figures.get(f"open {wire}"):
        said += f" (without keys and limits {without.said}{incomplete(asked[f'open {wire}'])})"
    peers = {name: beside(name, ours, figures[name], asked[name]) for name in COLUMNS if name in figures}
    if wire == "v1":
        peers.pop("g4f", None)  # its web server has no such wire
    bounds = scenario.bounds.get(wire, ()) if kind == scenario.shown[0] else ()
    there = (bound for bound in bounds if not bound.column or bound.column in figures)
    held = [(bound, ratio(bound, ours, figures)) for bound in there]
    measure = f"{WIRES[wire]}, {scenario.what}: {TITLES[kind].format(unit=scenario.unit)}"
    flawed = any(incomplete(asked.get(name, [])) for name in (f"ours {wire}", f"open {wire}"))
    values = {name: one.value for name, one in figures.items()}
    details: dict[str, object] = {
        "scenario": scenario.name,
        "kind": kind,
        "wire": wire,
        "figures": values,
        "rounds": asked,
    }
    return Row(measure, said, peers, held, details, flawed)


def figure(kind: str, scenario: Scenario, asked: list[Asked], everybody: Rounds) -> Figure:
    match kind:
        case "cost":
            micros = cost(scenario, asked)
            return Figure(micros, f"{number(micros)} µs", compared=True)
        case "memory":
            kibibytes = max(one["grown"] / one["streams"] for one in asked)
            return Figure(kibibytes, f"{kibibytes:.1f} KiB")
        case "left":
            seen, left = (sum(one[name] for one in asked) for name in ("left", "aborted"))
            return Figure(seen / max(left, 1), f"{seen} of {left}")
        case "added":
            p50 = (middle(asked, "first", "p50") - middle(everybody["direct"], "first", "p50")) / 1000
            return Figure(p50, f"{p50:.2f} ms")
        case _:
            p50, p99 = (middle(asked, kind, which) / 1000 for which in ("p50", "p99"))
            return Figure(p50, f"{number(p50)} / {number(p99)} ms")


def number(value: float) -> str:
    """In three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2}f}"


def cost(scenario: Scenario, asked: list[Asked]) -> float:
    """Microseconds of CPU a unit."""
    each = scenario.tokens if scenario.unit == "token" else 1
    return float(sum(one["cpu"] for one in asked) / sum(one["streams"] * each for one in asked) * 1e6)


def middle(asked: list[Asked], kind: str, which: str) -> float:
    """The median of the rounds, in microseconds: one that something disturbs says nothing."""
    return float(median(one[kind][which] for one in asked))


def incomplete(asked: list[Asked]) -> str:
    """What to say of streams that were not complete and in order; nothing where all of them were."""
    lost = sum(one["streams"] - one["complete"] - one["aborted"] for one in asked)
    return f" ({lost} of {sum(one['streams'] for one in asked)} not complete and in order)" if lost else ""


def beside(name: str, ours: Figure, theirs: Figure, asked: list[Asked]) -> str:
    """With nginx's figure how many times it ours is; with a peer's, how many times ours that is."""
    said = theirs.said + incomplete(asked)
    if not (theirs.compared and ours.value > 0 < theirs.value):
        return said
    if name == "nginx":
        return f"{said}; ours {times(ours.value / theirs.value)}"
    return f"{said}: {times(theirs.value / ours.value)}"


def times(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def ratio(bound: Bound, ours: Figure, figures: dict[str, Figure]) -> float:
    if not bound.column:
        return ours.value
    theirs = figures[bound.column]
    return theirs.value / ours.value if bound.at_least else ours.value / theirs.value
