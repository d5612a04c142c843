"""What OpenAI's Responses API calls a response: an object that repeats its request, and has what came of it.

Source: OpenAI's API reference, "The response object". Beside OpenAI's fields a `reasoning` item has
`signature`, as OpenRouter's do, and `usage` says whether it is `estimated` or not `recorded`.
"""

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from service.events import Usage, Used

Json: TypeAlias = dict[str, Any]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
Status = Literal["in_progress", "completed", "incomplete", "cancelled", "failed"]


class ReasoningOptions(Struct, frozen=True, kw_only=True):
    """How hard to think, in the model's own words. Thoughts are told as they are, whatever `summary` says."""

    effort: str | None = None
    summary: str | None = None


class TextOptions(Struct, frozen=True, kw_only=True):
    """The `format` of the text, and how much of it is wished for."""

    format: Json = field(default_factory=lambda: {"type": "text"})
    verbosity: str | None = None


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a response repeats of its request; null stands for OpenAI's default."""

    model: str | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    truncation: str | None = None
    service_tier: str | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None

    def repeated(self) -> Json:
        """Its fields, with the defaults that OpenAI names in their place."""
        defaults: Json = {
            "model": "",
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": ReasoningOptions(),
            "text": TextOptions(),
            "truncation": "disabled",
            "background": False,
            "store": True,
            "metadata": {},
        }
        said = ((name, getattr(self, name)) for name in Asked.__struct_fields__)
        return {name: defaults.get(name) if value is None else value for name, value in said}


class OutputText(Struct, tag_field="type", tag="output_text"):
    """Text, with its citations and log probabilities."""

    text: str = ""
    annotations: list[Json] = []
    logprobs: list[Json] = []


class OutputRefusal(Struct, tag_field="type", tag="refusal"):
    """Why the model will not answer."""

    refusal: str = ""


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    """The model's own thoughts."""

    text: str = ""


Part: TypeAlias = OutputText | OutputRefusal | ReasoningText


class OutputMessage(Struct, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    status: ItemStatus = "in_progress"
    role: str = "assistant"
    content: list[OutputText | OutputRefusal] = []


class OutputReasoning(Struct, tag_field="type", tag="reasoning"):
    """Thoughts: `signature` is the seal on them, `encrypted_content` one that the provider keeps secret."""

    id: str
    status: ItemStatus = "in_progress"
    summary: list[Json] = []
    content: list[ReasoningText] = []
    encrypted_content: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET


class OutputCall(Struct, tag_field="type", tag="function_call"):
    """A function that the model calls; `arguments` are JSON."""

    id: str
    call_id: str
    name: str
    arguments: str = ""
    status: ItemStatus = "in_progress"


Item: TypeAlias = OutputMessage | OutputReasoning | OutputCall


class InputDetails(Struct, frozen=True):
    """Of the input, what came from a cache and what was put into one."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(Struct, frozen=True):
    """Of the output, what were thoughts."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, frozen=True):
    """Tokens; `estimated` where nobody counted, `recorded` false where the ledger could not be written."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    estimated: bool | UnsetType = UNSET
    recorded: bool | UnsetType = UNSET

    @classmethod
    def of(cls, used: Used) -> "ResponseUsage":
        usage = used.usage
        return cls(
            usage.prompt_tokens,
            _input_details(usage),
            usage.completion_tokens,
            OutputDetails(
                usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
            ),
            usage.total_tokens,
            usage.estimated or UNSET,
            UNSET if used.recorded else False,
        )


def _input_details(usage: Usage) -> InputDetails:
    details = usage.prompt_tokens_details
    return InputDetails(details.cached_tokens, details.cache_write_tokens or 0) if details else InputDetails()


class ResponseError(Struct, frozen=True):
    """What a response failed with."""

    code: str
    message: str


class IncompleteDetails(Struct, frozen=True):
    """Why a response broke off: max_output_tokens, content_filter, or interrupted (the process ended)."""

    reason: str


class Response(Asked, frozen=True, kw_only=True, omit_defaults=False):
    """A response; `created_at` in UTC seconds since 1970, `error` only where it has failed."""

    id: str
    object: str = "response"
    created_at: int
    status: Status
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    output: list[Item] = []
    usage: ResponseUsage | None = None
