"""Chunks that are not like most, read as dicts: what has a place in our vocabulary, and what has none."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.providers.calls import CallDelta, FunctionDelta
from service.providers.dialects import finish_reason, loaded, stop_sequence
from service.providers.failures import UpstreamError, complaint
from service.providers.surrogates import mended, whole

_OF_CHUNK = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation", "p"})
"""`obfuscation` (OpenAI) and `p` (Mistral) are noise that hides the length of a token."""


class OddChoice(Struct):
    """One choice; `extra` and `of_choice` are what the vocabulary has no word for."""

    index: int
    thought: str = ""
    text: str = ""
    urls: list[str] = []
    calls: list[CallDelta] = []
    finish: str = ""
    stop_sequence: str | None = None
    extra: dict[str, Any] = {}
    of_choice: dict[str, Any] = {}


def decoded(payload: bytes) -> tuple[Any, bool]:
    """The JSON, and whether it is such that its characters may be cut in two.

    Raises `ValueError` or `RecursionError`.
    """
    try:
        return msgspec.json.decode(payload), False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return loaded(payload), True


def choices(chunk: Mapping[str, Any]) -> Iterator[OddChoice]:
    for place, found in enumerate(_list(chunk.get("choices"))):
        if isinstance(found, dict):
            yield _choice(found, place)


def of_chunk(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """What the chunk itself has beside the vocabulary."""
    if "choices" not in chunk:
        return {}
    return {name: chunk[name] for name in chunk if name not in _OF_CHUNK and _is_something(chunk[name])}


def usages(chunk: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Wherever it may lie: Groq has it elsewhere, Moonshot in the choice."""
    places = [chunk, chunk.get("x_groq"), *_list(chunk.get("choices"))]
    for place in places:
        if isinstance(place, dict) and isinstance(place.get("usage"), dict):
            yield place["usage"]


def failure(chunk: Mapping[str, Any]) -> UpstreamError | None:
    """What the chunk, a choice of it (OpenRouter) or Groq's corner of it complains of.

    A message alone is none: some upstreams tell of their queue.
    """
    if "choices" not in chunk:
        return complaint(chunk) if chunk.keys() - {"message", "status"} else None
    places = [chunk, chunk.get("x_groq"), *_list(chunk["choices"])]
    errors = [place["error"] for place in places if isinstance(place, dict) and place.get("error")]
    return complaint({"error": errors[0]}) if errors else None


def _choice(found: Mapping[str, Any], place: int) -> OddChoice:
    choice = OddChoice(place)
    for name, value in found.items():
        match name:
            case _ if not _is_something(value):
                pass
            case "delta":
                _read(value, choice)
            case "message" if not found.get("delta"):
                _read(value, choice)
            case "finish_reason":
                choice.finish = _text(value)
            case "index":
                choice.index = _count(value)
            case "text":  # of the older completions; Together says everything twice
                choice.text = choice.text or _text(value)
            case "message" | "error" | "usage":
                pass
            case _:
                choice.of_choice[name] = value
    if choice.finish:
        met = found.get("stop_reason") or found.get("matched_stop")
        choice.stop_sequence = stop_sequence(met, finish_reason(choice.finish))
    return choice


def _read(delta: Any, choice: OddChoice) -> None:
    for name, value in delta.items() if isinstance(delta, dict) else ():
        match name:
            case _ if not _is_something(value):
                pass
            case "content":
                thought, choice.text, urls = _said(value)
                choice.thought += thought
                choice.urls += urls
            case "reasoning_content" | "reasoning" | "reasoning_text" | "thinking" if isinstance(value, str):
                if not choice.thought:
                    choice.thought = value
                elif value != choice.thought:
                    choice.extra[name] = value
            case "tool_calls":
                choice.calls += map(_call, _dicts(value))
            case "function_call":  # what there was before tools
                choice.calls += (CallDelta(0, function=_function(call)) for call in _dicts(value))
            case "images":
                choice.urls += _urls(value)
            case "role":
                pass
            case _:
                choice.extra[name] = value
                if name == "audio" and isinstance(value, dict):
                    choice.text += _text(value.get("transcript"))


def _is_something(value: Any) -> bool:
    return bool(value) or isinstance(value, int | float)


def _said(content: Any) -> tuple[str, str, list[str]]:
    """Thoughts, text and the addresses of pictures in a content, which may be a list of parts (Mistral)."""
    if isinstance(content, str):
        return "", content, []
    thought, text, urls = "", "", []
    for part in _list(content):
        match part:
            case str():
                text += part
            case {"type": "thinking", "thinking": inner}:
                thought += _said(inner)[1]
            case {"text": str(words)}:
                text += words
            case _:
                urls += _urls(part)
    return thought, text, urls


def _urls(images: Any) -> list[str]:
    found = [image.get("image_url", image) for image in _dicts(images)]
    urls = [place.get("url") if isinstance(place, dict) else place for place in found]
    return [whole(url) for url in urls if isinstance(url, str) and url]


def _call(found: Mapping[str, Any]) -> CallDelta:
    index = None if found.get("index") is None else _count(found["index"])
    extra = found.get("extra_content")
    extra = mended(extra) if isinstance(extra, dict) else None
    return CallDelta(index, _name(found.get("id")), None, _function(found.get("function")), extra)


def _function(found: Any) -> FunctionDelta | None:
    if not isinstance(found, dict):
        return None
    arguments = found.get("arguments")
    if isinstance(arguments, list):
        arguments = msgspec.json.encode(mended(arguments)).decode()
    return FunctionDelta(_name(found.get("name")), arguments if isinstance(arguments, str | dict) else None)


def _name(value: Any) -> str | None:
    """Names and ids are short: half a character in one has no other half."""
    return whole(value) if isinstance(value, str) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _count(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
