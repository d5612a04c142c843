"""Tool calls that a model writes into its text, where it should have made them.

Small models answer with a fenced block of JSON, with `<tool_call>` (Qwen, SmolLM), or with nothing but the
object. Only what names a tool that the model was given, with an object of arguments, is taken for a call.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from service.providers.calls import CallDelta, FunctionDelta

Piece: TypeAlias = str | list[CallDelta]
"""Text, or calls in its place."""

LONGEST = 65_536
"""How many characters of a block are withheld: what is longer is text."""
TAG, END_TAG, FENCE = "<tool_call>", "</tool_call>", "```"
NAMES = ("name", "function", "tool", "tool_name")
ARGUMENTS = ("arguments", "parameters", "args", "input")
_KEYS = frozenset({*NAMES, *ARGUMENTS, "id", "type", "tool_calls"})
"""With what an object may begin that is a call."""

_OPENING = re.compile(rf"{TAG}|(?<=\n) {{0,3}}{FENCE}(?:json|tool_calls?)?[ \t]*\n?")
_UNSURE = re.compile(r"(?<=\n) {0,3}`{0,2}\Z")
"""A line that may yet become a fence."""
_INFO = ("json", "tool_call", "tool_calls")
_HEAD = re.compile(r'\[?\s*\{\s*"(\w*)"\s*:\s*(?:"([^"\\]*)")?')
"""An object, or a list of them, as far as its first key and, where that is a text, its value."""
_PART_OF_HEAD = re.compile(r'\[?\s*(?:\{\s*(?:"\w*(?:"\s*)?)?)?')
_BETWEEN = re.compile(r"[\s,;]*")

_decoder = json.JSONDecoder(strict=False)  # small models break lines inside of strings


class WrittenCalls:
    """Finds the calls in the text of one answer; `tools` are the names that can be called.

    What may yet be a call is withheld, and comes out unchanged if it is none.
    """

    def __init__(self, tools: frozenset[str]) -> None:
        self._tools = tools
        self._held = ""
        self._before = "\n"
        """The last character that was let go: a fence stands at the beginning of a line."""
        self._may_be_bare = True
        """Nothing was let go yet: the whole answer may be an object."""
        self._trims = False
        """A call went before: blanks are dropped."""
        self._searched = 0
        """How far an open block has been looked through for its end."""

    def feed(self, text: str) -> list[Piece]:
        """The text and the calls that are certain now."""
        self._held += text
        return list(self._certain())

    def end(self) -> list[Piece]:
        """What was withheld: calls, if it is nothing else, even where the last sign is missing."""
        opening = self._opening(at_once=True)
        body = self._held[opening.end() - 1 :] if opening else self._held if self._may_be_bare else ""
        calls = self._calls(body)
        return self._called(calls, len(self._held)) if calls else self.left()

    def left(self) -> list[Piece]:
        """What was withheld, as the text that it is."""
        return list(self._let_go(len(self._held)))

    def _certain(self) -> Iterator[Piece]:
        while self._held:
            if self._trims:
                self._held = self._held.lstrip()
                self._trims = not self._held
            if self._may_be_bare and len(self._held) <= LONGEST and self._may_be_calls(self._held):
                return
            self._may_be_bare = False
            if opening := self._opening():
                if opening.start() > 1:
                    yield from self._let_go(opening.start() - 1)
                decision = self._block(opening[0])
                if decision is None:
                    return
                calls, length = decision
                yield from self._called(calls, length) if calls else self._let_go(length)
            else:
                unsure = max(overlap(self._held, TAG), _unsure_line(self._before + self._held))
                yield from self._let_go(len(self._held) - unsure)
                return

    def _opening(self, at_once: bool = False) -> re.Match[str] | None:
        """The first sign, or one with which the withheld text begins; it is looked for behind `_before`."""
        look = _OPENING.match if at_once else _OPENING.search
        return look(self._before + self._held, 1)

    def _block(self, opening: str) -> tuple[list[CallDelta], int] | None:
        """The calls in a block, and its length, or that of the text that it is; None while it is open."""
        body, tagged = self._held[len(opening) :], opening == TAG
        if not self._may_be_calls(body) and (tagged or not any(info.startswith(body) for info in _INFO)):
            return [], len(opening)
        closing, most = END_TAG if tagged else FENCE, len(opening) + LONGEST
        at = self._held.find(closing, max(len(opening), self._searched), most)
        while at >= 0:
            if calls := self._calls(self._held[len(opening) : at]):
                return calls, at + len(closing)
            if tagged or self._held[at - 1] == "\n":  # elsewhere a fence may stand inside of an argument
                return [], at + len(closing)
            at = self._held.find(closing, at + 1, most)
        self._searched = len(self._held) - len(closing)
        return ([], len(opening)) if len(body) > LONGEST else None

    def _let_go(self, length: int) -> Iterator[str]:
        text, self._held, self._searched = self._held[:length], self._held[length:], 0
        if text:
            self._before = text[-1]
            yield text

    def _called(self, calls: list[CallDelta], length: int) -> list[Piece]:
        self._held, self._searched = self._held[length:], 0
        self._before, self._trims, self._may_be_bare = "\n", True, False
        return [calls]

    def _may_be_calls(self, text: str) -> bool:
        """Whether calls can begin like this."""
        text = text.lstrip()
        if head := _HEAD.match(text):
            key, value = head.groups()
            return key in _KEYS and (key not in NAMES or value is None or value in self._tools)
        return _PART_OF_HEAD.fullmatch(text) is not None

    def _calls(self, text: str) -> list[CallDelta]:
        """The calls that this is, and nothing else; none where anything is not one."""
        calls = [self._call(value) for value in _values(text)]
        return [call for call in calls if call] if all(calls) else []

    def _call(self, value: Any) -> CallDelta | None:
        inner = value.get("function") if isinstance(value, dict) else None
        fields = inner if isinstance(inner, dict) else value if isinstance(value, dict) else {}
        name = next((fields[key] for key in NAMES if key in fields), None)
        arguments = next((fields[key] for key in ARGUMENTS if key in fields), None)
        if isinstance(arguments, str):
            arguments = next(iter(_values(arguments)), None)
        if isinstance(name, str) and name in self._tools and isinstance(arguments, dict):
            return CallDelta(function=FunctionDelta(name, arguments))
        return None


def overlap(text: str, sign: str) -> int:
    """How many characters at the text's end may be the beginning of the sign."""
    longest = min(len(sign) - 1, len(text))
    if longest == 0 or sign[0] not in text[-longest:]:
        return 0
    return next((length for length in range(longest, 0, -1) if text.endswith(sign[:length])), 0)


def _unsure_line(text: str) -> int:
    """The length of a last line that may yet become a fence."""
    line = _UNSURE.search(text)
    return len(line[0]) if line else 0


def _values(text: str) -> list[Any]:
    """The values of JSON in a text that has nothing else in it but lists of them, commas and blanks."""
    values: list[Any] = []
    at, end = _after_blanks(text, 0), len(text)
    try:
        while at < end:
            value, at = _decoder.raw_decode(text, at)
            at = _after_blanks(text, at)
            value = value.get("tool_calls", value) if isinstance(value, dict) else value
            values += value if isinstance(value, list) else [value]
    except (ValueError, RecursionError):
        return []
    return values


def _after_blanks(text: str, at: int) -> int:
    blanks = _BETWEEN.match(text, at)
    return blanks.end() if blanks else at
