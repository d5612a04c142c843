"""Ollama by its own interface, which takes options and is told how long a model stays.

Source: Ollama's API reference, "Generate a chat message", "List models".
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.errors import BadRequest
from service.messages import Ask, Generation, Message
from service.providers.exchange import joined
from service.providers.ollama_stream import Answer, Lines
from service.providers.parts import arguments, inline, kinds, parts, text_of, url_of
from service.providers.provider import Model
from service.providers.sse import LIMIT
from service.providers.upstream import Upstream
from service.settings import Secrets

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "repetition_penalty": "repeat_penalty",
}
"""Ollama's names of OpenAI's parameters."""

BESIDE = frozenset({"keep_alive", "think"})
"""What a row's options have that stands beside Ollama's."""

EFFORTS: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}
SEEING = frozenset({"clip", "mllama"})
"""Families of models that see."""


class _Details(Struct):
    families: list[str] | None = None


class _Tag(Struct):
    name: str
    details: _Details | None = None
    capabilities: list[str] = []

    def model(self) -> Model:
        families = (self.details.families if self.details else None) or ()
        return Model(self.name, vision="vision" in self.capabilities or not SEEING.isdisjoint(families))


class _Tags(Struct):
    models: list[_Tag]


class Ollama(Upstream):
    """One Ollama, at the `url` under which `/api` lies."""

    path = "/api/chat"

    async def check(self, ask: Ask) -> None:
        await super().check(ask)
        for kind, part in kinds(ask.messages):
            if kind == "input_audio":
                raise BadRequest(f"{self.label} does not listen: send text or pictures.", "messages")
            if kind == "image_url" and not inline(url_of(part)):
                raise BadRequest(
                    f"{self.label} fetches no pictures: send the picture itself, as a data URI.", "messages"
                )

    async def embed(self, body: Mapping[str, Any], keys: Secrets) -> dict[str, Any]:
        """OpenAI's embeddings; here Ollama's compatible interface has all that there is."""
        return await self.post("/v1/embeddings", body, keys)

    async def _body(self, ask: Ask) -> bytes:
        row = self._row.options
        beside = {name: value for name, value in row.items() if name in BESIDE}
        options = {name: value for name, value in row.items() if name not in BESIDE}
        body = {
            "model": self._theirs(ask.model),
            "messages": list(_messages(ask.messages)),
            "stream": True,
            **beside,
            **_fields(ask.generation),
            "options": options | _options(ask.generation),
        }
        return msgspec.json.encode(joined(body, self._search(ask)))

    def _framing(self) -> Lines:
        return Lines()

    def _reading(self, ask: Ask) -> Answer:
        return Answer(self.label, self.broken, ask.generation.tools)

    async def _listed(self) -> list[Model] | None:
        none = Secrets()
        async with (
            self._translating(none, self.url),
            self._request("GET", self.url, "/api/tags", none) as answer,
        ):
            tags: _Tags = self._decoded(await answer.read(LIMIT), _Tags)
        return [tag.model() for tag in tags.models]


def _messages(messages: list[Message]) -> Iterator[dict[str, Any]]:
    """OpenAI's messages as Ollama's: text, pictures and thoughts apart, an answer with its tool's name."""
    names = {
        call.get("id"): (call.get("function") or {}).get("name")
        for message in messages
        for call in message.tool_calls or ()
    }
    for message in messages:
        told = {
            "thinking": "".join(part.get("thinking") or "" for part in parts(message)),
            "images": [data[1] for part in parts(message) if (data := inline(url_of(part)))],
            "tool_calls": [_call(call) for call in message.tool_calls or ()],
            "tool_name": names.get(message.tool_call_id) if message.role == "tool" else None,
        }
        role = "system" if message.role == "developer" else message.role
        yield {
            "role": role,
            "content": text_of(message),
            **{name: value for name, value in told.items() if value},
        }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {"function": {"name": (call.get("function") or {}).get("name"), "arguments": arguments(call)}}


def _options(generation: Generation) -> dict[str, Any]:
    said = {theirs: getattr(generation, ours) for ours, theirs in OPTIONS.items()}
    said["num_predict"] = generation.max_completion_tokens or generation.max_tokens
    if isinstance(generation.stop, str):
        said["stop"] = [generation.stop]
    return {name: value for name, value in said.items() if value is not None}


def _fields(generation: Generation) -> dict[str, Any]:
    """What stands beside the options."""
    fields = {
        "tools": generation.tools if generation.tool_choice != "none" else None,
        "format": _format(generation.response_format or {}),
        "think": _think(generation),
        "logprobs": generation.logprobs,
        "top_logprobs": generation.top_logprobs,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _format(wanted: dict[str, Any]) -> Any:
    """ "json", or the schema that the answer must fit."""
    match wanted.get("type"):
        case "json_object":
            return "json"
        case "json_schema":
            return (wanted.get("json_schema") or {}).get("schema")
        case _:
            return None


def _think(generation: Generation) -> bool | str | None:
    """Whether to think, or how hard; None where the client leaves it to the model."""
    if generation.thinking:
        return generation.thinking.get("type") != "disabled"
    return EFFORTS.get(generation.reasoning_effort or "")
