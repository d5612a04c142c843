"""What chats are made of: chats, their messages, and the tree of these; and how chats are called."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import BadRequest, NotFound
from service.stores.chats_content import storable

LONGEST_ID = 200
RESERVED = frozenset({".", "..", "export"})
"""No chat could be read under these: as a part of an address they mean something else."""
LONGEST_TITLE = 200
"""Characters; titles are cut."""

State = str
"""How an answer stands: running, finished, stopped, failed or interrupted."""


class Message(Struct, kw_only=True):
    """A message, or an answer; `content` is a text or an array of parts, times in UTC seconds since 1970.

    `number` is its own, `parent` that of the message before it. `turn` is where a running answer is read.
    """

    number: int = 0
    parent: int | None = None
    role: str
    content: Any
    reasoning: str = ""
    turn: str | None = None
    model: str | None = None
    provider: str | None = None
    state: State = "finished"
    finish: str | None = None
    error: str | None = None
    usage: dict[str, Any] | None = None
    sources: list[Any] | None = None
    created_at: float = msgspec.field(default_factory=time.time)


class Chat(Struct, kw_only=True):
    """A whole chat; `leaf` is the number of the message that was shown last, `share` the id of a share."""

    id: str
    title: str
    created_at: float = msgspec.field(default_factory=time.time)
    updated_at: float = msgspec.field(default_factory=time.time)
    starred: bool = False
    archived: bool = False
    share: str | None = None
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    leaf: int | None = None
    messages: list[Message] = msgspec.field(default_factory=list)


class Node(Struct, frozen=True):
    """A message without what it says."""

    number: int
    parent: int | None
    role: str
    digest: str
    state: State


class Tree(Struct, frozen=True):
    """A chat without what was said: `size` in bytes; `begun` is False as long as it has no message.

    `next` is the number of the next message.
    """

    number: int
    title: str
    nodes: Sequence[Node]
    size: int
    next: int
    leaf: int | None = None
    begun: bool = True


class Running(Struct, frozen=True):
    """An answer that is being given: its number, that of its chat and of the message before it, its turn."""

    user: str
    id: str
    chat: int
    answer: int
    parent: int | None
    turn: str


def is_id(id: str) -> bool:
    """Whether a client may call a chat so."""
    return 0 < len(id) <= LONGEST_ID and id.isprintable() and id not in RESERVED


def named(id: str) -> str:
    """The id, where a client may call a chat so. Raises `BadRequest`."""
    if not is_id(id):
        raise BadRequest(
            f"A conversation_id has 1 to {LONGEST_ID} characters that can be printed, and is none of"
            f" {', '.join(sorted(RESERVED))}. Choose another one.",
            "conversation_id",
        )
    return id


def titled(text: str) -> str:
    """A title: its words on one line, as many as fit."""
    line = " ".join(storable(text[: 4 * LONGEST_TITLE]).split())
    return line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1].rstrip() + "…"


def missing(id: str) -> NotFound:
    return NotFound(f"There is no chat {id[:LONGEST_ID]!r} of yours; it may have been deleted.", "id")
