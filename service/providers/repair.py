"""One answer of a stream, mended: thoughts and tool calls in its text, characters cut in two.

Text goes through three machines, each of which withholds what it cannot judge yet, and loses nothing:
`Halves` joins surrogate pairs, `Thoughts` tells what was thought from what is said, `WrittenCalls` finds the
tool calls that a small model writes into its text.
"""

from collections.abc import Iterable

from msgspec import UNSET
from msgspec.structs import replace

from service.events import Content, Event, Finish, Finished, Reasoning, ToolCall, ToolCalls
from service.providers.calls import CallDelta, Calls
from service.providers.surrogates import Halves
from service.providers.written import Piece, WrittenCalls, overlap

TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<mm:think>": "</mm:think>",  # MiniMax (vLLM #45687)
    "[THINK]": "[/THINK]",  # Magistral, without a reasoning parser
    "<|channel>thought": "<channel|>",  # Gemma
    "<|channel|>analysis<|message|>": "<|end|><|start|>assistant<|channel|>final<|message|>",  # gpt-oss
}
"""What servers leave standing that do not know their model's signs for thoughts."""
INDENT = 256
"""How many blanks may stand before the first sign."""


class Thoughts:
    """Finds the thoughts at the beginning of an answer; later signs are text, for one may speak of them.

    The blanks around the signs go with them. A text that begins inside the thoughts, because the template
    has opened them, cannot be told from an answer, and stays one.
    """

    __slots__ = ("_close", "_held", "_stage", "_trims", "settled")

    def __init__(self) -> None:
        self.settled = False
        """What comes from here on is text, as it stands."""
        self._stage = "before"
        self._close = ""
        self._held = ""
        self._trims = False
        """A sign went before: blanks are dropped."""

    def feed(self, text: str) -> tuple[str, str]:
        """The thoughts, and the text after them, that are certain now."""
        self._held += text
        if self._stage == "before":
            self._open()
        thought = self._thought() if self._stage == "inside" else ""
        return thought, self._text() if self._stage == "after" else ""

    def end(self) -> tuple[str, str]:
        """What was withheld: the thoughts have not ended, or what looked like a sign is text."""
        held, self._held = self._held, ""
        thinks, self._stage = self._stage == "inside", "after"
        self._trims, self.settled = False, True
        return (held, "") if thinks else ("", held)

    def _open(self) -> None:
        head = self._held.lstrip()
        near = len(self._held) - len(head) <= INDENT
        if near and (opening := next(filter(head.startswith, TAGS), None)):
            self._stage, self._close, self._trims = "inside", TAGS[opening], True
            self._held = head[len(opening) :]
        elif not (near and any(opening.startswith(head) for opening in TAGS)):
            self._stage = "after"

    def _thought(self) -> str:
        if self._trims:
            self._held = self._held.lstrip()
            self._trims = not self._held
        thought, closed, rest = self._held.partition(self._close)
        if closed:
            self._stage, self._held, self._trims = "after", rest, True
            return thought
        certain = len(self._held) - overlap(self._held, self._close)
        thought, self._held = self._held[:certain], self._held[certain:]
        return thought

    def _text(self) -> str:
        text, self._held = self._held.lstrip() if self._trims else self._held, ""
        self._trims = self._trims and not text
        self.settled = not self._trims
        return text


class Choice:
    """One of the answers that were asked for: what arrives of it goes in, events come out.

    `tools` are the names of the tools that the model was given; `seed` makes ids for calls that have none.
    """

    def __init__(self, index: int, tools: frozenset[str], seed: str) -> None:
        self.finish = ""
        """The reason in OpenAI's words; "" as long as there is none."""
        self.stop_sequence: str | None = None
        self.halves: Halves | None = None
        self.index = index
        self._thinking = False
        self._plain = False
        """Text passes as it stands: nothing can change it any more."""
        self._thoughts = Thoughts()
        self._written = WrittenCalls(tools) if tools else None
        self._calls = Calls(f"{seed}{index:02}")

    def think(self, text: str, events: list[Event]) -> None:
        """A thought that the upstream has told apart."""
        if self.halves and not (text := self.halves.joined("reasoning", text)):
            return
        if not self._thinking:
            self._thinking, self._plain = True, False
        events.append(Reasoning(text, choice=self.index) if self.index else Reasoning(text))

    def say(self, text: str, events: list[Event]) -> None:
        """Text, and whatever the model has put into it."""
        if self._plain:
            events.append(Content(text, None, None, None, self.index) if self.index else Content(text))
            return
        if self.halves:
            text = self.halves.joined("content", text)
        thought, text = self._thoughts.feed(text)
        self._thought(thought, events)
        self._tell(self._written.feed(text) if self._written else [text], events)
        settled = self._thoughts.settled and not self._thinking
        self._plain = settled and self._written is None and self.halves is None

    def show(self, urls: list[str], events: list[Event]) -> None:
        """Pictures."""
        self.left(events)
        self._answer(events)
        events.append(Content("", urls, choice=self.index))

    def call(self, deltas: Iterable[CallDelta], events: list[Event]) -> None:
        """Calls as the upstream has them: one that makes them writes none into its text."""
        if self._written or not self._thoughts.settled:
            self.left(events)
            self._written = None
        self._call(deltas, events)

    def careful(self) -> None:
        """From here on, characters may be cut in two."""
        self.halves, self._plain = self.halves or Halves(), False

    def left(self, events: list[Event]) -> None:
        """What is withheld, as the text that it is, because of what follows."""
        thought, text = self._thoughts.end()
        self._thought(thought, events)
        self._tell([*self._written.feed(text), *self._written.left()] if self._written else [text], events)

    def end(self, events: list[Event]) -> None:
        """What is withheld, and why the answer is over."""
        thought, text = self._thoughts.end()
        self._thought(thought, events)
        self._tell([*self._written.feed(text), *self._written.end()] if self._written else [text], events)
        self._answer(events)
        if calls := self._calls.end():
            events.append(ToolCalls(calls, self.index))
        if self.halves:
            self.halves.end()
        reason = self.finish or "stop"
        if self._calls and reason == "stop":
            reason = "tool_calls"
        events.append(Finished(Finish(reason, self.stop_sequence or UNSET), self.index))

    def _thought(self, text: str, events: list[Event]) -> None:
        """A thought that the model has put into its text."""
        if text:
            self._thinking = True
            events.append(Reasoning(text, choice=self.index))

    def _tell(self, pieces: list[Piece], events: list[Event]) -> None:
        for piece in pieces:
            if isinstance(piece, list):
                self._call(piece, events)
            elif piece:
                self._answer(events)
                events.append(Content(piece, None, None, None, self.index))

    def _call(self, deltas: Iterable[CallDelta], events: list[Event]) -> None:
        if calls := [self._joined(call) for call in self._calls.mended(deltas)]:
            self._answer(events)
            events.append(ToolCalls(calls, self.index))

    def _answer(self, events: list[Event]) -> None:
        """Closes the thoughts, if there were any: from here on the model answers."""
        if self._thinking:
            self._thinking = False
            events.append(Reasoning(token=None, status="", choice=self.index))

    def _joined(self, call: ToolCall) -> ToolCall:
        if not (self.halves and call.function and call.function.arguments):
            return call
        arguments = self.halves.joined(call.index, call.function.arguments)
        return replace(call, function=replace(call.function, arguments=arguments))
