"""What OpenAI's messages are made of, for providers who write it otherwise."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from service.messages import Message, Part, texts

DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*;base64,(.*)", re.DOTALL)


def parts(message: Message) -> list[Part]:
    """The content as parts; a text is one, nothing is none."""
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}] if message.content else []
    return message.content or []


def text_of(message: Message) -> str:
    """All that a message says."""
    return "".join(texts(message))


def url_of(part: Part) -> str:
    """Where an `image_url` lies; it is an object, or the address alone."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) else ""


def inline(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a data URI; None for another address."""
    found = DATA_URI.fullmatch(url)
    return (found[1] or "image/png", found[2]) if found else None


def arguments(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call's arguments as an object; those that are none are handed over in one, as they were said."""
    said = (call.get("function") or {}).get("arguments")
    if isinstance(said, dict):
        return said
    try:
        read = msgspec.json.decode(said or "{}")
    except (msgspec.DecodeError, TypeError):
        read = None
    return read if isinstance(read, dict) else {"arguments": said}


def kinds(messages: list[Message]) -> Iterator[tuple[str, Part]]:
    """Every part with its type."""
    for message in messages:
        for part in parts(message):
            yield str(part.get("type")), part
