"""What a request for a response asks for, as a turn takes it.

Source: OpenAI's API reference, "Create a model response"; its guide "Migrate to the Responses API" has what
tools and formats are called in a chat.
"""

from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from service.errors import BadRequest
from service.handlers.clients import Key
from service.handlers.responses_input import items
from service.messages import Generation
from service.wire.response_object import Asked

Json: TypeAlias = dict[str, Any]

LOGPROBS = "message.output_text.logprobs"


class Function(Struct, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class CreateResponse(Asked, frozen=True, kw_only=True):
    """A question: `input` is a text or a list of items, and `previous_response_id` what it goes on from.

    `provider` says who answers; left out, the service chooses. With `background` the answer goes on by
    itself, and can be polled; with `store` false it can be neither read again nor gone on from. Fields that
    are not listed are accepted and have no effect.
    """

    input: str | list[Json] | None = None
    stream: bool | None = None
    include: list[str] | None = None
    conversation: str | Json | None = None
    prompt: Json | None = None
    provider: str | None = None
    continuation: bool = False
    api_key: Key = None
    base_url: str | None = None

    def check(self) -> None:
        """Raises `BadRequest` for what would be answered wrongly without a word."""
        if self.conversation is not None:
            raise BadRequest(
                "Conversations are not kept here. Go on with previous_response_id.", "conversation"
            )
        if self.prompt is not None:
            raise BadRequest("Prompt templates are not kept here. Send instructions and input.", "prompt")
        if self.background and self.store is False:
            raise BadRequest("A response in the background must be stored to be read at all.", "store")

    def question(self) -> "Question":
        """What is kept of it, without keys."""
        return Question(replace(self, input=items(self.input), api_key=None, base_url=None))

    def searches(self) -> bool:
        return any(_is_search(tool) for tool in self.tools or ())

    def generation(self) -> Generation:
        """How to answer. Raises `BadRequest` for a tool or a format that is not available."""
        tools = [_function(tool, f"tools[{index}]") for index, tool in enumerate(self.tools or ())]
        choice, functions = _choice(self.tool_choice, [tool for tool in tools if tool])
        probable = self.top_logprobs is not None or LOGPROBS in (self.include or ())
        return Generation(
            temperature=self.temperature,
            top_p=self.top_p,
            max_completion_tokens=self.max_output_tokens,
            reasoning_effort=self.reasoning.effort if self.reasoning else None,
            response_format=_response_format(self.text.format) if self.text else None,
            verbosity=self.text.verbosity if self.text else None,
            tools=functions or None,
            tool_choice=choice if functions else None,
            parallel_tool_calls=self.parallel_tool_calls if functions else None,
            logprobs=probable or None,
            top_logprobs=self.top_logprobs,
            service_tier=self.service_tier,
            prompt_cache_key=self.prompt_cache_key,
            safety_identifier=self.safety_identifier,
        )


class Question(Struct, frozen=True, tag="response"):
    """What is kept with a turn, so that it can be read and gone on from; the tag tells it from others'."""

    asked: CreateResponse


def _is_search(tool: Json) -> bool:
    return str(tool.get("type")).startswith("web_search")


def _function(tool: Json, path: str) -> Json | None:
    """The tool as chat has it; None for one that is no function, but available."""
    if _is_search(tool):
        return None
    if tool.get("type") != "function":
        raise BadRequest(
            f"The tool {tool.get('type')!r} is not available here: only functions and web_search are.",
            f"{path}.type",
        )
    try:
        return {"type": "function", "function": msgspec.to_builtins(msgspec.convert(tool, Function))}
    except msgspec.ValidationError as error:
        raise BadRequest(f"{path} is no function: {error}.", path) from error


def _choice(wanted: str | Json | None, functions: list[Json]) -> tuple[str | Json | None, list[Json]]:
    """What chat calls the choice, and the functions that it leaves."""
    match wanted:
        case None | str():
            return wanted, functions
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}, functions
        case {"type": "allowed_tools", "mode": str(mode), "tools": list(allowed)}:
            names = {tool.get("name") for tool in allowed if isinstance(tool, dict)}
            return mode, [tool for tool in functions if tool["function"]["name"] in names]
        case _ if _is_search(wanted):
            return None, functions
        case _:
            raise BadRequest(
                "tool_choice is auto, none, required, a function or allowed_tools.", "tool_choice"
            )


def _response_format(wanted: Json) -> Json | None:
    match wanted.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema":
            schema = {name: value for name, value in wanted.items() if name != "type"}
            return {"type": "json_schema", "json_schema": schema}
        case other:
            raise BadRequest(
                f"A format of type {other!r} is not available: send text, json_object or json_schema.",
                "text.format.type",
            )
