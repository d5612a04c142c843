"""OpenAI's chat completions, and its older completions: to the byte, and as the SDK reads them."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from service.events import (
    Content,
    Event,
    Extra,
    Finish,
    Finished,
    Function,
    Logged,
    Reasoning,
    Reset,
    Resumable,
    Source,
    Sources,
    ToolCall,
    ToolCalls,
    Usage,
    Used,
)
from service.wire.openai import ChatChunks, TextChunks, completion, text_completion
from tests.wire.transcripts import CREATED, TRANSCRIPTS, TURN, said

Json = dict[str, Any]

MODELS = {"seam": "large", "media": "painter"}
WHOLE = [name for name in TRANSCRIPTS if name not in {"broken", "limited", "keyless"}]


ROLE = '{"index":0,"delta":{"role":"assistant"},"finish_reason":null}'


def then(content: str, choice: int = 0) -> str:
    return f'{{"index":{choice},"delta":{{{content}}},"finish_reason":null}}'


def last(reason: str = "stop", choice: int = 0) -> str:
    return f'{{"index":{choice},"delta":{{}},"finish_reason":"{reason}"}}'


CHOICES: dict[str, list[str]] = {
    "text": [ROLE, then('"content":"Hel"'), then(r'"content":"lo\n\"é🤔\""'), last()],
    "reasoning": [
        ROLE,
        then('"reasoning_content":"Let me "'),
        then('"reasoning_content":"think."'),
        then('"content":"Done."'),
        last(),
    ],
    "tools": [
        ROLE,
        then('"content":"I look."'),
        then(
            '"tool_calls":[{"index":0,"id":"call_a","type":"function",'
            '"function":{"name":"weather","arguments":""}}]'
        ),
        then(r'"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]'),
        then(r'"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]'),
        then(
            '"tool_calls":[{"index":1,"id":"call_b","type":"function",'
            '"function":{"name":"time","arguments":""}}]'
        ),
        then('"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]'),
        last("tool_calls"),
    ],
    "choices": [
        ROLE,
        then('"content":"One"'),
        then('"role":"assistant"', 1),
        then('"content":"Or"', 1),
        then('"content":" else"', 1),
        then('"content":" way"'),
        last("length", 1),
        last(),
    ],
    "logprobs": [
        ROLE,
        '{"index":0,"delta":{"content":"Yes"},"logprobs":{"content":'
        '[{"token":"Yes","logprob":-0.5,"top_logprobs":[]}]},"finish_reason":null}',
        '{"index":0,"delta":{"content":"."},"logprobs":{"content":'
        '[{"token":".","logprob":-0.25,"top_logprobs":[]}]},"finish_reason":null}',
        then('"refusal":"But no"'),
        '{"index":0,"delta":{"refusal":" more."},"finish_reason":"stop"}',
    ],
    "broken": [ROLE, then('"content":"Hel"')],
    "limited": [],
    "keyless": [],
    "cut": [ROLE, then('"content":"And so"'), last("length")],
    "counted": [ROLE, then('"content":"42"'), last()],
    "silent": [ROLE, last()],
    "stopped": [ROLE, then('"content":"And so"'), last("length")],
    "media": [ROLE, then(r'"content":"![A red fox](/media/a.png)\n![A red fox](/media/b.png)"'), last()],
    "unrecorded": [ROLE, then('"content":"Hi"'), last()],
}
"""What `choices` has in each chunk; "seam" has two models, and is looked at by itself."""

USAGES = {
    "text": '{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}',
    "counted": '{"prompt_tokens":100,"completion_tokens":30,"total_tokens":130,'
    '"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},'
    '"completion_tokens_details":{"reasoning_tokens":25}}',
    "unrecorded": '{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},"recorded":false',
}

ERRORS = {
    "broken": '"The connection broke.","type":"server_error","code":"upstream_error"',
    "limited": '"Too many. Try again later.","type":"rate_limit_error","code":"rate_limit_exceeded"',
    "keyless": '"The upstream needs a key.","type":"server_error","code":"provider_auth"',
}


def chunk(name: str, choices: str, usage: str = "", kind: str = "chat.completion.chunk") -> str:
    prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
    model = MODELS.get(name, "small")
    fingerprint = '"system_fingerprint":"fp_1",' if name == "logprobs" else ""
    return (
        f'data: {{"id":"{prefix}-t-1","object":"{kind}","created":1700000000,"model":"{model}",'
        f'{fingerprint}"choices":[{choices}]{usage}}}\n\n'
    )


def ending(name: str) -> str:
    if name not in ERRORS:
        return "data: [DONE]\n\n"
    return f'data: {{"error":{{"message":{ERRORS[name]},"param":null,"request_id":null}}}}\n\n'


def chat(include_usage: bool = False) -> ChatChunks:
    return ChatChunks(TURN, CREATED, None, include_usage)


def text(include_usage: bool = False) -> TextChunks:
    return TextChunks(TURN, CREATED, None, include_usage)


# To the byte


@pytest.mark.parametrize("name", CHOICES)
def test_each_log_is_these_chunks(name: str) -> None:
    chunks = "".join(chunk(name, choices) for choices in CHOICES[name])
    assert said(chat(), TRANSCRIPTS[name]).decode() == chunks + ending(name)


def test_every_log_is_in_the_table() -> None:
    assert CHOICES.keys() | {"seam"} == TRANSCRIPTS.keys()


@pytest.mark.parametrize("name", USAGES)
def test_the_usage_comes_last_and_all_other_chunks_have_none(name: str) -> None:
    chunks = "".join(chunk(name, choices, ',"usage":null') for choices in CHOICES[name])
    total = chunk(name, "", f',"usage":{USAGES[name]}')
    assert said(chat(include_usage=True), TRANSCRIPTS[name]).decode() == f"{chunks}{total}data: [DONE]\n\n"


def test_behind_a_seam_the_other_model_is_named() -> None:
    data = said(chat(), TRANSCRIPTS["seam"]).decode()
    before = chunk("text", ROLE) + chunk("text", then('"content":"Once upon"'))
    assert data == before + chunk("seam", then('"content":" a time."')) + chunk("seam", last()) + ending("")


TEXTS: dict[str, list[str]] = {
    "text": [
        '{"text":"Hel","index":0,"logprobs":null,"finish_reason":null}',
        r'{"text":"lo\n\"é🤔\"","index":0,"logprobs":null,"finish_reason":null}',
        '{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}',
    ],
    "reasoning": [
        '{"text":"Done.","index":0,"logprobs":null,"finish_reason":null}',
        '{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}',
    ],
    "choices": [
        '{"text":"One","index":0,"logprobs":null,"finish_reason":null}',
        '{"text":"Or","index":1,"logprobs":null,"finish_reason":null}',
        '{"text":" else","index":1,"logprobs":null,"finish_reason":null}',
        '{"text":" way","index":0,"logprobs":null,"finish_reason":null}',
        '{"text":"","index":1,"logprobs":null,"finish_reason":"length"}',
        '{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}',
    ],
    "broken": ['{"text":"Hel","index":0,"logprobs":null,"finish_reason":null}'],
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_older_interface_says_texts_alone(name: str) -> None:
    chunks = "".join(chunk(name, choices, kind="text_completion") for choices in TEXTS[name])
    assert said(text(), TRANSCRIPTS[name]).decode() == chunks + ending(name)


def test_the_older_interface_has_its_log_probabilities_in_columns() -> None:
    rows = [("Ye", -0.5), ("s", -0.25)]
    log: list[Event] = []
    for token, logprob in rows:
        top = {"token": "No", "logprob": -2.0}
        row = {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": [top]}
        log += [Extra(of_choice={"logprobs": {"content": [row]}}), Content(token)]
    log += [Finished(Finish("stop")), Used(Usage(1, 2, 3))]
    each = [choice.logprobs for choice in read_texts(said(text(), log))]
    data = text_completion(log, turn_id=TURN, created=CREATED, model="m")
    whole = Completion.model_validate_json(msgspec.json.encode(data))
    assert [part and part.text_offset for part in each] == [[0], [2], None]
    columns = whole.choices[0].logprobs
    assert columns
    assert (columns.tokens, columns.token_logprobs) == (["Ye", "s"], [-0.5, -0.25])
    assert (columns.text_offset, columns.top_logprobs) == ([0, 2], [{"No": -2.0}, {"No": -2.0}])


@pytest.mark.parametrize("logprobs", [None, [], {}, {"content": None}, {"content": [{"token": 1}]}, "x"])
def test_log_probabilities_of_another_kind_are_left_out_of_columns(logprobs: object) -> None:
    log = [Extra(of_choice={"logprobs": logprobs}), Content("Yes")]
    assert [choice.logprobs for choice in read_texts(said(text(), log))] == [None]


def read_texts(data: bytes) -> list[Any]:
    """The choices as the SDK reads them, which takes a finish_reason of null for what it is."""
    return [Completion.construct(**each).choices[0] for each in payloads(data)]


def folded(log: Sequence[Event]) -> ChatCompletion:
    """The whole answer as the SDK reads it."""
    whole = completion(log, turn_id=TURN, created=CREATED, model=None)
    return ChatCompletion.model_validate_json(msgspec.json.encode(whole))


def payloads(data: bytes) -> list[Json]:
    """The JSON of a stream without `[DONE]`."""
    frames = data.decode().removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


# What stands beside the answer


def test_what_a_chat_client_cannot_read_says_nothing() -> None:
    silent: list[Event] = [Logged("a line"), Reasoning(token=None, status=""), Reasoning(label="Search")]
    for wire in (chat(), text()):
        assert wire.encode([*TRANSCRIPTS["silent"][:2], *silent], 0) == b""
        assert wire.aside(Reset("Begin again.")) == b""
        assert wire.heartbeat == b": ping\n\n"


def test_who_is_sent_away_is_told_where_the_answer_goes_on() -> None:
    wire = chat()
    (told,) = payloads(wire.aside(Resumable(TURN)))
    assert told["error"]["code"] == "unavailable"
    assert "GET /backend-api/v2/turns/t-1" in told["error"]["message"]
    assert wire.end() == b""


def test_what_no_event_comes_for_is_a_chunk_by_itself() -> None:
    wire = chat()
    cited = {"annotations": [{"type": "url_citation"}]}
    assert len(payloads(wire.encode([Content("a"), Extra(extra=cited, choice=1)], 0))) == 2
    told = [each["choices"][0] for each in payloads(wire.encode([Content("b")], 2))]
    assert [choice["index"] for choice in told] == [1, 1, 0]
    assert [choice["delta"] for choice in told] == [{"role": "assistant"}, cited, {"content": "b"}]


def test_no_choice_begins_before_the_one_that_comes_before_it() -> None:
    told = payloads(said(chat(), [Content("b", choice=2), Content("a")]))
    assert [each["choices"][0]["index"] for each in told] == [0, 1, 2, 2, 0]
    assert all(each["choices"][0]["delta"] == {"role": "assistant"} for each in told[:3])


def test_an_index_beyond_all_measure_makes_no_stream_without_measure() -> None:
    assert len(payloads(said(chat(), [Content("b", choice=10**9)]))) < 200


def test_an_answer_that_was_ended_early_is_cut_off_in_every_choice() -> None:
    log = [Content("a"), Content("b", choice=1), Finished(Finish("stopped")), Used(Usage(1, 2, 3))]
    ends = [each["choices"][0] for each in payloads(said(chat(), log))[4:]]
    assert [(end["index"], end["finish_reason"]) for end in ends] == [(0, "length"), (1, "length")]
    whole = completion(log, turn_id=TURN, created=CREATED, model=None)
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["length", "length"]


# Whatever the batches are, and as the SDK reads it

LOGPROB = {"token": "a", "logprob": -1.0, "top_logprobs": []}
EXTRAS = st.builds(
    Extra,
    extra=st.sampled_from([{}, {"refusal": "No"}]),
    of_choice=st.sampled_from([{}, {"logprobs": {"content": [LOGPROB]}}]),
    of_chunk=st.sampled_from([{}, {"system_fingerprint": "fp_1"}, {"system_fingerprint": "fp_2"}]),
    choice=st.integers(0, 2),
)
CALLS = st.builds(
    lambda index, arguments, choice: ToolCalls(
        [ToolCall(index, function=Function(arguments=arguments))], choice
    ),
    st.integers(0, 1),
    st.text(max_size=5),
    st.integers(0, 2),
)
EVENTS = st.one_of(
    st.builds(Content, st.text(max_size=5), choice=st.integers(0, 2)),
    st.builds(Reasoning, token=st.text(max_size=5), choice=st.integers(0, 2)),
    EXTRAS,
    CALLS,
)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Anything in any order, in which each choice names its tool calls first."""
    body = draw(st.lists(EVENTS, max_size=12))
    names: list[Event] = [
        ToolCalls([ToolCall(index, f"call_{index}", "function", Function(f"f{index}", ""))], choice)
        for choice in range(3)
        for index in range(2)
    ]
    calls = any(isinstance(event, ToolCalls) for event in body)
    ends: list[Event] = [Finished(Finish("stop"), choice) for choice in range(3)]
    return [*TRANSCRIPTS["silent"][:2], *(names if calls else []), *body, *ends, Used(Usage(1, 2, 3))]


LOGS = st.one_of(st.sampled_from(list(TRANSCRIPTS.values())), logs())


@settings(deadline=None)
@given(log=LOGS, cuts=st.sets(st.integers(1, 30)), include_usage=st.booleans())
def test_the_bytes_are_the_same_whatever_the_batches_are(
    log: list[Event], cuts: set[int], include_usage: bool
) -> None:
    for kind in (chat, text):
        assert said(kind(include_usage), log, cuts) == said(kind(include_usage), log)


@settings(deadline=None)
@given(log=st.one_of(st.sampled_from([TRANSCRIPTS[name] for name in WHOLE]), logs()))
def test_the_whole_answer_is_what_the_sdk_makes_of_the_stream(log: list[Event]) -> None:
    state = ChatCompletionStreamState()
    for each in payloads(said(chat(include_usage=True), log)):
        for _ in state.handle_chunk(ChatCompletionChunk.model_validate(each)):
            pass
    assert plain(state.current_completion_snapshot) == plain(folded(log))


def plain(answer: ChatCompletion) -> Json:
    """Without what the SDK adds, and what it does not keep: the model that follows, and fields of ours."""
    data = answer.model_dump(exclude={"model", "recorded"}, exclude_none=True)
    for choice in data["choices"]:
        choice["message"].pop("parsed", None)
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    return data


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_answer_has_the_sdks_types(name: str) -> None:
    whole = folded(TRANSCRIPTS[name])
    assert whole.model == MODELS.get(name, "small")
    assert whole.usage
    assert whole.usage.total_tokens == used(TRANSCRIPTS[name]).usage.total_tokens


def used(log: Sequence[Event]) -> Used:
    (event,) = (event for event in log if isinstance(event, Used))
    return event


def test_the_whole_answer_to_the_field() -> None:
    assert completion(TRANSCRIPTS["tools"], turn_id=TURN, created=CREATED, model="m") == {
        "id": "chatcmpl-t-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": "small",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "I look.",
                    "tool_calls": [
                        {
                            "id": "call_a",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                        },
                        {"id": "call_b", "type": "function", "function": {"name": "time", "arguments": "{}"}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": Usage(20, 12, 32),
    }


def test_what_comes_in_pieces_is_put_together_as_what_it_is() -> None:
    log = [
        Extra(extra={"annotations": [{"url": "a"}], "audio": {"id": "audio_1", "data": "AA"}}),
        Content("x"),
        Extra(extra={"annotations": [{"url": "b"}], "audio": {"id": "audio_1", "data": "BB"}}),
        Content("y"),
        Extra(extra={"reasoning_details": [{"index": 0, "type": "text", "text": "a"}]}),
        Extra(extra={"reasoning_details": [{"index": 0, "type": "text", "text": "b"}]}),
        Extra(extra={"annotations": None}, of_choice={"native_finish_reason": "stop"}),
        Extra(of_choice={"native_finish_reason": "end"}),
        Finished(Finish("stop")),
    ]
    (choice,) = completion(log, turn_id=TURN, created=CREATED, model=None)["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "xy",
        "annotations": [{"url": "a"}, {"url": "b"}],
        "audio": {"id": "audio_1", "data": "AABB"},
        "reasoning_details": [{"index": 0, "type": "text", "text": "ab"}],
    }
    assert choice["native_finish_reason"] == "end"


READ = Sources([Source("a b.pdf", "bkt", "file-1", "Once …", 7), Source("c.md", "bkt", "file-2", "And …")])
PAGES = [
    {
        "url": "/files/bkt/media/a%20b.pdf#page=7",
        "title": "a b.pdf, page 7",
        "start_index": 0,
        "end_index": 0,
    },
    {"url": "/files/bkt/media/c.md", "title": "c.md", "start_index": 0, "end_index": 0},
]


def test_the_passages_of_documents_are_cited() -> None:
    events: list[Event] = [READ, Content("So"), Content("."), Finished(Finish("stop")), Used(Usage(1, 1, 2))]
    whole = ChatCompletion.model_validate_json(
        msgspec.json.encode(completion(events, turn_id=TURN, created=CREATED, model="m"))
    )
    told = whole.choices[0].message.annotations or []
    assert [citation.url_citation.model_dump() for citation in told] == PAGES
    wire = ChatChunks(TURN, CREATED, "m", include_usage=False)
    chunks = [json.loads(line[6:]) for line in wire.encode(events, 0).splitlines() if line]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["content"] for delta in deltas if "content" in delta] == ["So", "."]
    (cited,) = [delta["annotations"] for delta in deltas if "annotations" in delta]
    assert [citation["url_citation"] for citation in cited] == PAGES
