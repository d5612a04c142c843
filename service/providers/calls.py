"""Tool calls as OpenAI streams them, out of what upstreams make of it.

Some count every call as 0 or not at all (Ollama #15457, #7881), send arguments as objects (g4f.dev #70), give
a call no id, or another with each piece, or say its name with each piece.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from service.events import Function, ToolCall
from service.providers.surrogates import mended

EMPTY = "{}"


class FunctionDelta(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallDelta(Struct, gc=False):
    """A piece of a call, or all of it, as an upstream has it."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionDelta | None = None
    extra_content: dict[str, Any] | None = None


class _Piece(Struct):
    """The same with nothing null: "" stands for what is not said."""

    index: int | None
    id: str
    name: str
    arguments: str
    extra: dict[str, Any] | None = None

    @property
    def says_something(self) -> bool:
        """Else it is at most a seal, on the call before it or on the one to come."""
        return bool(self.id or self.name or self.arguments)


class _Call:
    """A call as far as it has come; `given` is the upstream's id for it, `index` our own."""

    def __init__(self, given: str) -> None:
        self.index, self.given = 0, given
        self.name = ""
        self.empty = False
        """Its arguments were said to be empty: this is told when nothing better has come."""
        self._pieces: list[str] = []
        self._length = 0

    @property
    def arguments(self) -> str:
        return "".join(self._pieces)

    @property
    def complete(self) -> bool:
        arguments = self.arguments.rstrip()
        return self.empty or (arguments.endswith("}") and _is_json(arguments))

    def goes_on_with(self, arguments: str) -> bool:
        """Whether these can be the next piece of its arguments, and are no others."""
        begins = arguments.lstrip().startswith("{")
        return bool(arguments) and not begins and bool(self._pieces) and not self.complete

    def add(self, arguments: str) -> str:
        """The arguments that are new: some upstreams send a whole call twice."""
        if not self._pieces and arguments.strip() == EMPTY:
            self.empty = True
            return ""
        if len(arguments) == self._length and arguments == self.arguments and self.complete:
            return ""
        self._pieces.append(arguments)
        self._length += len(arguments)
        return arguments


class Calls:
    """Mends the calls of one answer, in the order in which they begin.

    Each gets an index of its own; its first piece has id, type and name, the others have arguments alone.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._named = 0
        self._seal: dict[str, Any] | None = None
        self._numbered = True
        """The upstream counts its calls, as far as it has come."""
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
        self._known: dict[str, _Call] = {}

    def __bool__(self) -> bool:
        """Whether there was any."""
        return self._named > 0

    def mended(self, deltas: Iterable[CallDelta]) -> list[ToolCall]:
        """The pieces as they should have been."""
        pieces = map(_piece, deltas)
        return [
            call
            for piece in pieces
            for call in (self._mended(piece) if piece.says_something else self._sealed(piece))
        ]

    def end(self) -> list[ToolCall]:
        """Arguments for the calls that were given none: an empty text is no JSON."""
        return [_more(call, EMPTY) for call in self._calls if call.name and not call.arguments.strip()]

    def _mended(self, piece: _Piece) -> Iterator[ToolCall]:
        call = self._continued(piece) or self._begun(piece)
        arguments = call.add(piece.arguments)
        if call.name:
            if arguments or piece.extra:
                yield ToolCall(call.index, function=Function(arguments=arguments), extra_content=piece.extra)
        elif piece.name:
            call.name, call.index = piece.name, self._named
            self._named += 1
            id = call.given or f"call_{self._seed}{call.index:02}"
            seal, self._seal = piece.extra or self._seal, None
            yield ToolCall(call.index, id, "function", Function(call.name, call.arguments), seal)

    def _sealed(self, piece: _Piece) -> Iterator[ToolCall]:
        if piece.extra and self._calls and self._calls[-1].name:
            yield ToolCall(self._calls[-1].index, extra_content=piece.extra)
        else:
            self._seal = piece.extra or self._seal

    def _begun(self, piece: _Piece) -> _Call:
        taken = piece.id in self._known  # the same id for every call
        call = _Call("" if taken else piece.id)
        self._calls.append(call)
        if piece.id:
            self._known[piece.id] = call
        if piece.index is None:
            self._numbered = False
        else:
            self._at[piece.index] = call
        return call

    def _continued(self, piece: _Piece) -> _Call | None:
        """The call that a piece goes on with; None if it begins another."""
        call = self._addressed(piece)
        if call is None:
            return None
        foreign = bool(piece.id and call.given and piece.id != call.given)
        if not piece.name:  # an id alone begins nothing where the arguments still lack something
            begins = foreign and call.complete
        elif not call.name:
            begins = False
        elif foreign or piece.name != call.name:
            begins = not call.goes_on_with(piece.arguments)
        else:  # a name that is repeated, or a second call of the same function
            again = piece.id != "" and piece.arguments == call.arguments
            begins = call.complete and bool(piece.arguments.strip()) and not again
        return None if begins else call

    def _addressed(self, piece: _Piece) -> _Call | None:
        """The call that a piece names, by its id or by its index; the last one if it names none."""
        known = self._known.get(piece.id) if piece.id else None
        last = self._calls[-1] if self._calls else None
        if piece.index is None or not self._numbered:
            return known or last
        call = self._at.get(piece.index)
        if call is None:
            return None if piece.name or (piece.id and not known) else known or last
        return call if known is None or call.given == piece.id else known


def _piece(delta: CallDelta) -> _Piece:
    function = delta.function or FunctionDelta()
    arguments = _text(function.arguments)
    return _Piece(delta.index, delta.id or "", function.name or "", arguments, delta.extra_content)


def _text(arguments: str | dict[str, Any] | None) -> str:
    if isinstance(arguments, dict):
        return msgspec.json.encode(mended(arguments)).decode()
    return arguments or ""


def _more(call: _Call, arguments: str) -> ToolCall:
    return ToolCall(call.index, function=Function(arguments=arguments))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
