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
    """Text of the answer; for media also where it lies (`urls`, `alt`) or an audio source (`data`)."""

    content: str
    urls: list[str] | None = None
    alt: str | None = None
    data: str | None = None


class Reasoning(Event, frozen=True, tag="reasoning", gc=False):
    """Thoughts before the answer; `token` None with an empty `status` says that they are over."""

    token: str | None | UnsetType = UNSET
    status: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    is_thinking: str | UnsetType = UNSET


class PromptDetails(Struct, frozen=True):
    cached_tokens: int = 0


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
    reason: str


class Finished(Event, frozen=True, tag="finish"):
    finish: Finish


class Titled(Event, frozen=True, tag="title"):
    title: str


class Function(Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A delta as in OpenAI's stream: pieces with the same index belong together."""

    index: int = field(default_factory=int)
    id: str | None = None
    type: str | None = None
    function: Function | None = None


class ToolCalls(Event, frozen=True, tag="tool_calls"):
    tool_calls: list[ToolCall]


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
    """The answer ends here; `error` is the error's class."""

    error: str
    message: str


class Unauthorized(Event, frozen=True, tag="auth"):
    """The provider wants a key: clients show a field for it."""

    auth: str
    message: str


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
