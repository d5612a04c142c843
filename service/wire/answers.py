"""A log's answers, put together from their pieces: one for each choice."""

from collections.abc import Iterator, Sequence
from typing import Any

from service.events import (
    Chosen,
    Content,
    Event,
    Extra,
    Finish,
    Finished,
    Reasoning,
    Sources,
    ToolCall,
    ToolCalls,
    Used,
)
from service.wire.projection import cited, shown

NAMES = frozenset({"id", "index", "type", "format"})
"""Fields whose texts are names, which are repeated, and not pieces of one."""


class Answer:
    """What was said of one choice; `extra` and `of_choice` hold what the vocabulary has no word for."""

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self.extra: dict[str, Any] = {}
        self.of_choice: dict[str, Any] = {}
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    @property
    def text(self) -> str | None:
        return "".join(self._texts) if self._texts else None

    @property
    def thoughts(self) -> str | None:
        return "".join(self._thoughts) if self._thoughts else None

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls by their index, as a message of OpenAI's has them."""
        return [self._calls[index] for index in sorted(self._calls)]

    def take(self, event: Event) -> None:
        match event:
            case Content():
                self._texts.append(shown(event))
            case Reasoning(token=str(token)):
                self._thoughts.append(token)
            case ToolCalls():
                for call in event.tool_calls:
                    self._take_call(call)
            case Extra():
                self.extra = merged(self.extra, event.extra)
                self.of_choice = merged(self.of_choice, event.of_choice, growing=False)
            case Finished():
                self.finish = event.finish
            case _:
                pass

    def _take_call(self, piece: ToolCall) -> None:
        call = self._calls.setdefault(
            piece.index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = call["id"] or piece.id
        if piece.extra_content:
            call["extra_content"] = piece.extra_content
        if piece.function:
            call["function"]["name"] += piece.function.name or ""
            call["function"]["arguments"] += piece.function.arguments or ""


class Answers:
    """All of a log: its answers by choice, the model that gave them, and what they cost."""

    def __init__(self, events: Sequence[Event], model: str | None) -> None:
        self.model = model or ""
        self.used: Used | None = None
        self.of_chunk: dict[str, Any] = {}
        self._choices = {0: Answer()}
        for event in events:
            self._take(event)

    def __iter__(self) -> Iterator[tuple[int, Answer]]:
        return iter(sorted(self._choices.items()))

    def _take(self, event: Event) -> None:
        match event:
            case Chosen():
                self.model = event.provider.model or self.model
            case Used():
                self.used = event
            case Content() | Reasoning() | ToolCalls() | Finished() | Extra():
                self._choices.setdefault(event.choice, Answer()).take(event)
                if isinstance(event, Extra):
                    self.of_chunk |= event.of_chunk
            case Sources():
                self._choices[0].take(cited(event))
            case _:
                pass


def merged(known: dict[str, Any], more: dict[str, Any], *, growing: bool = True) -> dict[str, Any]:
    """Two deltas as one: lists and, where they are `growing`, texts go on; of all else the last one holds.

    Entries of lists that have the same `index` are one entry.
    """
    return known | {
        name: _joined(known.get(name), value, growing and name not in NAMES)
        for name, value in more.items()
        if value is not None
    }


def _joined(known: Any, more: Any, growing: bool) -> Any:
    match known, more:
        case str(), str():
            return known + more if growing else more
        case dict(), dict():
            return merged(known, more, growing=growing)
        case list(), list():
            return _listed(known, more, growing)
        case _:
            return more


def _listed(known: list[Any], more: list[Any], growing: bool) -> list[Any]:
    entries = list(known)
    places = {entry["index"]: place for place, entry in enumerate(known) if _indexed(entry)}
    for entry in more:
        if _indexed(entry) and entry["index"] in places:
            place = places[entry["index"]]
            entries[place] = merged(entries[place], entry, growing=growing)
        else:
            entries.append(entry)
    return entries


def _indexed(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("index"), int)
