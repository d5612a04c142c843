"""The input of a response -> the messages of a chat.

Source: OpenAI's API reference, "Create a model response", `input`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from service.errors import BadRequest
from service.messages import Message, Part

Json: TypeAlias = dict[str, Any]
Text: TypeAlias = str | list[Json]


class Said(Struct, tag_field="type", tag="message"):
    role: Literal["user", "assistant", "system", "developer"]
    content: Text

    def message(self, path: str) -> Message:
        return Message(self.role, _content(self.content, f"{path}.content"))


class Called(Struct, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str

    def message(self, path: str) -> Message:
        function = {"name": self.name, "arguments": self.arguments}
        call = {"id": self.call_id, "type": "function", "function": function}
        return Message("assistant", tool_calls=[call])


class Returned(Struct, tag_field="type", tag="function_call_output"):
    call_id: str
    output: Text

    def message(self, path: str) -> Message:
        return Message("tool", _content(self.output, f"{path}.output"), tool_call_id=self.call_id)


class Thought(Struct, tag_field="type", tag="reasoning"):
    """Sealed and secret thoughts go back as they are: their provider knows them by that."""

    content: list[Json] | None = None
    encrypted_content: str | None = None
    signature: str | None = None

    def message(self, path: str) -> Message:
        text = "".join(str(part.get("text", "")) for part in self.content or ())
        if self.encrypted_content:
            return Message("assistant", [{"type": "redacted_thinking", "data": self.encrypted_content}])
        if self.signature:
            sealed = {"type": "thinking", "thinking": text, "signature": self.signature}
            return Message("assistant", [sealed])
        return Message("assistant", reasoning_content=text or None)


Item: TypeAlias = Said | Called | Returned | Thought

ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning"})
THOUGHTS = frozenset({"thinking", "redacted_thinking"})


class InputText(Struct):
    text: str

    def part(self) -> Part:
        return {"type": "text", "text": self.text}


class Refusal(Struct):
    refusal: str

    def part(self) -> Part:
        return {"type": "text", "text": self.refusal}


class InputImage(Struct):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None

    def part(self) -> Part:
        if self.image_url is None:
            return _stored(self.file_id)
        detail = {"detail": self.detail} if self.detail else {}
        return {"type": "image_url", "image_url": {"url": self.image_url, **detail}}


class InputFile(Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None

    def part(self) -> Part:
        if self.file_data is None:
            return _stored(self.file_id)
        name = {"filename": self.filename} if self.filename else {}
        return {"type": "file", "file": {"file_data": self.file_data, **name}}


def _stored(id: str | None) -> Part:
    """A file of the caller's. Raises `ValidationError` where none is named."""
    if id is None:
        raise msgspec.ValidationError("Object has neither its content nor a `file_id`")
    return {"type": "file", "file": {"file_id": id}}


class InputAudio(Struct):
    input_audio: Json

    def part(self) -> Part:
        return {"type": "input_audio", "input_audio": self.input_audio}


PARTS: dict[str, type[InputText | Refusal | InputImage | InputFile | InputAudio]] = {
    "input_text": InputText,
    "output_text": InputText,
    "text": InputText,
    "refusal": Refusal,
    "input_image": InputImage,
    "input_file": InputFile,
    "input_audio": InputAudio,
}


def items(asked: Text | None) -> list[Json]:
    """The input as a list of items, each with its type; a text is what the user says."""
    if isinstance(asked, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": asked}]}]
    return [{**item, "type": _kind(item)} for item in asked or ()]


def messages(earlier: Sequence[Json], own: Sequence[Json]) -> list[Message]:
    """Items as a chat: what an assistant said and called in a row is one message. Raises `BadRequest`.

    Thoughts stay only with the calls that they led to, without which some providers cannot go on.
    """
    told = [_message(item, "previous_response_id") for item in earlier]
    told += [_message(item, f"input[{index}]") for index, item in enumerate(own)]
    return [message if message.tool_calls else _thoughtless(message) for message in _joined(told)]


def _kind(item: Json) -> str:
    return str(item.get("type") or ("message" if "role" in item else "item_reference"))


def _message(item: Json, path: str) -> Message:
    kind = item["type"]
    if kind == "item_reference":
        raise BadRequest(
            f"{path} is an item_reference, and items are kept with their response only."
            " Send the item itself, or go on with previous_response_id.",
            path,
        )
    if kind not in ITEMS:
        raise BadRequest(f"{path} is of type {kind!r}, which is not available here. Leave it out.", path)
    message: Message = _read(item, Item, path).message(path)
    return message


def _content(text: Text, path: str) -> Text:
    """What was said, as chat has it; one text alone as a text, which all providers read."""
    if isinstance(text, str):
        return text
    parts = [_part(part, f"{path}[{index}]") for index, part in enumerate(text)]
    return _plain(parts)


def _part(part: Json, path: str) -> Part:
    kind = PARTS.get(str(part.get("type")))
    if kind is None:
        raise BadRequest(f"{path} is of type {part.get('type')!r}; send {', '.join(sorted(PARTS))}.", path)
    try:
        read: Part = _read(part, kind, path).part()
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error} at {path} of the JSON body.", path) from error
    return read


def _read(value: Json, kind: Any, path: str) -> Any:
    """The value as its type. Raises `BadRequest` with the JSON path of what does not fit."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        path += where.rstrip("`")
        raise BadRequest(f"{what} at {path} of the JSON body.", path) from error


def _plain(parts: list[Part]) -> Text:
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _joined(told: Iterable[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in told:
        if joined and joined[-1].role == message.role == "assistant":
            joined[-1] = _both(joined[-1], message)
        else:
            joined.append(message)
    return joined


def _both(first: Message, then: Message) -> Message:
    return replace(
        first,
        content=_plain([*_parts(first), *_parts(then)]) or None,
        tool_calls=[*(first.tool_calls or ()), *(then.tool_calls or ())] or None,
        reasoning_content=(first.reasoning_content or "") + (then.reasoning_content or "") or None,
    )


def _parts(message: Message) -> list[Part]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}]
    return message.content or []


def _thoughtless(message: Message) -> Message:
    if message.role != "assistant":
        return message
    parts = [part for part in _parts(message) if part["type"] not in THOUGHTS]
    return replace(message, content=_plain(parts), reasoning_content=None)
