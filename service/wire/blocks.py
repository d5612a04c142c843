"""An answer as Anthropic cuts it: into blocks of one kind each.

Source: Anthropic's API reference, "Streaming messages", "Content block delta types". Where one block ends and
the next one begins depends on the events alone, not on the batches that they come in.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from service.events import Content, Event, Finished, Reasoning, ToolCall, ToolCalls
from service.wire.projection import shown

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Text(Struct, tag="text"):
    text: str = ""


class Thinking(Struct, tag="thinking"):
    """`signature` stays empty where the provider has none."""

    thinking: str = ""
    signature: str = ""


class RedactedThinking(Struct, tag="redacted_thinking"):
    data: str


class ToolUse(Struct, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any] = {}


Block: TypeAlias = Text | Thinking | RedactedThinking | ToolUse


class TextDelta(Struct, tag="text_delta", gc=False):
    text: str


class ThinkingDelta(Struct, tag="thinking_delta", rename={"text": "thinking"}, gc=False):
    text: str


class SignatureDelta(Struct, tag="signature_delta", rename={"text": "signature"}, gc=False):
    text: str


class InputDelta(Struct, tag="input_json_delta", rename={"text": "partial_json"}, gc=False):
    text: str


Delta: TypeAlias = TextDelta | ThinkingDelta | SignatureDelta | InputDelta
"""A piece of a block; Anthropic has another name for its text in each kind."""


class BlockStart(Struct, tag="content_block_start"):
    index: int
    content_block: Block


class BlockDelta(Struct, tag="content_block_delta"):
    index: int
    delta: Delta


class BlockStop(Struct, tag="content_block_stop"):
    index: int


Step: TypeAlias = BlockStart | BlockDelta | BlockStop


class Blocks:
    """Cuts one answer, the first where there are several."""

    def __init__(self, turn_id: str) -> None:
        self._turn_id = turn_id
        self._count = 0
        self._open: type[Text] | type[Thinking] | int | None = None
        """The kind of the block that goes on, or the index of its tool call."""
        self._calls: dict[int, int] = {}
        """The blocks of tool calls, by the calls' indexes."""

    def steps(self, event: Event) -> Iterable[Step]:
        """What an event adds to the blocks."""
        match event:
            case Content(choice=0):
                text = shown(event)
                return self._grown(Text, Text(), TextDelta(text)) if text else ()
            case Reasoning(choice=0):
                return self._thought(event)
            case ToolCalls(choice=0):
                return [step for call in event.tool_calls for step in self._called(call)]
            case Finished(choice=0):
                return self._closed()
            case _:
                return ()

    def _thought(self, event: Reasoning) -> Iterator[Step]:
        if isinstance(event.token, str) and event.token:
            yield from self._grown(Thinking, Thinking(), ThinkingDelta(event.token))
        if isinstance(event.signature, str):  # what follows has a seal of its own
            yield from self._grown(Thinking, Thinking(), SignatureDelta(event.signature))
            yield from self._closed()
        if isinstance(event.redacted, str):
            yield from self._closed()
            yield BlockStart(self._count, RedactedThinking(event.redacted))
            yield BlockStop(self._count)
            self._count += 1

    def _called(self, call: ToolCall) -> Iterator[Step]:
        """A piece that comes when the next call has begun still belongs to its block."""
        name, arguments = (call.function.name, call.function.arguments) if call.function else (None, None)
        if call.index not in self._calls:
            yield from self._closed()
            self._calls[call.index] = self._count
            id = call.id or f"toolu_{self._turn_id}_{call.index}"
            yield from self._opened(call.index, ToolUse(id, name or ""))
        if arguments:
            yield BlockDelta(self._calls[call.index], InputDelta(arguments))

    def _grown(self, kind: type[Text] | type[Thinking], block: Block, delta: Delta) -> list[Step]:
        begin = [] if self._open is kind else [*self._closed(), *self._opened(kind, block)]
        return [*begin, BlockDelta(self._count, delta)]

    def _opened(self, kind: type[Text] | type[Thinking] | int, block: Block) -> list[Step]:
        self._open = kind
        return [BlockStart(self._count, block)]

    def _closed(self) -> list[Step]:
        if self._open is None:
            return []
        self._open = None
        self._count += 1
        return [BlockStop(self._count - 1)]


def put_together(steps: Iterable[Step]) -> list[Block]:
    """The blocks when all is said."""
    blocks: list[Block] = []
    pieces: list[list[str]] = []
    signatures: dict[int, str] = {}
    for step in steps:
        match step:
            case BlockStart():
                blocks.append(step.content_block)
                pieces.append([])
            case BlockDelta(index, SignatureDelta(text)):
                signatures[index] = text
            case BlockDelta(index, delta):
                pieces[index].append(delta.text)
            case BlockStop():
                pass
    return [
        _filled(block, "".join(pieces[index]), signatures.get(index, ""))
        for index, block in enumerate(blocks)
    ]


def _filled(block: Block, text: str, signature: str) -> Block:
    match block:
        case Text():
            return Text(text)
        case Thinking():
            return Thinking(text, signature)
        case ToolUse():
            return ToolUse(block.id, block.name, _object(text))
        case RedactedThinking():
            return block


def _object(text: str) -> dict[str, Any]:
    """The arguments of a call; empty where they are no JSON object, for they may have been cut off."""
    with suppress(msgspec.DecodeError):
        return _decode(text or "{}")
    return {}
