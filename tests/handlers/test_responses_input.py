"""The input of a response as a chat's messages, and its tools and formats as a chat has them."""

from typing import Any

import msgspec
import pytest

from service.errors import BadRequest
from service.handlers.responses_input import items, messages
from service.handlers.responses_request import CreateResponse
from service.messages import Message
from service.wire.response_object import ReasoningOptions, TextOptions

Json = dict[str, Any]

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
CHAT_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HELLO = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"text": "Hm."}]}
SEALED = {**THOUGHT, "signature": "seal"}
SECRET = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "hidden"}

INPUTS: list[tuple[Any, list[Message]]] = [
    ("Hi", [Message("user", "Hi")]),
    ([{"role": "user", "content": "Hi"}], [Message("user", "Hi")]),
    ([{"role": "developer", "content": "Be brief."}], [Message("developer", "Be brief.")]),
    (
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,aa", "detail": "low"},
                    {"type": "input_image", "image_url": "https://a.example/b.png"},
                    {
                        "type": "input_file",
                        "file_data": "data:application/pdf;base64,aa",
                        "filename": "a.pdf",
                    },
                    {"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}},
                ],
            }
        ],
        [
            Message(
                "user",
                [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aa", "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,aa", "filename": "a.pdf"},
                    },
                    {"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}},
                ],
            )
        ],
    ),
    ([HELLO], [Message("assistant", "Hello.")]),
    (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}],
        [Message("assistant", "I will not.")],
    ),
    (
        [HELLO, CALL, {**CALL, "call_id": "c2"}],
        [Message("assistant", "Hello.", tool_calls=[CHAT_CALL, {**CHAT_CALL, "id": "c2"}])],
    ),
    (
        [CALL, {"type": "function_call_output", "call_id": "c1", "output": "42"}, HELLO],
        [
            Message("assistant", tool_calls=[CHAT_CALL]),
            Message("tool", "42", tool_call_id="c1"),
            Message("assistant", "Hello."),
        ],
    ),
    (
        [
            {
                "type": "function_call_output",
                "call_id": "c1",
                "output": [{"type": "input_text", "text": "42"}],
            }
        ],
        [Message("tool", "42", tool_call_id="c1")],
    ),
    (
        [HELLO, HELLO],
        [Message("assistant", [{"type": "text", "text": "Hello."}, {"type": "text", "text": "Hello."}])],
    ),
    ([THOUGHT, HELLO], [Message("assistant", "Hello.")]),
    ([SEALED, SECRET, HELLO], [Message("assistant", "Hello.")]),
    ([THOUGHT, CALL], [Message("assistant", tool_calls=[CHAT_CALL], reasoning_content="Hm.")]),
    (
        [SEALED, SECRET, HELLO, CALL],
        [
            Message(
                "assistant",
                [
                    {"type": "thinking", "thinking": "Hm.", "signature": "seal"},
                    {"type": "redacted_thinking", "data": "hidden"},
                    {"type": "text", "text": "Hello."},
                ],
                tool_calls=[CHAT_CALL],
            )
        ],
    ),
]


@pytest.mark.parametrize(("asked", "chat"), INPUTS)
def test_items_become_messages(asked: Any, chat: list[Message]) -> None:
    assert messages([], items(asked)) == chat


def test_what_went_before_comes_first() -> None:
    assert messages(items("Hi"), items([HELLO])) == [Message("user", "Hi"), Message("assistant", "Hello.")]


REFUSED: list[tuple[Json, str, str]] = [
    ({"type": "item_reference", "id": "msg_1"}, "input[0]", "previous_response_id"),
    ({"id": "msg_1"}, "input[0]", "item_reference"),
    ({"type": "computer_call", "id": "cu_1"}, "input[0]", "computer_call"),
    ({"type": ["odd"]}, "input[0]", "odd"),
    ({"role": "robot", "content": "Hi"}, "input[0].role", "robot"),
    ({"role": "user"}, "input[0]", "content"),
    ({"role": "user", "content": [{"type": "smell"}]}, "input[0].content[0]", "smell"),
    ({"role": "user", "content": [{"text": "Hi"}]}, "input[0].content[0]", "input_text"),
    (
        {"role": "user", "content": [{"type": "input_image", "detail": "low"}]},
        "input[0].content[0]",
        "file_id",
    ),
    (
        {"role": "user", "content": [{"type": "input_file", "filename": "f"}]},
        "input[0].content[0]",
        "file_id",
    ),
    ({"type": "function_call", "call_id": "c", "name": "f"}, "input[0]", "arguments"),
    ({"type": "function_call_output", "call_id": 3, "output": ""}, "input[0].call_id", "int"),
]


@pytest.mark.parametrize(("item", "param", "words"), REFUSED)
def test_what_cannot_be_read_is_named(item: Json, param: str, words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        messages([], items([item]))
    assert raised.value.param == param
    assert words in raised.value.message


WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
CHAT_WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True},
}
TIME = {"type": "function", "name": "time", "description": "The time.", "parameters": None}
CHAT_TIME = {"type": "function", "function": {"name": "time", "description": "The time."}}


def test_the_parameters_are_those_of_a_chat() -> None:
    body = CreateResponse(
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=100,
        reasoning=ReasoningOptions(effort="low", summary="auto"),
        text=TextOptions(verbosity="low"),
        top_logprobs=2,
        service_tier="flex",
        prompt_cache_key="k",
        safety_identifier="s",
        tools=[WEATHER, TIME, {"type": "web_search_preview"}],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    assert msgspec.to_builtins(body.generation()) == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 100,
        "reasoning_effort": "low",
        "verbosity": "low",
        "logprobs": True,
        "top_logprobs": 2,
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "tools": [CHAT_WEATHER, CHAT_TIME],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
    assert body.searches()


def test_without_functions_nothing_is_said_of_them() -> None:
    body = CreateResponse(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True)
    asked = body.generation()
    assert (asked.tools, asked.tool_choice, asked.parallel_tool_calls) == (None, None, None)


def test_log_probabilities_may_be_included() -> None:
    assert CreateResponse(include=["message.output_text.logprobs"]).generation().logprobs
    assert CreateResponse(include=["reasoning.encrypted_content"]).generation().logprobs is None


CHOICES: list[tuple[Any, Any, list[Json]]] = [
    ("none", "none", [CHAT_WEATHER, CHAT_TIME]),
    (
        {"type": "function", "name": "time"},
        {"type": "function", "function": {"name": "time"}},
        [CHAT_WEATHER, CHAT_TIME],
    ),
    (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]},
        "required",
        [CHAT_TIME],
    ),
    ({"type": "web_search_preview"}, None, [CHAT_WEATHER, CHAT_TIME]),
]


@pytest.mark.parametrize(("wanted", "choice", "left"), CHOICES)
def test_a_choice_of_tools(wanted: Any, choice: Any, left: list[Json]) -> None:
    asked = CreateResponse(tools=[WEATHER, TIME], tool_choice=wanted).generation()
    assert (asked.tool_choice, asked.tools) == (choice, left)


FORMATS: list[tuple[Json, Json | None]] = [
    ({"type": "text"}, None),
    ({"type": "json_object"}, {"type": "json_object"}),
    (
        {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
    ),
]


@pytest.mark.parametrize(("wanted", "chat"), FORMATS)
def test_a_format(wanted: Json, chat: Json | None) -> None:
    assert CreateResponse(text=TextOptions(format=wanted)).generation().response_format == chat


UNAVAILABLE: list[tuple[Json, str, str]] = [
    *(
        ({"tools": [{"type": kind}]}, "tools[0].type", kind)
        for kind in ("file_search", "code_interpreter", "computer_use_preview", "mcp", "image_generation")
    ),
    ({"tools": [WEATHER, {"type": "function"}]}, "tools[1]", "name"),
    ({"tools": [{}]}, "tools[0].type", "None"),
    ({"tools": [WEATHER], "tool_choice": {"type": "mcp"}}, "tool_choice", "allowed_tools"),
    ({"text": TextOptions(format={"type": "grammar"})}, "text.format.type", "grammar"),
]


@pytest.mark.parametrize(("fields", "param", "words"), UNAVAILABLE)
def test_what_is_not_available_is_named(fields: Json, param: str, words: str) -> None:
    with pytest.raises(BadRequest) as raised:
        CreateResponse(**fields).generation()
    assert raised.value.param == param
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True, "store": False}, "store"),
    ],
)
def test_what_would_be_answered_wrongly_is_refused(fields: Json, param: str) -> None:
    with pytest.raises(BadRequest) as raised:
        CreateResponse(**fields).check()
    assert raised.value.param == param
