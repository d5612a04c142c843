"""OpenAI's form of a question -> Anthropic's.

Source: Anthropic's API reference, "Create a Message"; its guides "Extended thinking", "Structured outputs".
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from service.messages import Ask, Generation, Message, Part
from service.providers.parts import arguments, inline, parts, url_of

MAX_TOKENS = 4096
"""Anthropic wants a limit; this one holds where neither the client nor the row has one."""
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""Tokens to think with, by reasoning_effort."""
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
TIERS = {"auto": "auto", "default": "standard_only"}
FORCED = frozenset({"any", "tool"})
OURS = frozenset({"text", "image_url", "file"})
"""The types of parts that Anthropic has under another name, or in another form."""


class Able(Struct, frozen=True):
    """What a model can do, as its listing says; as older models do where that says nothing."""

    adaptive: bool = False
    """It decides itself how long it thinks, by the effort that is asked for."""
    schemas: bool = True
    """Its answers can be held to a JSON schema."""


def body(ask: Ask, model: str | None, able: Able, options: Mapping[str, Any]) -> dict[str, Any]:
    """The request for a streamed answer; `options` hold where the client is silent."""
    generation, system = ask.generation, _system(ask.messages)
    choice = _tool_choice(generation)
    thinking = generation.thinking or _thinking(ask, choice, able) or options.get("thinking") or {}
    limit = generation.max_completion_tokens or generation.max_tokens or options.get("max_tokens", MAX_TOKENS)
    fields = {
        "model": model,
        "max_tokens": _raised(limit, thinking),
        "messages": _messages(ask.messages),
        "system": [*system, *_instructions(generation.response_format or {}, able)],
        "stop_sequences": [generation.stop] if isinstance(generation.stop, str) else generation.stop,
        "tools": [_tool(tool) for tool in generation.tools or ()],
        "tool_choice": choice,
        "thinking": thinking,
        "output_config": _output(generation, able),
        "service_tier": TIERS.get(generation.service_tier or ""),
        "metadata": {"user_id": generation.safety_identifier} if generation.safety_identifier else None,
        **_sampling(generation, thinking),
        "stream": True,
    }
    return {**options, **{name: value for name, value in fields.items() if value not in (None, [], {})}}


def _system(messages: list[Message]) -> list[Part]:
    spoken = (message for message in messages if message.role in {"system", "developer"})
    return [block for message in spoken for block in _blocks(message)]


def _messages(messages: list[Message]) -> list[dict[str, Any]]:
    """Users and assistants take turns: what one of them says in a row is one message."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in {"system", "developer"}:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [_result(message)] if message.role == "tool" else _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if turns and turns[-1]["role"] == "assistant":
        _trim(turns[-1]["content"])
    return turns


def _trim(blocks: list[Part]) -> None:
    """An answer that is to be gone on with must not end in white space."""
    if blocks[-1].get("type") == "text":
        blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"].rstrip()}
        if not blocks[-1]["text"]:
            blocks.pop()


def _blocks(message: Message) -> list[Part]:
    blocks = [block for part in parts(message) if (block := _block(part))]
    return blocks + [_call(call) for call in message.tool_calls or ()]


def _block(part: Part) -> Part | None:
    """None for what Anthropic refuses: empty texts, and thoughts that it did not seal."""
    kept = {"cache_control": part["cache_control"]} if part.get("cache_control") else {}
    match part.get("type"):
        case "text":
            return {"type": "text", "text": part["text"], **kept} if part.get("text") else None
        case "image_url":
            return {"type": "image", "source": _source(url_of(part)), **kept}
        case "file":
            return {**_document(part.get("file") or {}), **kept}
        case "thinking":
            return part if part.get("signature") else None
        case _:
            return part


def _source(url: str) -> dict[str, Any]:
    if data := inline(url):
        return {"type": "base64", "media_type": data[0], "data": data[1]}
    return {"type": "url", "url": url}


def _document(file: dict[str, Any]) -> Part:
    source = _source(file.get("file_data") or "")
    if str(source.get("media_type")).startswith("text/"):
        text = base64.b64decode(source["data"]).decode(errors="replace")
        source = {"type": "text", "media_type": "text/plain", "data": text}
    named = {"title": file["filename"]} if file.get("filename") else {}
    return {"type": "document", "source": source, **named}


def _call(call: dict[str, Any]) -> Part:
    name = (call.get("function") or {}).get("name")
    return {"type": "tool_use", "id": call.get("id"), "name": name, "input": arguments(call)}


def _result(message: Message) -> Part:
    """What a tool answered; to be kept in the cache is a matter of the whole answer."""
    blocks = _blocks(message)
    marks = [block.pop("cache_control") for block in blocks if "cache_control" in block]
    marked = {"cache_control": marks[-1]} if marks else {}
    return {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": blocks, **marked}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function; a tool of Anthropic's own stands as it is."""
    if tool.get("type") != "function":
        return tool
    function = tool.get("function") or {}
    described = {
        "description": function.get("description"),
        "strict": function.get("strict"),
        "cache_control": tool.get("cache_control"),
    }
    return {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        **{name: value for name, value in described.items() if value is not None},
    }


def _tool_choice(generation: Generation) -> dict[str, Any] | None:
    if not generation.tools:
        return None
    choice: dict[str, Any] | None
    match generation.tool_choice:
        case "required":
            choice = {"type": "any"}
        case {"function": {"name": name}}:
            choice = {"type": "tool", "name": name}
        case "auto" | "none" as same:
            choice = {"type": same}
        case _:
            choice = None
    if generation.parallel_tool_calls is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _thinking(ask: Ask, choice: Mapping[str, Any] | None, able: Able) -> dict[str, Any] | None:
    """How to think with the effort that is asked for, where Anthropic lets a model think.

    That is neither when it must call a tool, nor when it is to go on with what was said, nor after a tool's
    answer when the thoughts that led to the call are not there.
    """
    effort = ask.generation.reasoning_effort
    if effort not in BUDGETS or (choice and choice["type"] in FORCED) or not _thinks(ask.messages):
        return None
    if able.adaptive:
        return {"type": "adaptive"}
    return {"type": "enabled", "budget_tokens": BUDGETS[effort]}


def _thinks(messages: list[Message]) -> bool:
    said = [message for message in messages if message.role == "assistant"]
    if messages[-1].role == "tool" and said:
        return any(part.get("type") in {"thinking", "redacted_thinking"} for part in parts(said[-1]))
    return messages[-1].role != "assistant"


def _raised(limit: int, thinking: Mapping[str, Any]) -> int:
    """The limit, above what goes into thoughts, for it counts them."""
    budget = thinking.get("budget_tokens") or 0
    return limit + budget if budget >= limit else limit


def _output(generation: Generation, able: Able) -> dict[str, Any]:
    effort, wanted = EFFORTS.get(generation.reasoning_effort or ""), generation.response_format or {}
    config: dict[str, Any] = {"effort": effort} if effort and able.adaptive else {}
    if wanted.get("type") == "json_schema" and able.schemas:
        config["format"] = {"type": "json_schema", "schema": _schema(wanted)}
    return config


def _instructions(wanted: dict[str, Any], able: Able) -> Iterator[Part]:
    """A form of the answer that can only be asked for in words."""
    if wanted.get("type") == "json_object":
        yield {"type": "text", "text": "Answer with one JSON object and nothing else."}
    elif wanted.get("type") == "json_schema" and not able.schemas:
        schema = json.dumps(_schema(wanted), ensure_ascii=False)
        yield {"type": "text", "text": f"Answer with JSON of this schema and nothing else: {schema}"}


def _schema(wanted: dict[str, Any]) -> Any:
    return (wanted.get("json_schema") or {}).get("schema") or {}


def _sampling(generation: Generation, thinking: Mapping[str, Any]) -> dict[str, Any]:
    """A model that thinks takes none of these, and none takes a temperature above 1."""
    if thinking.get("type", "disabled") != "disabled":
        return {}
    temperature = generation.temperature
    return {
        "temperature": None if temperature is None else min(temperature, 1.0),
        "top_p": generation.top_p,
        "top_k": generation.top_k,
    }
