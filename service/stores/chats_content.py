"""What a message of a chat says: its words, by what it is known again, and what of it is kept."""

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

INLINE = 16_384
"""Characters of a picture, a sound or a file that stand in a message as they came."""
DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,[\w+/=-]+", re.ASCII)
WORDS = 50_000
"""Characters of a message that are indexed: PostgreSQL takes a mebibyte of them."""
ENDS = 2_000
"""Characters of either end of a long text by which it is known again."""
CUT = " […]"

_encode = msgspec.json.Encoder(order="deterministic").encode


def plain(content: Any) -> str:
    """The text of a message, be it a string or an array of parts."""
    return "\n".join(_texts(content))


def digest(role: str, content: Any) -> str:
    """By what a message is known again when a client sends it once more.

    It does not matter whether its text stands in parts, nor what space surrounds it.
    """
    others = [_known(part) for part in content if not _is_text(part)] if isinstance(content, list) else []
    said = _encode([role, _ends(plain(content).strip()), others])
    return blake2b(said, digest_size=16).hexdigest()


def kept(content: Any, most: int) -> Any:
    """The content as a chat keeps it: `most` characters of text, and of what stands in it as base64 a mark.

    A picture that names a bucket, or an address, is kept as it is. One that is longer than 16 384 characters
    becomes the text "[image/png, 48 kB: not kept]".
    """
    if isinstance(content, str):
        return _text(content, most)
    if not isinstance(content, list):
        return ""
    parts = [_part(part, most) for part in content if isinstance(part, dict)]
    return parts if len(_encode(parts)) <= 2 * most else _text(plain(parts), most)


def storable(text: str) -> str:
    """What PostgreSQL refuses in a text is replaced; so is half of a character."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield text


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str) and "bucket_id" not in part


def _known(value: Any) -> Any:
    """The same with the ends of long texts only: a film is not read through to be known again."""
    if isinstance(value, dict) and isinstance(calls := value.get("tool_calls"), list):
        return [call.get("id") for call in calls if isinstance(call, dict)]
    if isinstance(value, dict):
        return {str(name): _known(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_known(inner) for inner in value]
    return _ends(value) if isinstance(value, str) else value


def _ends(text: str) -> str:
    if len(text) > 100 * ENDS:
        return f"{text[:ENDS]}{len(text)}{text[-ENDS:]}"
    return text


def _part(part: dict[str, Any], most: int) -> dict[str, Any]:
    """A part, or what stands for it."""
    if _is_text(part):
        return {"type": "text", "text": _text(part["text"], most)}
    if (size := _inline(part)) > INLINE:
        if "bucket_id" in part:
            return {name: part[name] for name in ("bucket_id", "name") if isinstance(part.get(name), str)}
        return {"type": "text", "text": f"[{_kind(part)}, {size * 3 // 4000} kB: not kept]"}
    return part


def _inline(part: Any) -> int:
    """Characters of all texts in a part, whatever its form."""
    if isinstance(part, str):
        return len(part)
    values = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return sum(map(_inline, values))


def _kind(part: dict[str, Any]) -> str:
    """What it was: its media type, or the type of the part."""
    for inner in part.values():
        for value in inner.values() if isinstance(inner, dict) else (inner,):
            if isinstance(value, str) and value.startswith("data:"):
                return value[5:80].partition(";")[0]
    return str(part.get("type", "part"))[:80]


def _text(text: str, most: int) -> str:
    if "base64," in text:
        text = DATA.sub(_mark, text)
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def _mark(data: re.Match[str]) -> str:
    if len(data[0]) <= INLINE:
        return data[0]
    return f"[{data[1]}, {len(data[0]) * 3 // 4000} kB: not kept]"
