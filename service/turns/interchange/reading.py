"""A file of chats, whoever has written it, read as it arrives: what each chat is, its content says."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import BadRequest
from service.stores.chats import Chat
from service.turns.interchange import chatgpt, gpt4free, own
from service.turns.interchange.members import Members
from service.turns.interchange.values import table, text

FORMATS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any]], Chat]], ...] = (
    (own.is_chat, own.chat),
    (gpt4free.is_chat, gpt4free.chat),
    (chatgpt.is_chat, chatgpt.chat),
)
"""How each is known, and read."""


class Skipped(Struct):
    """A chat that was not taken, and why."""

    title: str
    reason: str


class Reading:
    """Takes the bytes of an array of chats, of one chat, or of an object that has chats in it.

    A chat of more than `longest` bytes is skipped. Nothing here waits; a piece of 256 KiB takes some
    milliseconds, and the end of an object as long as its largest chat.
    """

    def __init__(self, longest: int) -> None:
        self._members, self._longest = Members(longest), longest
        self._named: dict[str, msgspec.Raw] = {}

    def feed(self, data: bytes) -> list[Chat | Skipped]:
        """What has come to its end. Raises `BadRequest` for what is no JSON."""
        found: list[Chat | Skipped] = []
        for member in self._members.feed(data):
            if member is None:
                found.append(Skipped("", f"It is longer than {self._longest} bytes (chats.longest_import)."))
            elif self._members.outer == b"{":
                self._named |= _decoded(b"{%b}" % member, dict[str, msgspec.Raw])
            else:
                found.append(_taken(member))
        return found

    def end(self) -> list[Chat | Skipped]:
        """The rest. Raises `BadRequest` where the end is missing."""
        self._members.end()
        if self._members.outer == b"[":
            return []
        return list(self._of_object())

    def _of_object(self) -> Iterator[Chat | Skipped]:
        """One chat; or those that are its members, or in arrays that are."""
        if {"tree", "items", "mapping"} & self._named.keys():
            yield _taken(msgspec.json.encode(self._named))
            return
        count = 0
        for value in self._named.values():
            for member in _inner(bytes(value)):
                chat = _taken(member)
                if isinstance(chat, Chat) or _is_chat(member):
                    count += 1
                    yield chat
        if not count:
            yield Skipped("", UNKNOWN)


UNKNOWN = "This is no chat as this service, gpt4free or ChatGPT exports it."


def _inner(value: bytes) -> Iterator[bytes]:
    if value[:1] == b"{":
        yield value
    elif value[:1] == b"[":
        yield from map(bytes, _decoded(value, list[msgspec.Raw]))


def _is_chat(member: bytes) -> bool:
    try:
        value = msgspec.json.decode(member)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return any(is_chat(table(value)) for is_chat, _ in FORMATS)


def _taken(member: bytes) -> Chat | Skipped:
    try:
        value = msgspec.json.decode(member)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Skipped("", f"It is no JSON that can be read: {error}.")
    return _chat(table(value))


def _chat(value: dict[str, Any]) -> Chat | Skipped:
    title = text(value.get("title"))
    read = next((chat for is_chat, chat in FORMATS if is_chat(value)), None)
    if read is None:
        return Skipped(title, UNKNOWN)
    try:
        return read(value)
    except ValueError as error:
        return Skipped(title, str(error))


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"Invalid JSON data: {error}. Send the file as it was exported.") from error
