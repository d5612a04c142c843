"""What others have written, taken as far as it makes sense: nothing here fails on a value of another type."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

from service.stores.chats import Chat, Message, titled

ROLES = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
LATEST = 1e11
"""Seconds: what is later is milliseconds, or nonsense."""


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def some(value: Any) -> str | None:
    """A text that is not empty."""
    return text(value) or None


def table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def seconds(value: Any) -> float | None:
    """A time in UTC seconds since 1970, also where it is in milliseconds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    found = value / 1000 if value > LATEST else float(value)
    return found if 0 < found < LATEST else None


def content(value: Any) -> str | list[dict[str, Any]]:
    """A text, or parts of which none is empty."""
    return rows(value) if isinstance(value, list) else text(value)


def made(id: Any, title: Any, times: Iterable[Any], messages: list[Message], **other: Any) -> Chat:
    """A chat; `times` are when it began and was last changed. Raises `ValueError` where nothing is in it."""
    if not messages:
        raise ValueError("There is no message in it.")
    known = [found for value in times if (found := seconds(value))] or [time.time()]
    for message in messages:
        message.created_at = message.created_at or known[0]
    return Chat(
        id=text(id),
        title=titled(text(title)) or heading(messages),
        created_at=known[0],
        updated_at=max(known),
        messages=messages,
        **{"leaf": messages[-1].number, **other},
    )


def heading(messages: Iterable[Message]) -> str:
    """What the first question begins with."""
    questions = (words(message) for message in messages if message.role == "user")
    return titled(next(questions, "")[:60])


def words(message: Message) -> str:
    """The text of a message."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(text(part.get("text")) for part in rows(message.content)).strip()


def picture(part: dict[str, Any]) -> str:
    """The address of a picture, of whatever kind; "" for a part that is none."""
    image = part.get("image_url")
    return text(table(image).get("url")) or text(image)


def file_name(part: dict[str, Any]) -> str:
    """What a file was called by who uploaded it, else as it is stored; "" where the part does not say."""
    return text(part.get("title")) or text(part.get("name"))


def mark(part: dict[str, Any]) -> str:
    """What stands for a part that is not taken along; "" for what nobody sees, such as a call of a tool."""
    if part.get("type") == "tool_calls":
        return ""
    if "bucket_id" in part:
        return f"[📎 {name}]" if (name := file_name(part)) else "[📎]"
    return "[🖼]" if "image_url" in part else "[📎]"


def shown(chat: Chat) -> list[Message]:
    """The messages from the first one to that which was shown last."""
    numbered = {message.number: message for message in chat.messages}
    last = chat.messages[-1].number if chat.messages else None
    return list(_upwards(numbered, chat.leaf if chat.leaf in numbered else last))[::-1]


def _upwards(numbered: dict[int, Message], number: int | None) -> Iterator[Message]:
    while number is not None and (message := numbered.pop(number, None)):  # once each, whatever stands there
        yield message
        number = message.parent
