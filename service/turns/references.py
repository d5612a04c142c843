"""What a question names in the place of its content: buckets, files in them, files by id, files within it.

Source: the wire contract, section 4.2; OpenAI's API reference, "File inputs".
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from service.messages import Message, Part, texts

WRITTEN = re.compile(r'\{"bucket_id":\s*"([^"\\]{1,300})"\}')
"""As web clients of former times wrote a bucket into a text."""
WEB = ("http://", "https://")


class Reference(Struct, frozen=True):
    """A bucket, or by its name a file of it; a file by its id, or `data` in base64, called `name`."""

    bucket: str | None = None
    name: str | None = None
    url: str | None = None
    id: str | None = None
    data: str | None = None


Resolved = Mapping[Reference, Sequence[Part]]


def references(messages: Sequence[Message]) -> list[Reference]:
    """Everything that is named, once, in its order."""
    named = (reference for message in messages for reference, _ in _pieces(message) if reference)
    return list(dict.fromkeys(named))


def resolved(messages: Sequence[Message], parts: Resolved) -> list[Message]:
    """The messages with these parts in the places of what they name; what is named twice stands once.

    A message of which nothing is left is left out.
    """
    given: set[Reference] = set()
    return [told for message in messages if (told := _told(message, parts, given))]


def question(messages: Sequence[Message]) -> Iterator[str]:
    """What the user said, the last message first, without what it names."""
    for message in reversed(messages):
        if message.role == "user":
            said = replace(message, content=[part for reference, part in _pieces(message) if not reference])
            if text := "\n".join(texts(said)).strip():
                yield text


def _pieces(message: Message) -> Iterator[tuple[Reference | None, Part]]:
    """The parts of a message, and what each of them names."""
    if isinstance(message.content, list):
        for part in message.content:
            yield _reference(part), part
    elif message.content and message.role == "user" and '"bucket_id"' in message.content:
        yield from _written(message.content)
    elif message.content:
        yield None, {"type": "text", "text": message.content}


def _written(text: str) -> Iterator[tuple[Reference | None, Part]]:
    for index, piece in enumerate(WRITTEN.split(text)):
        if index % 2:
            yield Reference(bucket=piece), {}
        elif piece:
            yield None, {"type": "text", "text": piece}


def _reference(part: Part) -> Reference | None:
    match part:
        case {"bucket_id": str(bucket), "name": str(name)}:
            url = part.get("url")
            return Reference(bucket, name, url if isinstance(url, str) and url.startswith(WEB) else None)
        case {"bucket_id": str(bucket)}:
            return Reference(bucket)
        case {"type": "file", "file": {"file_id": str(id)}}:
            return Reference(id=id)
        case {"type": "file", "file": {"file_data": str(data)} as file} if not data.startswith(WEB):
            name = file.get("filename")
            return Reference(data=data, name=name if isinstance(name, str) else None)
        case _:
            return None


def _told(message: Message, parts: Resolved, given: set[Reference]) -> Message | None:
    pieces = list(_pieces(message))
    if not any(reference for reference, _ in pieces):
        return message
    told: list[Part] = []
    for reference, part in pieces:
        if reference is None:
            told.append(part)
        elif reference not in given:
            given.add(reference)
            told += _cached(parts.get(reference, ()), part)
    if not told and not message.tool_calls:
        return None
    if isinstance(message.content, str):
        return replace(message, content="".join(part["text"] for part in told))
    return replace(message, content=told)


def _cached(parts: Sequence[Part], named: Part) -> Sequence[Part]:
    """Whoever wants the prompt to be kept as far as a file wants it as far as what is in its place."""
    if "cache_control" in named and parts:
        return [*parts[:-1], {**parts[-1], "cache_control": named["cache_control"]}]
    return parts
