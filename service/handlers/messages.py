"""Anthropic's messages, over the same turns as everything else.

Source: Anthropic's API reference, "Create a Message" and "Count tokens in a Message".
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from service.context import Context
from service.errors import BadRequest
from service.handlers.blocks import Block, Cache, TextBlock, messages
from service.handlers.headers import terms
from service.messages import Ask, Generation, checked, estimated_tokens
from service.routes import route, user
from service.stores.ledger import Record
from service.streaming import Stream, Whole
from service.wire.anthropic import MessageEvents, message

WEB_SEARCH = "web_search"


class InputMessage(Struct, frozen=True):
    """One message of the conversation so far."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(Struct, frozen=True):
    """A function of the client's; of the tools that Anthropic's servers run, web search alone is known."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: Cache = None

    @property
    def searches(self) -> bool:
        return self.type is not None and self.type.startswith(WEB_SEARCH)

    def function(self, index: int) -> dict[str, Any]:
        """The same as OpenAI has it; `index` is its place in the request. Raises `BadRequest`."""
        if self.type not in {None, "custom"}:
            raise BadRequest(
                f"Tools of the type {self.type!r} run at Anthropic only. Send functions, or web search.",
                f"tools[{index}].type",
            )
        described = {"description": self.description, "parameters": self.input_schema, "strict": self.strict}
        known = {name: value for name, value in described.items() if value is not None}
        cache = {"cache_control": self.cache_control} if self.cache_control else {}
        return {"type": "function", "function": {"name": self.name, **known}, **cache}


class ToolChoice(Struct, frozen=True):
    """Which tools the model may call, or must."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False

    def choice(self) -> str | dict[str, Any]:
        match self.type:
            case "any":
                return "required"
            case "tool":
                return {"type": "function", "function": {"name": self.name}}
            case same:
                return same


class OutputFormat(Struct, frozen=True):
    """The JSON schema that the answer must have."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Struct, frozen=True):
    """How much the model should think, and the form of its answer."""

    effort: str | None = None
    format: OutputFormat | None = None


class MessageRequest(Struct, frozen=True):
    """A question as Anthropic's clients put it; `provider` and `continuation` are ours.

    `provider` says who answers; left out, the service chooses. `continuation` lets another provider go on
    where one has broken off. Fields that are not listed are accepted and have no effect.
    """

    messages: list[InputMessage] = field(default_factory=list)
    model: str | None = None
    max_tokens: int | None = None
    system: str | list[TextBlock] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    thinking: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    service_tier: str | None = None
    stream: bool = False
    provider: str | None = None
    continuation: bool = False

    def ask(self) -> Ask:
        """The question as a turn takes it. Raises `BadRequest`."""
        turns = [said for turn in self.messages for said in messages(turn.role, turn.content)]
        system = messages("system", self.system) if self.system else ()
        return Ask(
            messages=checked([*system, *turns] if turns else []),
            model=self.model or None,
            generation=self._generation(),
            web_search=any(tool.searches for tool in self.tools or ()),
            continuation=self.continuation,
        )

    def _generation(self) -> Generation:
        functions = [tool.function(index) for index, tool in enumerate(self.tools or ()) if not tool.searches]
        choice = self.tool_choice if functions else None
        output = self.output_config or OutputConfig()
        return Generation(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=self.stop_sequences or None,
            tools=functions or None,
            tool_choice=choice.choice() if choice else None,
            parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
            thinking=self.thinking,
            reasoning_effort=output.effort,
            response_format=_response_format(output.format),
            service_tier="default" if self.service_tier == "standard_only" else None,
        )


class TokenCount(Struct, frozen=True):
    """An estimate: a token for four bytes of text; pictures and files are not counted."""

    input_tokens: int


class Messages:
    """messages."""

    def __init__(self, context: Context) -> None:
        self._turns, self._limits = context.turns, context.settings.stream
        self.routes = {
            "/v1/messages": route(POST=self.message),
            "/v1/messages/count_tokens": route(POST=self.count_tokens),
        }

    @user
    async def message(
        self, body: MessageRequest, headers: Mapping[str, str], record: Record
    ) -> Stream | Whole:
        """Answers a conversation as Anthropic does, streamed or not.

        What fails before the first word has an HTTP status in both cases; later a stream carries an `error`.
        The header X-Turn-Id names the turn, which can be read again at /backend-api/v2/turns.
        """
        record.wire = "anthropic"
        ask, kept = body.ask(), terms(headers, self._limits.grace, body)
        turn = await self._turns.start(ask, body.provider, record, kept)
        if body.stream:
            wire = MessageEvents(turn.id, body.model, _prompt_tokens(ask))
            return Stream(turn, wire, patience=self._limits.first_event_timeout)
        return Whole(turn, partial(message, turn_id=turn.id, model=body.model))

    @user
    async def count_tokens(self, body: MessageRequest) -> TokenCount:
        """How long the prompt is, in tokens; nobody is asked to answer it."""
        return TokenCount(_prompt_tokens(body.ask()))


def _prompt_tokens(ask: Ask) -> int:
    tools = ask.generation.tools
    return estimated_tokens(ask.messages) + (len(msgspec.json.encode(tools)) // 4 if tools else 0)


def _response_format(format: OutputFormat | None) -> dict[str, Any] | None:
    if format is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": format.schema, "strict": True}}
