"""Where a question belongs among what was said before: found by what a client remembers of it.

Clients send the whole conversation each time, as they remember it. What of it the chat has already is found
again from the first message on, and only the rest is new: a message that is like none in its place is another
branch. Older clients leave out all answers but the last one, which is no branch.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from service.stores.chats_parts import Node, Tree

OPEN_TO_CHANGE = frozenset({"running", "stopped", "failed", "interrupted"})
"""States in which a client may have more of an answer, or less, than we have."""


class Said(Struct, frozen=True):
    """A message that a client has sent, as a chat has it; `digest` is that of all that was sent."""

    role: str
    content: Any
    digest: str


class _Reached(Struct, frozen=True, order=True):
    """How many of the messages sent lie on the path to a node, and how many of these are the same exactly."""

    count: int = 0
    exact: int = 0


def place_of(tree: Tree, said: Sequence[Said]) -> tuple[int | None, int]:
    """The message below which what is new belongs, and how many of the messages sent are not new.

    First a path from the beginning is looked for, then one that begins anywhere: a client may have left out
    the beginning of what no model could read any more. Of that at least two messages must be found.
    """
    node, count = _followed(tree.nodes, said, anywhere=False)
    if not count and len(said) > 2:
        found = _followed(tree.nodes, said, anywhere=True)
        node, count = found if found[1] > 1 else (None, 0)
    if node and count < len(said) and said[count].role == "user":
        node = _answered(tree.nodes, node)
    return (node.number if node else None), count


def _answered(nodes: Sequence[Node], node: Node) -> Node:
    """The end of the newest answer: clients leave answers out, or send one that was gone on with as one."""
    while answers := [each for each in nodes if each.parent == node.number and each.role != "user"]:
        node = answers[-1]
    return node


def _followed(nodes: Sequence[Node], said: Sequence[Said], *, anywhere: bool) -> tuple[Node | None, int]:
    """The last node of the longest path, the newest of several, and how many messages it has in common.

    The path may have answers that were not sent, but no other questions.
    """
    reached: dict[int | None, _Reached] = {None: _Reached()}
    gone_on_with = {node.parent for node in nodes if node.role == "assistant"}
    best, last = _Reached(), None
    for node in nodes:  # a parent comes before its children
        before = reached.get(node.parent, _Reached() if anywhere else None)
        if before is None:
            continue
        is_open = node.state in OPEN_TO_CHANGE or node.number in gone_on_with
        if before.count < len(said) and (match := _match(node, said[before.count], is_open)):
            reached[node.number] = here = _Reached(before.count + 1, before.exact + (match == 2))
            if here >= best:
                best, last = here, node
        elif node.role != "user":
            reached[node.number] = before
    return last, best.count


def _match(node: Node, said: Said, is_open: bool) -> int:
    """2 for the same message, 1 for an answer of which there may be more, 0 for another one."""
    if node.role != said.role:
        return 0
    if node.digest == said.digest:
        return 2
    return int(node.role == "assistant" and is_open)
