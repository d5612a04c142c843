"""What is asked: a conversation, and how it should be answered."""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from service.errors import BadRequest
from service.settings import Secrets

Part: TypeAlias = dict[str, Any]
"""A piece of a message, as OpenAI has it: `{"type": "text", "text": …}`, `{"type": "image_url", …}`, …"""

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Message(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation; `content` is text, or a list of parts.

    What a provider said beside its text comes back to it as it was: some cannot go on without.
    """

    role: Role
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    reasoning_content: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None


class Generation(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How to answer: OpenAI's parameters by their names. Nothing else a client sends reaches a provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    n: int | None = None
    logprobs: bool | int | None = None
    """How many, in the older interface, which has no `top_logprobs`."""
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    web_search_options: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    """OpenRouter's; `thinking` is Anthropic's."""
    thinking: dict[str, Any] | None = None


UNSAID, NOBODY = Generation(), frozenset[str]()
"""Shared by the questions that say nothing of how to answer, and of who must not: each takes 250 bytes."""


class Allowed(Struct, frozen=True):
    """Which providers and models may answer, by name; None is all of them."""

    providers: frozenset[str] | None = None
    models: frozenset[str] | None = None

    def has(self, provider: str, model: str | None) -> bool:
        """`model` None is the provider's own choice, of which nobody knows what it will be."""
        return self.has_provider(provider) and self.has_model(model)

    def has_provider(self, name: str) -> bool:
        return self.providers is None or name in self.providers

    def has_model(self, name: str | None) -> bool:
        return self.models is None or name in self.models


class Ask(Struct, frozen=True, kw_only=True):
    """One question to a provider; `model` None means the provider's own choice."""

    messages: list[Message]
    model: str | None = None
    generation: Generation = UNSAID
    ignored: frozenset[str] = NOBODY
    """Names of providers that must not answer, where the service chooses one."""
    allowed: Allowed = Allowed()
    """What whoever asks has a right to."""
    keys: Secrets = Secrets()
    """The client's own keys by the name of the provider that each is for; under "" for the one it names."""
    base_url: str | None = None
    """Where the client's own upstream lies."""
    web_search: bool | str = False
    """Whether the provider should search first, or what for."""
    continuation: bool = False
    """Whether another provider may go on where one has broken off."""
    aspect_ratio: str | None = None
    """Of pictures, such as "16:9"."""
    download_media: bool = False
    """Whether what is generated, pictures and the like, should be copied here."""
    speaker: str | None = None
    """By whom the answer can be heard, where the client wants to be told; `voice` is the one it chose."""
    voice: str | None = None
    wants_title: bool = False
    """Whether it begins a conversation that is to be named after the answer."""


def checked(messages: list[Message]) -> list[Message]:
    """The messages as they are. Raises `BadRequest` where there are none, or one cannot be read."""
    if not messages:
        raise BadRequest('There is nothing to answer: "messages" is empty.', "messages")
    for index, message in enumerate(messages):
        _check(message, f"messages[{index}].content")
    return messages


def tidied(messages: list[Message]) -> list[Message]:
    """The messages as a provider may see them: bare texts typed, empty ones and repeated answers left out.

    Web clients send an empty array after an upload, and an answer twice after a variant. A tool may answer
    with nothing, and a call is not left out, for its answer follows. Raises `BadRequest`.
    """
    kept: list[Message] = []
    for index, message in enumerate(messages):
        _check(message, f"messages[{index}].content")
        tidy = _tidy(message)
        says_something = tidy.content or tidy.tool_calls or tidy.role == "tool"
        again = kept and kept[-1].role == tidy.role == "assistant" and not tidy.tool_calls
        if says_something and not again:
            kept.append(tidy)
    if not kept:
        raise BadRequest('There is nothing to answer: send "messages" with some text in them.', "messages")
    return kept


def _tidy(message: Message) -> Message:
    if not isinstance(message.content, list):
        return message
    parts = [typed for part in message.content if (typed := _typed(part))]
    return replace(message, content=parts)


def _typed(part: Part) -> Part | None:
    """A part with a `type` stands as it is, and one that names a bucket; a bare `text` becomes a text part.

    The empty and unknown go.
    """
    if "bucket_id" in part and ("name" in part or "text" not in part):
        return part
    if "type" in part:
        return None if part.get("type") == "text" and not part.get("text") else part
    text = part.get("text")
    return {"type": "text", "text": text} if text and isinstance(text, str) else None


def _check(message: Message, path: str) -> None:
    """No text store and few models can hold a NUL character, so it is refused where it enters."""
    if any("\0" in text for text in texts(message)):
        raise BadRequest(f"{path} holds a NUL character (\\u0000); remove it.", path)


def texts(message: Message) -> Iterator[str]:
    """Every piece of text in a message."""
    if isinstance(message.content, str):
        yield message.content
    for part in message.content if isinstance(message.content, list) else ():
        if isinstance(text := part.get("text"), str):
            yield text


def estimated_tokens(messages: list[Message]) -> int:
    """Tokens of a prompt that nobody counted: one for four bytes, and four for each message."""
    return 1 + sum(4 + sum(len(text.encode()) for text in texts(message)) // 4 for message in messages)
