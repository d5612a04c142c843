"""The AI SDK's UI messages -> messages as a turn takes them.

Source: AI SDK, `UIMessage` and `convertToModelMessages`.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from service.errors import BadRequest
from service.messages import Message, Part
from service.wire.uiparts import UIMessage

SOUNDS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
"""OpenAI's names of audio formats, where they are not the media type's."""
ENDED = frozenset({"output-available", "output-error", "output-denied"})
"""The states of tool calls whose outcome is known: no provider takes others."""


def messages(given: Iterable[UIMessage]) -> Iterator[Message]:
    """The conversation; a UI message is several where tools were called in it. Raises `BadRequest`."""
    for message in given:
        match message.role:
            case "system":
                yield Message("system", _text(message.parts))
            case "user":
                if asked := [part for each in message.parts for part in _asked(each)]:
                    yield Message("user", asked)
            case "assistant":
                for step in _steps(message.parts):
                    yield from _answered(step)


def _asked(part: Part) -> Iterator[Part]:
    match part:
        case {"type": "text", "text": str(text)} if text:
            yield {"type": "text", "text": text}
        case {"type": "file", "url": str(url), "mediaType": str(media_type)}:
            yield _file(url, media_type, part.get("filename"))
        case _:
            pass


def _file(url: str, media_type: str, name: object) -> Part:
    """A file as OpenAI has it: by its kind, sound and text with their content."""
    kind, _, format = media_type.partition("/")
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "text" and url.startswith("data:"):
        return {"type": "text", "text": _content(url).decode(errors="replace")}
    if kind == "audio" and url.startswith("data:"):
        sound = {"data": url.partition(",")[2], "format": SOUNDS.get(format, format)}
        return {"type": "input_audio", "input_audio": sound}
    return {"type": "file", "file": {"filename": name or "file", "file_data": url}}


def _content(url: str) -> bytes:
    try:
        return base64.b64decode(url.partition(",")[2])
    except binascii.Error as error:
        raise BadRequest("A file's data URI is not base64. Attach the file again.", "messages") from error


def _steps(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """The parts in steps, of which all but the last end with tool calls."""
    step: list[Part] = []
    for part in parts:
        if part.get("type") == "step-start" and any(map(_tool, step)):
            yield step
            step = []
        step.append(part)
    yield step


def _answered(step: list[Part]) -> Iterator[Message]:
    """What was said in a step, and what came of its calls; thoughts go back where somebody needs them."""
    calls = [part for part in step if _tool(part)]
    text, thoughts = _text(step), _text(step, "reasoning")
    sealed = [thought for part in step for thought in _sealed(part)]
    if text or calls:
        said = {"type": "text", "text": text}
        yield Message(
            "assistant",
            [*sealed, said] if sealed and text else sealed or text or None,
            tool_calls=[_call(part) for part in calls] or None,
            reasoning_content=thoughts or None if calls and not sealed else None,
        )
    for part in calls:
        yield Message("tool", _outcome(part), tool_call_id=str(part.get("toolCallId")))


def _text(parts: Iterable[Part], kind: str = "text") -> str:
    texts = (part.get("text") for part in parts if part.get("type") == kind)
    return "".join(text for text in texts if isinstance(text, str))


def _sealed(part: Part) -> Iterator[Part]:
    """A thought with its provider's seal, as Anthropic has it."""
    match part:
        case {"type": "reasoning", "providerMetadata": {"causerie": {"signature": str(signature)}}}:
            yield {"type": "thinking", "thinking": part.get("text") or "", "signature": signature}
        case {"type": "reasoning", "providerMetadata": {"causerie": {"redacted": str(hidden)}}}:
            yield {"type": "redacted_thinking", "data": hidden}
        case _:
            pass


def _tool(part: Part) -> str | None:
    """The name of a tool whose call has ended."""
    kind = part.get("type")
    if part.get("state") not in ENDED or not isinstance(kind, str):
        return None
    return str(part.get("toolName")) if kind == "dynamic-tool" else kind.removeprefix("tool-")


def _call(part: Part) -> dict[str, Any]:
    function = {"name": _tool(part), "arguments": _json(part.get("input") or {})}
    return {"id": str(part.get("toolCallId")), "type": "function", "function": function}


def _outcome(part: Part) -> str:
    match part:
        case {"state": "output-available"}:
            output = part.get("output")
            return output if isinstance(output, str) else _json(output)
        case {"state": "output-denied", "approval": {"reason": str(reason)}}:
            return reason
        case {"errorText": str(text)}:
            return text
        case _:
            return "The call was denied."


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
