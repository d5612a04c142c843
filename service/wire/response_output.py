"""The items of a response as they are told: opened, filled, closed; each step is a numbered frame.

Source: OpenAI's API reference, "Streaming events".
"""

from typing import Any, NamedTuple, TypeAlias

import msgspec

from service.events import ToolCall
from service.wire.response_object import (
    Item,
    ItemStatus,
    Json,
    OutputCall,
    OutputMessage,
    OutputReasoning,
    OutputRefusal,
    OutputText,
    Part,
    ReasoningText,
)

_encode = msgspec.json.Encoder().encode

Said: TypeAlias = OutputMessage | OutputReasoning


class Kind(NamedTuple):
    """What is told in deltas: the name of its events, and the field in which its text is kept."""

    name: str
    field: str
    part: type[Part] | None = None
    tail: bytes = b"}\n\n"


TEXT = Kind("response.output_text", "text", OutputText, b',"logprobs":[]}\n\n')
REFUSAL = Kind("response.refusal", "refusal", OutputRefusal)
THOUGHT = Kind("response.reasoning_text", "text", ReasoningText)
ARGUMENTS = Kind("response.function_call_arguments", "arguments")


class Run:
    """Deltas that belong together: a part of an item, or the arguments of a call; `at` says of which."""

    def __init__(self, kind: Kind, at: Json, holder: Part | OutputCall) -> None:
        self.kind, self.at, self.holder = kind, at, holder
        self.pieces: list[str] = []
        name = f"{kind.name}.delta"
        self.head = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'.encode()
        self.middle = b',%b,"delta":' % _encode(at)[1:-1]

    def gather(self) -> str:
        """Puts what was said so far into its holder."""
        text = "".join(self.pieces)
        setattr(self.holder, self.kind.field, text)
        return text


class Output:
    """What one response says. Frames up to the number `starting_after` are left out; `inf` leaves out all."""

    def __init__(self, turn: str, starting_after: float) -> None:
        self.items: list[Item] = []
        self.number = 0
        """Of the next frame."""
        self._turn, self._starting_after = turn, starting_after
        self._frames: list[bytes] = []
        self._item: Said | None = None
        """What is being said; calls come beside it."""
        self._at: Json = {}
        self._run: Run | None = None
        self._calls: dict[int, Run] = {}
        """By the provider's index; open until the end, for their pieces may alternate."""

    def taken(self) -> bytes:
        """The frames since the last time."""
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    def tell(self, name: str, **fields: Any) -> None:
        number, self.number = self.number, self.number + 1
        if number > self._starting_after:
            data = _encode({"type": name, "sequence_number": number, **fields})
            self._frames.append(b"event: %b\ndata: %b\n\n" % (name.encode(), data))

    def say(self, run: Run, text: str, tail: bytes | None = None) -> None:
        """A delta; `tail` in the place of its usual end."""
        run.pieces.append(text)
        number, self.number = self.number, self.number + 1
        if number > self._starting_after:
            tail = tail or run.kind.tail
            self._frames.append(b"%b%d%b%b%b" % (run.head, number, run.middle, _encode(text), tail))

    def part(self, kind: Kind) -> Run:
        """The part that is being told, which is of this kind."""
        if self._run and self._run.kind is kind:
            return self._run
        assert kind.part
        item = self.item(OutputReasoning if kind is THOUGHT else OutputMessage)
        self._close_part()
        part, at = kind.part(), {**self._at, "content_index": len(item.content)}
        item.content.append(part)
        self.tell("response.content_part.added", **at, part=part)
        self._run = Run(kind, at, part)
        return self._run

    def item(self, kind: type[OutputMessage] | type[OutputReasoning]) -> Any:
        """The item that is being told, which is of this kind."""
        if type(self._item) is not kind:
            self.close_item()
            prefix = "msg" if kind is OutputMessage else "rs"
            self._item = kind(f"{prefix}_{self._turn}_{len(self.items)}")
            self._at = self._open(self._item)
        return self._item

    def call(self, piece: ToolCall) -> Run:
        """The arguments of the call that this is a piece of."""
        if run := self._calls.get(piece.index):
            return run
        self.close_item()
        place = f"{self._turn}_{len(self.items)}"
        name = (piece.function and piece.function.name) or ""
        item = OutputCall(f"fc_{place}", piece.id or f"call_{place}", name)
        self._calls[piece.index] = run = Run(ARGUMENTS, self._open(item), item)
        return run

    def thinks(self) -> bool:
        return isinstance(self._item, OutputReasoning)

    def gathered(self) -> list[Item]:
        """The items, with everything that was said."""
        for run in (self._run, *self._calls.values()):
            if run:
                run.gather()
        return self.items

    def close_item(self, status: ItemStatus = "completed") -> None:
        if self._item:
            self._close_part()
            item, self._item = self._item, None
            self._close(item, self._at["output_index"], status)

    def close(self, status: ItemStatus) -> None:
        """Closes what is open: nothing follows."""
        self.close_item(status)
        for run in self._calls.values():
            assert isinstance(run.holder, OutputCall)
            self.tell(f"{ARGUMENTS.name}.done", **run.at, arguments=run.gather())
            self._close(run.holder, run.at["output_index"], status)
        self._calls.clear()

    def _open(self, item: Item) -> Json:
        """Returns where it is."""
        index = len(self.items)
        self.items.append(item)
        self.tell("response.output_item.added", output_index=index, item=item)
        return {"item_id": item.id, "output_index": index}

    def _close(self, item: Item, index: int, status: ItemStatus) -> None:
        item.status = status
        self.tell("response.output_item.done", output_index=index, item=item)

    def _close_part(self) -> None:
        if run := self._run:
            self._run = None
            said: Json = {run.kind.field: run.gather()}
            if isinstance(run.holder, OutputText):
                said["logprobs"] = run.holder.logprobs
            self.tell(f"{run.kind.name}.done", **run.at, **said)
            self.tell("response.content_part.done", **run.at, part=run.holder)
