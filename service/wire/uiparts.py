"""The parts of a UI message that are told at once, or put together from several events."""

import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, field

from service.events import (
    Chosen,
    Content,
    Event,
    Extra,
    Noted,
    Session,
    Sources,
    Suggested,
    Switched,
    Titled,
    ToolCall,
    Used,
)

Part: TypeAlias = dict[str, Any]
"""A part of a message or of the stream that it comes in; `type` says what it is."""

CUT_OFF = "The answer ended before this call was complete."
ANY_PICTURE, ANYTHING = "image/*", "application/octet-stream"
ALIKE = frozenset({"file", "source-url", "source-document"})
"""Parts that are the same in a message and in the stream."""

_types = mimetypes.MimeTypes()


class UIMessage(Struct, frozen=True, kw_only=True):
    """A message as the AI SDK keeps it; `metadata` is the application's."""

    id: str = ""
    role: Literal["system", "user", "assistant"]
    parts: list[Part] = field(default_factory=list)
    metadata: Any = None


class Call(Struct):
    id: str
    name: str = ""
    input: str = ""


class Calls:
    """The tool calls of one answer, by their index."""

    def __init__(self, turn_id: str) -> None:
        self._turn_id = turn_id
        self._calls: dict[int, Call] = {}

    def told(self, pieces: Iterable[ToolCall]) -> Iterator[Part]:
        """What pieces add; a call that has no name yet is kept."""
        for piece in pieces:
            call = self._calls.setdefault(
                piece.index, Call(piece.id or f"call_{self._turn_id}_{piece.index}")
            )
            named = bool(call.name)
            function = piece.function
            text = function.arguments or "" if function else ""
            call.input += text
            if not named and function and function.name:
                call.name, text = function.name, call.input
                yield {"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name}
            if call.name and text:
                yield {"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": text}

    def ended(self, *, complete: bool) -> Iterator[Part]:
        """All calls with their input; one that is not `complete`, or no JSON, must not be run."""
        for call in self._calls.values():
            about = {"toolCallId": call.id, "toolName": call.name}
            arguments = _json(call.input or "{}") if complete else UNSET
            if call.name and arguments is not UNSET:
                yield {"type": "tool-input-available", **about, "input": arguments}
            elif call.name:
                yield {"type": "tool-input-error", **about, "input": call.input, "errorText": CUT_OFF}
        self._calls.clear()


def _json(text: str) -> Any:
    """UNSET for what is no JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return UNSET


def metadata(event: Used) -> dict[str, Any]:
    """Who has answered, and what it has cost."""
    told: dict[str, Any] = msgspec.to_builtins(event)
    return {name: value for name, value in told.items() if name != "type"}


def files(event: Content) -> Iterator[Part]:
    """Pictures, and an answer as sound."""
    for url in event.urls or ():
        yield {"type": "file", "mediaType": _media_type(url, ANY_PICTURE), "url": url}
    if event.data:
        yield {"type": "file", "mediaType": _media_type(event.data, "audio/mpeg"), "url": event.data}


def _media_type(url: str, otherwise: str) -> str:
    """What a data URI says that it is, or the name of a file."""
    if url.startswith("data:"):
        return url[5:].partition(",")[0].partition(";")[0] or otherwise
    return _types.guess_type(url.partition("?")[0], strict=False)[0] or otherwise


def refusal(event: Extra) -> str:
    """Why the model says nothing else, a piece of it."""
    text = event.extra.get("refusal")
    return text if isinstance(text, str) else ""


def sources(event: Extra) -> Iterator[Part]:
    """The pages that OpenAI's annotations cite; where they stand in the text has no place here."""
    annotations = event.extra.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        match annotation:
            case {"url_citation": {"url": str(url), **more}} | {"url": str(url), **more}:
                title = more.get("title")
                yield {"url": url, "title": title} if isinstance(title, str) else {"url": url}
            case _:
                pass


def documents(event: Sources) -> Iterator[Part]:
    """The passages of documents that the model was given."""
    for source in event.sources:
        media_type = _media_type(source.file, ANYTHING)
        yield {"mediaType": media_type, "title": source.place, "filename": source.file}


def data(event: Event) -> Iterator[Part]:
    """What a message has no part for is told to `onData`, and not kept with the message."""
    match event:
        case Chosen():
            yield _transient("provider", event.provider)
        case Switched():
            yield _transient("switch", {**msgspec.to_builtins(event.switch), "seam": event.seam})
        case Noted():
            yield _transient("message", {"message": event.message, "error": event.error})
        case Titled():
            yield _transient("title", event.title)
        case Suggested():
            yield _transient("suggestions", event.suggestions)
        case Session():
            yield _transient("conversation", event.conversation)
        case _:
            pass


def _transient(name: str, content: object) -> Part:
    return {"type": f"data-{name}", "data": content, "transient": True}


def retold(parts: Sequence[Part]) -> Iterator[Part]:
    """The stream that these parts of a message came from, or could have."""
    for index, part in enumerate(parts):
        match part:
            case {"type": "step-start"}:
                yield {"type": "start-step"}
            case {"type": "text" | "reasoning" as kind, "text": str(text)}:
                about = {"id": f"before_{index}"}
                seal = {name: part[name] for name in ("providerMetadata",) if name in part}
                yield {"type": f"{kind}-start", **about}
                yield {"type": f"{kind}-delta", **about, "delta": text}
                yield {"type": f"{kind}-end", **about, **seal}
            case {"type": "dynamic-tool", "toolName": str(name), "toolCallId": str()}:
                yield from _recalled(part, name, {"dynamic": True})
            case {"type": str(kind), "toolCallId": str()} if kind.startswith("tool-"):
                yield from _recalled(part, kind.removeprefix("tool-"), {})
            case {"type": str(kind)} if kind in ALIKE or kind.startswith("data-"):
                yield part
            case _:
                pass


def _recalled(part: Mapping[str, Any], name: str, more: Mapping[str, Any]) -> Iterator[Part]:
    """A tool call, and what came of it."""
    about = {"toolCallId": part["toolCallId"], **more}
    yield {"type": "tool-input-available", **about, "toolName": name, "input": part.get("input")}
    match part:
        case {"state": "output-available"}:
            yield {"type": "tool-output-available", **about, "output": part.get("output")}
        case {"state": "output-error"}:
            yield {"type": "tool-output-error", **about, "errorText": str(part.get("errorText"))}
        case {"state": "output-denied"}:
            yield {"type": "tool-output-denied", "toolCallId": part["toolCallId"]}
        case _:
            pass
