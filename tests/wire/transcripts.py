"""Logs of turns as they are kept: what every wire is held to says these, to the byte."""

from collections.abc import Collection, Sequence
from itertools import pairwise

from service.events import (
    Answerer,
    Attempt,
    Begun,
    Chosen,
    CompletionDetails,
    Content,
    Event,
    Extra,
    Failed,
    Finish,
    Finished,
    Function,
    PromptDetails,
    Reasoning,
    Switched,
    ToolCall,
    ToolCalls,
    Unauthorized,
    Usage,
    Used,
)
from service.wire import Wire

TURN = "t-1"
CREATED = 1_700_000_000


def _opening(model: str = "small") -> list[Event]:
    return [Begun(TURN), Chosen(Answerer("Upstream", None, "The upstream", model))]


def _closing(usage: Usage, reason: str = "stop", model: str = "small") -> list[Event]:
    return [Finished(Finish(reason)), Used(usage, model, "Upstream")]


def _call(index: int, id: str, name: str) -> ToolCalls:
    return ToolCalls([ToolCall(index, id, "function", Function(name, ""))])


def _arguments(index: int, text: str) -> ToolCalls:
    return ToolCalls([ToolCall(index, function=Function(arguments=text))])


TEXT: list[Event] = [
    *_opening(),
    Content("Hel"),
    Content('lo\n"é🤔"'),
    *_closing(Usage(4, 2, 6)),
]

REASONING: list[Event] = [
    *_opening(),
    Reasoning(token="Let me "),
    Reasoning(token="think."),
    Reasoning(signature="c2VhbA=="),
    Reasoning(redacted="aGlkZGVu"),
    Reasoning(token=None, status=""),
    Content("Done."),
    *_closing(Usage(5, 9, 14, None, CompletionDetails(7))),
]

TOOLS: list[Event] = [
    *_opening(),
    Content("I look."),
    _call(0, "call_a", "weather"),
    _arguments(0, '{"city":'),
    _arguments(0, '"Oslo"}'),
    _call(1, "call_b", "time"),
    _arguments(1, "{}"),
    *_closing(Usage(20, 12, 32), "tool_calls"),
]
"""Two calls, of which each comes in pieces."""

CHOICES: list[Event] = [
    *_opening(),
    Content("One"),
    Content("Or", choice=1),
    Content(" else", choice=1),
    Content(" way"),
    Finished(Finish("length"), choice=1),
    *_closing(Usage(4, 4, 8)),
]
"""Two answers (n = 2), told by turns."""

LOGPROBS: list[Event] = [
    *_opening(),
    Extra(of_chunk={"system_fingerprint": "fp_1"}),
    Extra(of_choice={"logprobs": {"content": [{"token": "Yes", "logprob": -0.5, "top_logprobs": []}]}}),
    Content("Yes"),
    Extra(of_choice={"logprobs": {"content": [{"token": ".", "logprob": -0.25, "top_logprobs": []}]}}),
    Content("."),
    Extra(extra={"refusal": "But no"}),
    Extra(extra={"refusal": " more."}),
    *_closing(Usage(4, 2, 6)),
]
"""What the vocabulary has no word for, beside tokens and by itself."""

BROKEN: list[Event] = [*_opening(), Content("Hel"), Failed("ProviderError", "The connection broke.")]

LIMITED: list[Event] = [*_opening(), Failed("RateLimited", "Too many. Try again later.", 2.5)]

KEYLESS: list[Event] = [*_opening(), Unauthorized("ProviderAuth", "The upstream needs a key.")]

CUT: list[Event] = [*_opening(), Content("And so"), *_closing(Usage(4, 2, 6), "length")]

COUNTED: list[Event] = [
    *_opening(),
    Content("42"),
    *_closing(Usage(100, 30, 130, PromptDetails(60, 10), CompletionDetails(25))),
]
"""Of the prompt 60 tokens came from a cache, and 10 were put into it."""

SILENT: list[Event] = [*_opening(), *_closing(Usage(4, 0, 4))]
"""Nothing was said."""

SEAM: list[Event] = [
    *_opening(),
    Content("Once upon"),
    Switched(Attempt("Upstream", "small", "ProviderTimeout", "It was silent."), seam=True),
    Chosen(Answerer("Other", None, "The other", "large")),
    Content(" a time."),
    *_closing(Usage(4, 5, 9, estimated=True), model="large"),
]
"""Another provider, with another model, goes on where the first has broken off."""

STOPPED: list[Event] = [*_opening(), Content("And so"), *_closing(Usage(4, 2, 6, estimated=True), "stopped")]
"""The user has ended it."""

MEDIA: list[Event] = [
    *_opening("painter"),
    Content("", urls=["/media/a.png", "/media/b.png"], alt="A red fox"),
    *_closing(Usage(3, 0, 3), model="painter"),
]

UNRECORDED: list[Event] = [
    *_opening(),
    Content("Hi"),
    Finished(Finish("stop", "END")),
    Used(Usage(1, 1, 2), "small", "Upstream", recorded=False),
]
"""A stop sequence was met, and the ledger could not be written."""

TRANSCRIPTS: dict[str, list[Event]] = {
    "text": TEXT,
    "reasoning": REASONING,
    "tools": TOOLS,
    "choices": CHOICES,
    "logprobs": LOGPROBS,
    "broken": BROKEN,
    "limited": LIMITED,
    "keyless": KEYLESS,
    "cut": CUT,
    "counted": COUNTED,
    "silent": SILENT,
    "seam": SEAM,
    "stopped": STOPPED,
    "media": MEDIA,
    "unrecorded": UNRECORDED,
}


def said(wire: Wire, log: Sequence[Event], cuts: Collection[int] = ()) -> bytes:
    """The whole stream of a log that comes in batches, cut at these places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(log)}), len(log)]
    return b"".join(wire.encode(log[begin:end], begin) for begin, end in pairwise(places)) + wire.end()
