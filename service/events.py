"""What is answered: the vocabulary of every stream.

Each struct *is* its JSON on the v2 wire: `type` comes first, and the field named like the type holds the
content. Events are values: no ids, no time, no request; numbering belongs to the log. The types and their
keys are those of gpt4free's backend-api v2, which existing web clients read.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field


class Event(Struct, frozen=True, tag_field="type", omit_defaults=True):
    """One thing that happened in a turn."""


class Begun(Event, frozen=True, tag="turn"):
    """The first event of every turn: the id by which it is found again."""

    turn: str


class Answerer(Struct, frozen=True):
    """Who answers: a provider, and the model it named."""

    name: str
    url: str | None
    label: str
    model: str | None


class Chosen(Event, frozen=True, tag="provider"):
    """A provider took the turn, or the model that answers became known."""

    provider: Answerer


class Parameters(Event, frozen=True, tag="parameters"):
    parameters: dict[str, Any]


class Session(Event, frozen=True, tag="conversation"):
    """A provider's own state, by provider name; the client sends it back with the next turn."""

    conversation: dict[str, Any]


class Content(Event, frozen=True, tag="content", gc=False):
    """Text of the answer; for media also where it lies (`urls`, `alt`) or an audio source (`data`).

    `choice`, here and elsewhere, counts the answers where more than one was asked for, from 0.
    """

    content: str
    urls: list[str] | None = None
    alt: str | None = None
    data: str | None = None
    choice: int = 0


class Reasoning(Event, frozen=True, tag="reasoning", gc=False):
    """Thoughts before the answer; `token` None with an empty `status` says that they are over.

    `signature` is the provider's seal on the thoughts so far, `redacted` a thought that it has encrypted:
    whoever goes on with the conversation sends them back.
    """

    token: str | None | UnsetType = UNSET
    status: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    is_thinking: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    redacted: str | UnsetType = UNSET
    choice: int = 0


class PromptDetails(Struct, frozen=True):
    """`cache_write_tokens` were read anew, and kept for the next time (Anthropic bills them apart)."""

    cached_tokens: int = 0
    cache_write_tokens: int | UnsetType = UNSET


class CompletionDetails(Struct, frozen=True):
    reasoning_tokens: int = 0


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens of one turn; `estimated` where the provider did not count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    estimated: bool = False


class Used(Event, frozen=True, tag="usage"):
    """What the turn used; `recorded` is False only when the ledger could not be written in time."""

    usage: Usage
    model: str | None | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    recorded: bool = True


class Finish(Struct, frozen=True):
    """`reason` is stop, length, tool_calls or content_filter, or how the turn ended early.

    `stop_sequence` is the one of the request's that was met, where the provider says so.
    """

    reason: str
    stop_sequence: str | UnsetType = UNSET


class Finished(Event, frozen=True, tag="finish"):
    finish: Finish
    choice: int = 0


class Titled(Event, frozen=True, tag="title"):
    title: str


class Function(Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A delta as in OpenAI's stream: pieces with the same index belong together.

    `extra_content` is Google's: a seal that the provider wants to see again with the call's answer.
    """

    index: int = field(default_factory=int)
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    extra_content: dict[str, Any] | None = None


class ToolCalls(Event, frozen=True, tag="tool_calls"):
    tool_calls: list[ToolCall]
    choice: int = 0


class Extra(Event, frozen=True, tag="extra"):
    """What an upstream's chunk had beside this vocabulary: it belongs to the event that follows.

    `extra` are fields of the chunk's delta (annotations, refusal), `of_choice` those of its choice
    (logprobs), `of_chunk` those of the chunk itself (system_fingerprint), told again when they change.
    """

    extra: dict[str, Any] = {}
    of_choice: dict[str, Any] = {}
    of_chunk: dict[str, Any] = {}
    choice: int = 0


class Attempt(Struct, frozen=True):
    """Who could not answer, and why: the error's class, and a sentence."""

    provider: str
    model: str | None
    error: str
    message: str


class Switched(Event, frozen=True, tag="switch"):
    """Somebody else takes over; `seam` says that what was said stands, and is gone on with."""

    switch: Attempt
    seam: bool = False


class Spoken(Event, frozen=True, tag="synthesize"):
    """How the answer can be heard: `{"provider", "data"}` for the synthesize route."""

    synthesize: dict[str, Any]


class Suggested(Event, frozen=True, tag="suggestions"):
    suggestions: list[str]


class Preview(Event, frozen=True, tag="preview"):
    preview: str
    urls: list[str] | None = None
    alt: str | None = None


class Variant(Event, frozen=True, tag="variant"):
    variant: str


class Continued(Event, frozen=True, tag="continue"):
    text: str = field(name="continue")


class Logged(Event, frozen=True, tag="log"):
    log: str


class Noted(Event, frozen=True, tag="message"):
    """Something went wrong, but the answer goes on."""

    message: str
    error: str


class Failed(Event, frozen=True, tag="error"):
    """The answer ends here; `error` is the error's class, `retry_after` is in seconds."""

    error: str
    message: str
    retry_after: float | None = None


class Unauthorized(Event, frozen=True, tag="auth"):
    """The provider wants a key: clients show a field for it."""

    auth: str
    message: str


class Source(Struct, frozen=True, omit_defaults=True):
    """A passage that the answer may rest on: the file's name, its bucket, and where in it.

    `id` is the file's; `snippet` has the beginning, 300 characters at most. `last_page` is where it ends, if
    that is not the `page` on which it begins.
    """

    file: str
    bucket: str
    id: str
    snippet: str
    page: int | None = None
    title: str | None = None
    last_page: int | None = None

    @property
    def place(self) -> str:
        """Where it is from, in words."""
        page = f"page {self.page}" if self.page is not None else None
        pages = f"pages {self.page} and {self.last_page}" if self.last_page is not None else page
        return ", ".join(filter(None, [self.file, pages, self.title]))


class Sources(Event, frozen=True, tag="sources"):
    """The passages of documents that the model was given, in reading order, where not all could be."""

    sources: list[Source]


class Requested(Event, frozen=True, tag="request"):
    request: dict[str, Any]


class Responded(Event, frozen=True, tag="response"):
    response: dict[str, Any] | str


class Headers(Event, frozen=True, tag="headers"):
    headers: dict[str, str]


class Reset(Event, frozen=True, tag="reset"):
    """What was read before is void: everything is told again from the beginning. `reset` says why."""

    reset: str


class Resumable(Event, frozen=True, tag="resume"):
    """The service ends before the turn could: read on by the turn's id in a moment."""

    resume: str


Batch: TypeAlias = Sequence[Event]
"""What one read of an upstream contained: a batch costs a tenth of its events sent one by one."""


_SPOKEN = frozenset({Content, Reasoning, ToolCalls})


def begins(events: Batch) -> bool:
    """Whether any of these is a part of an answer, which begins with the first. A refusal is an answer."""
    for event in events:
        kind = type(event)
        if kind in _SPOKEN or (kind is Extra and event.extra.get("refusal")):  # type: ignore[attr-defined]
            return True
    return False
