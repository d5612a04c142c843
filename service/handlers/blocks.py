"""The content blocks of Anthropic's messages, and what they are in OpenAI's form.

Source: Anthropic's API reference, "Create a Message", `messages`. What asks a provider to keep a part of the
prompt (`cache_control`) stays with that part.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from service.messages import Message, Part

Cache: TypeAlias = dict[str, Any] | None


class TextBlock(Struct, frozen=True, tag="text"):
    """A text."""

    text: str
    cache_control: Cache = None


class Base64Source(Struct, frozen=True, tag="base64"):
    """Bytes, in the request."""

    media_type: str
    data: str


class UrlSource(Struct, frozen=True, tag="url"):
    """Bytes, elsewhere."""

    url: str


class FileSource(Struct, frozen=True, tag="file"):
    """Bytes, in a file of the caller's."""

    file_id: str


class ImageBlock(Struct, frozen=True, tag="image"):
    """A picture."""

    source: Base64Source | UrlSource | FileSource
    cache_control: Cache = None


class TextSource(Struct, frozen=True, tag="text"):
    """The text of a document."""

    data: str


class BlockSource(Struct, frozen=True, tag="content"):
    """A document that is in blocks already."""

    content: str | list[TextBlock | ImageBlock]


class DocumentBlock(Struct, frozen=True, tag="document"):
    """A document: its text, or a file for models that read them."""

    source: Base64Source | UrlSource | FileSource | TextSource | BlockSource
    title: str | None = None
    context: str | None = None
    cache_control: Cache = None


class SearchResultBlock(Struct, frozen=True, tag="search_result"):
    """What a search of the client's has found."""

    source: str
    title: str
    content: list[TextBlock]
    cache_control: Cache = None


class ToolUseBlock(Struct, frozen=True, tag="tool_use"):
    """A tool that the model has called."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(Struct, frozen=True, tag="tool_result"):
    """What the tool answered."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock] | None = None
    is_error: bool = False
    cache_control: Cache = None


class ThinkingBlock(Struct, frozen=True, tag="thinking"):
    """Thoughts of the model's, with its provider's seal."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Struct, frozen=True, tag="redacted_thinking"):
    """Thoughts that the provider has encrypted."""

    data: str


Shown: TypeAlias = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock
Block: TypeAlias = Shown | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock


def messages(
    role: Literal["user", "assistant", "system"], content: str | Sequence[Block]
) -> Iterator[Message]:
    """One message of Anthropic's: the answers of tools, each by itself, and then what is left.

    A tool's answer is a text in OpenAI's form. That it is an error is said in it; its pictures and files
    follow in a message of the user's, for there the model sees them.
    """
    if isinstance(content, str):
        content = [TextBlock(content)]
    parts: list[Part] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        match block:
            case ToolResultBlock():
                result, others = _result(block)
                parts += others
                yield result
            case ToolUseBlock():
                calls.append(_call(block))
            case ThinkingBlock() | RedactedThinkingBlock():
                parts.append(msgspec.to_builtins(block))
            case _:
                parts += _parts(block)
    if parts or calls:
        yield Message(role, _content(parts), tool_calls=calls or None)


def _content(parts: list[Part]) -> str | list[Part] | None:
    """A text that stands alone is no list: every upstream can read that."""
    bare = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return parts[0]["text"] if bare else parts or None


def _call(block: ToolUseBlock) -> dict[str, Any]:
    arguments = msgspec.json.encode(block.input).decode()
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _result(block: ToolResultBlock) -> tuple[Message, list[Part]]:
    """The message of the tool, and the parts that can be no part of it."""
    blocks = [TextBlock(block.content)] if isinstance(block.content, str) else block.content or []
    parts = [part for inner in blocks for part in _parts(inner)]
    others = [part for part in parts if part["type"] != "text"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    error = ["Error:"] if block.is_error else []
    notice = ["What belongs to this result follows in the next message."] if others else []
    said = _cached([_text("\n".join([*error, *texts, *notice]))], block.cache_control)
    return Message("tool", _content(said), tool_call_id=block.tool_use_id), others


def _parts(block: Shown) -> list[Part]:
    match block:
        case TextBlock():
            parts = [_text(block.text)] if block.text else []
        case ImageBlock():
            parts = [_image(block.source)]
        case SearchResultBlock():
            found = "\n".join(text.text for text in block.content)
            parts = [_text(f"{block.title} ({block.source})\n{found}")]
        case DocumentBlock():
            parts = _document(block)
    return _cached(parts, block.cache_control)


def _document(block: DocumentBlock) -> list[Part]:
    source = block.source
    if isinstance(source, FileSource):
        parts = [_stored(source)]
    elif isinstance(source, Base64Source | UrlSource):
        file = {"filename": block.title or "document.pdf", "file_data": _address(source)}
        parts = [{"type": "file", "file": file}]
    elif isinstance(source, TextSource):
        parts = [_text(source.data)]
    elif isinstance(source.content, str):
        parts = [_text(source.content)]
    else:
        parts = [part for inner in source.content for part in _parts(inner)]
    head = "\n".join(line for line in (block.title, block.context) if line)
    return [_text(head), *parts] if head else parts


def _image(source: Base64Source | UrlSource | FileSource) -> Part:
    if isinstance(source, FileSource):
        return _stored(source)
    return {"type": "image_url", "image_url": {"url": _address(source)}}


def _stored(source: FileSource) -> Part:
    return {"type": "file", "file": {"file_id": source.file_id}}


def _address(source: Base64Source | UrlSource) -> str:
    if isinstance(source, UrlSource):
        return source.url
    return f"data:{source.media_type};base64,{source.data}"


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _cached(parts: list[Part], cache: Cache) -> list[Part]:
    """The parts, with the wish that the prompt is kept as far as the last of them."""
    return [*parts[:-1], {**parts[-1], "cache_control": cache}] if parts and cache else parts
