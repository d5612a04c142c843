"""OpenAI's Responses API on the wire: to the byte, whatever the batches, and from any number on."""

import json
import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.events import (
    Begun,
    Content,
    Event,
    Extra,
    Failed,
    Finish,
    Finished,
    Function,
    Noted,
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
from service.wire.response_object import Asked, Response
from service.wire.responses import ResponseEvents, response
from tests.wire.transcripts import CREATED, TEXT, TOOLS, TRANSCRIPTS, TURN

Json = dict[str, Any]

ASKED = Asked(model="small", temperature=0.5, metadata={"a": "b"})
REPEATED = (
    '"model":"{model}","instructions":null,"previous_response_id":null,"tools":[],"tool_choice":"auto",'
    '"parallel_tool_calls":true,"temperature":0.5,"top_p":null,"top_logprobs":null,"max_output_tokens":null,'
    '"max_tool_calls":null,"reasoning":{"effort":null,"summary":null},"text":{"format":{"type":"text"},'
    '"verbosity":null},"truncation":"disabled","service_tier":null,"background":false,"store":true,'
    '"metadata":{"a":"b"},"user":null,"prompt_cache_key":null,"safety_identifier":null,'
    '"id":"resp_t-1","object":"response","created_at":1700000000,'
)
OPEN = '"status":"in_progress","error":null,"incomplete_details":null,"output":[],"usage":null'
COMPLETED = '"status":"completed","error":null,"incomplete_details":null,'


def usage(read: int, written: int, reasoning: int = 0, cached: int = 0, kept: int = 0, rest: str = "") -> str:
    return (
        f'"usage":{{"input_tokens":{read},'
        f'"input_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":{kept}}},'
        f'"output_tokens":{written},"output_tokens_details":{{"reasoning_tokens":{reasoning}}},'
        f'"total_tokens":{read + written}{rest}}}'
    )


def text_part(text: str, logprobs: str = "") -> str:
    return f'{{"type":"output_text","text":{text},"annotations":[],"logprobs":[{logprobs}]}}'


def message(index: int, content: str, status: str = "completed") -> str:
    return (
        f'{{"type":"message","id":"msg_t-1_{index}","status":"{status}","role":"assistant",'
        f'"content":[{content}]}}'
    )


def call(index: int, id: str, name: str, arguments: str, status: str = "completed") -> str:
    return (
        f'{{"type":"function_call","id":"fc_t-1_{index}","call_id":"{id}","name":"{name}",'
        f'"arguments":{arguments},"status":"{status}"}}'
    )


def reasoning(index: int, content: str, rest: str = "", status: str = "completed") -> str:
    return (
        f'{{"type":"reasoning","id":"rs_t-1_{index}","status":"{status}","summary":[],'
        f'"content":[{content}]{rest}}}'
    )


def added(index: int, item: str) -> tuple[str, str]:
    return "response.output_item.added", f'"output_index":{index},"item":{item}'


def done(index: int, item: str) -> tuple[str, str]:
    return "response.output_item.done", f'"output_index":{index},"item":{item}'


def told(text: str, *deltas: str, index: int = 0, status: str = "completed") -> list[tuple[str, str]]:
    """A message of one text, from its opening to its end; texts are JSON."""
    at = f'"item_id":"msg_t-1_{index}","output_index":{index},"content_index":0,'
    return [
        added(index, message(index, "", "in_progress")),
        ("response.content_part.added", at + '"part":' + text_part('""')),
        *(("response.output_text.delta", f'{at}"delta":{delta},"logprobs":[]') for delta in deltas),
        ("response.output_text.done", f'{at}"text":{text},"logprobs":[]'),
        ("response.content_part.done", at + '"part":' + text_part(text)),
        done(index, message(index, text_part(text), status)),
    ]


def last(status: str, output: str, counted: str, rest: str = "", model: str = "small") -> tuple[str, str]:
    name = status if status in {"completed", "failed"} else "incomplete"
    how = rest or f'"status":"{status}","error":null,"incomplete_details":null,'
    return f"response.{name}", f'"response":{{{repeated(model)}{how}"output":[{output}],{counted}}}'


def repeated(model: str = "small") -> str:
    return REPEATED.replace("{model}", model)


THOUGHT = '"item_id":"rs_t-1_0","output_index":0,"content_index":0,'
HELLO = r'"Hello\n\"é🤔\""'
YES = '{"token":"Yes","logprob":-0.5,"top_logprobs":[]}'
DOT = '{"token":".","logprob":-0.25,"top_logprobs":[]}'
PART_0 = '"item_id":"msg_t-1_0","output_index":0,"content_index":0,'
PART_1 = '"item_id":"msg_t-1_0","output_index":0,"content_index":1,'
NO = '{"type":"refusal","refusal":"But no more."}'
CITY = r'"{\"city\":\"Oslo\"}"'
THINK = '{"type":"reasoning_text","text":"Let me think."}'
SEALED = ',"signature":"c2VhbA=="'
SECRET = ',"encrypted_content":"aGlkZGVu"'
FOXES = r'"![A red fox](/media/a.png)\n![A red fox](/media/b.png)"'
ESTIMATED = ',"estimated":true'
FAILED = '"status":"failed","error":{"code":"%s","message":"%s"},"incomplete_details":null,'
SHORT = '"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},'

GOLDEN: dict[str, list[tuple[str, str]]] = {
    "text": [
        *told(HELLO, '"Hel"', r'"lo\n\"é🤔\""'),
        last("completed", message(0, text_part(HELLO)), usage(4, 2)),
    ],
    "reasoning": [
        added(0, reasoning(0, "", status="in_progress")),
        ("response.content_part.added", THOUGHT + '"part":{"type":"reasoning_text","text":""}'),
        ("response.reasoning_text.delta", THOUGHT + '"delta":"Let me "'),
        ("response.reasoning_text.delta", THOUGHT + '"delta":"think."'),
        ("response.reasoning_text.done", THOUGHT + '"text":"Let me think."'),
        ("response.content_part.done", f'{THOUGHT}"part":{THINK}'),
        done(0, reasoning(0, THINK, SEALED)),
        added(1, reasoning(1, "", status="in_progress")),
        done(1, reasoning(1, "", SECRET)),
        *told('"Done."', '"Done."', index=2),
        last(
            "completed",
            ",".join(
                [reasoning(0, THINK, SEALED), reasoning(1, "", SECRET), message(2, text_part('"Done."'))]
            ),
            usage(5, 9, 7),
        ),
    ],
    "tools": [
        *told('"I look."', '"I look."'),
        added(1, call(1, "call_a", "weather", '""', "in_progress")),
        (
            "response.function_call_arguments.delta",
            r'"item_id":"fc_t-1_1","output_index":1,"delta":"{\"city\":"',
        ),
        (
            "response.function_call_arguments.delta",
            r'"item_id":"fc_t-1_1","output_index":1,"delta":"\"Oslo\"}"',
        ),
        added(2, call(2, "call_b", "time", '""', "in_progress")),
        ("response.function_call_arguments.delta", '"item_id":"fc_t-1_2","output_index":2,"delta":"{}"'),
        (
            "response.function_call_arguments.done",
            f'"item_id":"fc_t-1_1","output_index":1,"arguments":{CITY}',
        ),
        done(1, call(1, "call_a", "weather", CITY)),
        ("response.function_call_arguments.done", '"item_id":"fc_t-1_2","output_index":2,"arguments":"{}"'),
        done(2, call(2, "call_b", "time", '"{}"')),
        last(
            "completed",
            ",".join(
                [
                    message(0, text_part('"I look."')),
                    call(1, "call_a", "weather", CITY),
                    call(2, "call_b", "time", '"{}"'),
                ]
            ),
            usage(20, 12),
        ),
    ],
    "choices": [
        *told('"One way"', '"One"', '" way"'),
        last("completed", message(0, text_part('"One way"')), usage(4, 4)),
    ],
    "logprobs": [
        added(0, message(0, "", "in_progress")),
        ("response.content_part.added", PART_0 + '"part":' + text_part('""')),
        ("response.output_text.delta", f'{PART_0}"delta":"Yes","logprobs":[{YES}]'),
        ("response.output_text.delta", f'{PART_0}"delta":".","logprobs":[{DOT}]'),
        ("response.output_text.done", f'{PART_0}"text":"Yes.","logprobs":[{YES},{DOT}]'),
        ("response.content_part.done", PART_0 + '"part":' + text_part('"Yes."', f"{YES},{DOT}")),
        ("response.content_part.added", PART_1 + '"part":{"type":"refusal","refusal":""}'),
        ("response.refusal.delta", PART_1 + '"delta":"But no"'),
        ("response.refusal.delta", PART_1 + '"delta":" more."'),
        ("response.refusal.done", PART_1 + '"refusal":"But no more."'),
        ("response.content_part.done", f'{PART_1}"part":{NO}'),
        done(0, message(0, text_part('"Yes."', f"{YES},{DOT}") + "," + NO)),
        last("completed", message(0, text_part('"Yes."', f"{YES},{DOT}") + "," + NO), usage(4, 2)),
    ],
    "broken": [
        *told('"Hel"', '"Hel"', status="incomplete"),
        last(
            "failed",
            message(0, text_part('"Hel"'), "incomplete"),
            '"usage":null',
            FAILED % ("upstream_error", "The connection broke."),
        ),
    ],
    "limited": [
        last("failed", "", '"usage":null', FAILED % ("rate_limit_exceeded", "Too many. Try again later.")),
    ],
    "keyless": [
        last("failed", "", '"usage":null', FAILED % ("provider_auth", "The upstream needs a key.")),
    ],
    "cut": [
        *told('"And so"', '"And so"', status="incomplete"),
        last("incomplete", message(0, text_part('"And so"'), "incomplete"), usage(4, 2), SHORT),
    ],
    "counted": [
        *told('"42"', '"42"'),
        last("completed", message(0, text_part('"42"')), usage(100, 30, 25, 60, 10)),
    ],
    "silent": [last("completed", "", usage(4, 0))],
    "seam": [
        *told('"Once upon a time."', '"Once upon"', '" a time."'),
        last(
            "completed",
            message(0, text_part('"Once upon a time."')),
            usage(4, 5, rest=ESTIMATED),
            model="large",
        ),
    ],
    "stopped": [
        *told('"And so"', '"And so"', status="incomplete"),
        last("cancelled", message(0, text_part('"And so"'), "incomplete"), usage(4, 2, rest=ESTIMATED)),
    ],
    "media": [
        *told(FOXES, FOXES),
        last("completed", message(0, text_part(FOXES)), usage(3, 0), model="painter"),
    ],
    "unrecorded": [
        *told('"Hi"', '"Hi"'),
        last("completed", message(0, text_part('"Hi"')), usage(1, 1, rest=',"recorded":false')),
    ],
}


def golden(name: str) -> bytes:
    opening = [
        (f"response.{step}", f'"response":{{{repeated()}{OPEN}}}') for step in ("created", "in_progress")
    ]
    return "".join(
        f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},{rest}}}\n\n'
        for number, (kind, rest) in enumerate([*opening, *GOLDEN[name]])
    ).encode()


def stream(events: list[Event], starting_after: int = -1) -> bytes:
    wire = ResponseEvents(TURN, CREATED, ASKED, starting_after)
    return wire.encode(events, 0) + wire.end()


def frames(data: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in data.split(b"\n\n")[:-1]]


def parsed(data: bytes) -> list[Json]:
    return [json.loads(frame.partition(b"data: ")[2]) for frame in frames(data)]


def test_every_transcript_has_its_bytes() -> None:
    assert GOLDEN.keys() == TRANSCRIPTS.keys()


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_transcript_to_the_byte(name: str) -> None:
    assert stream(TRANSCRIPTS[name]) == golden(name)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_the_whole_is_what_the_last_frame_says(name: str) -> None:
    whole = msgspec.json.encode(response(TRANSCRIPTS[name], TURN, CREATED, ASKED))
    assert json.loads(whole) == parsed(golden(name))[-1]["response"]


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_from_any_number_on_the_rest_follows(name: str) -> None:
    whole = frames(golden(name))
    for number in range(-1, len(whole)):
        assert frames(stream(TRANSCRIPTS[name], number)) == whole[number + 1 :]


WORDS = st.text(max_size=5)
SPOKEN: st.SearchStrategy[Event] = st.one_of(
    st.builds(Content, WORDS),
    st.builds(Content, WORDS, choice=st.just(1)),
    st.builds(lambda token: Reasoning(token=token), WORDS),
    st.just(Reasoning(token=None, status="")),
    st.builds(lambda signature: Reasoning(signature=signature), WORDS),
    st.builds(lambda secret: Reasoning(redacted=secret), WORDS),
    st.builds(
        lambda index, name, arguments: ToolCalls([ToolCall(index, "c", function=Function(name, arguments))]),
        st.integers(0, 2),
        st.none() | WORDS,
        st.none() | WORDS,
    ),
    st.builds(
        lambda value: Extra({"refusal": value, "annotations": value}, {"logprobs": value}),
        st.recursive(st.none() | WORDS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner)),
    ),
    st.just(Extra({"annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]})),
    st.just(Extra(of_choice={"logprobs": {"content": [{"token": "t", "logprob": -1.0}]}})),
    st.just(Noted("It stumbled.", "Stumble")),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    reason = draw(st.sampled_from(["stop", "length", "stopped", "interrupted", "odd"]))
    spoken = draw(st.lists(SPOKEN, max_size=12))
    return [Begun(TURN), *spoken, Finished(Finish(reason)), Used(Usage(1, 2, 3))]


@given(logs(), st.data())
def test_batches_change_nothing(log: list[Event], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)))))
    wire = ResponseEvents(TURN, CREATED, ASKED)
    pieces = [wire.encode(log[first:end], first) for first, end in pairwise([0, *cuts, len(log)])]
    assert b"".join(pieces) + wire.end() == stream(log)


@given(logs())
def test_what_is_opened_is_filled_and_closed_once(log: list[Event]) -> None:
    told = parsed(stream(log))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    final = told[-1]["response"]
    for index, item in enumerate(final["output"]):
        of_item = [event for event in told if event.get("output_index") == index]
        assert of_item[0] == {**of_item[0], "type": "response.output_item.added"}
        assert of_item[0]["item"]["id"] == item["id"]
        assert of_item[-1]["type"] == "response.output_item.done"
        assert of_item[-1]["item"] == item
        for name in ("added", "done"):
            assert [event["type"] for event in of_item].count(f"response.output_item.{name}") == 1
        for content_index, part in enumerate(item.get("content", [item])):
            said = [event for event in of_item if event.get("content_index", 0) == content_index]
            deltas = [event["delta"] for event in said if "delta" in event]
            field = {"output_text": "text", "reasoning_text": "text", "refusal": "refusal"}
            assert "".join(deltas) == part[field.get(part["type"], "arguments")]
    assert not {event["output_index"] for event in told if "output_index" in event} - set(
        range(len(final["output"]))
    )


@given(logs())
def test_a_running_response_has_what_was_said_so_far(log: list[Event]) -> None:
    for end in range(1, len(log) - 2):
        said = response(log[:end], TURN, CREATED, ASKED, ended=False)
        assert said.status == "in_progress"
        told = parsed(ResponseEvents(TURN, CREATED, ASKED).encode(log[:end], 0))
        deltas = [event["delta"] for event in told if "delta" in event]
        assert sorted("".join(deltas)) == sorted("".join(_texts(said)))


def _texts(said: Response) -> list[str]:
    parts = [part for item in msgspec.to_builtins(said.output) for part in item.get("content", [item])]
    return [part.get("text", "") + part.get("refusal", "") + part.get("arguments", "") for part in parts]


@pytest.mark.parametrize("ended", [False, True])
def test_a_response_has_not_ended_before_its_usage_is_there(ended: bool) -> None:
    said = response(TEXT[:-1], TURN, CREATED, ASKED, ended)
    assert (said.status, said.usage) == ("completed" if ended else "in_progress", None)


def test_calls_whose_pieces_alternate_are_told_apart() -> None:
    def piece(index: int, arguments: str, id: str | None = None, name: str | None = None) -> Event:
        return ToolCalls([ToolCall(index, id, function=Function(name, arguments))])

    log = [
        Begun(TURN),
        piece(0, '{"a"', "call_a", "first"),
        piece(1, '{"b"', "call_b", "second"),
        piece(0, ":1}"),
        Content("And a word."),
        piece(1, ":2}"),
        *TOOLS[-2:],
    ]
    output = msgspec.to_builtins(response(log, TURN, CREATED, ASKED).output)
    assert [(item["type"], item.get("arguments")) for item in output] == [
        ("function_call", '{"a":1}'),
        ("function_call", '{"b":2}'),
        ("message", None),
    ]
    assert {item["status"] for item in output} == {"completed"}


def test_thoughts_are_closed_when_they_are_over() -> None:
    wire = ResponseEvents(TURN, CREATED, ASKED)
    wire.encode([Begun(TURN), Reasoning(token="Hm.")], 0)
    told = parsed(wire.encode([Reasoning(token=None, status="")], 2))
    assert [event["type"] for event in told][-1] == "response.output_item.done"


def test_what_fails_after_its_end_is_closed_once() -> None:
    told = parsed(stream([*TOOLS[:-1], Failed("ProviderError", "The connection broke.")]))
    done = [event["output_index"] for event in told if event["type"] == "response.output_item.done"]
    assert done == [0, 1, 2]
    assert told[-1]["type"] == "response.failed"


def test_a_call_without_an_id_gets_one() -> None:
    log = [Begun(TURN), ToolCalls([ToolCall(0, function=Function("f", "{}"))]), *TOOLS[-2:]]
    (item,) = msgspec.to_builtins(response(log, TURN, CREATED, ASKED).output)
    assert item["call_id"] == "call_t-1_0"


def test_citations_are_beside_the_text() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}
    flat = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    log = [Begun(TURN), Content("See A."), Extra({"annotations": [cited, "odd"]}), *TEXT[-2:]]
    told = parsed(stream(log))
    (event,) = [event for event in told if event["type"] == "response.output_text.annotation.added"]
    assert (event["annotation_index"], event["annotation"]) == (0, flat)
    assert told[-1]["response"]["output"][0]["content"][0]["annotations"] == [flat]


def test_the_passages_of_documents_are_cited_where_the_text_begins() -> None:
    passages = [Source("a.pdf", "b", "file-1", "Once …", 7), Source("c.md", "b", "file-2", "And …")]
    log = [Begun(TURN), Sources(passages), Reasoning("Hm."), Content("So"), Content("."), *TEXT[-2:]]
    told = parsed(stream(log))
    thought, said = told[-1]["response"]["output"]
    (text,) = said["content"]
    assert (thought["type"], text["text"]) == ("reasoning", "So.")
    places = [(each["type"], each["file_id"], each["place"]) for each in text["annotations"]]
    assert places == [("file_citation", "file-1", "a.pdf, page 7"), ("file_citation", "file-2", "c.md")]
    added = [each for each in told if each["type"] == "response.output_text.annotation.added"]
    assert [each["annotation"] for each in added] == text["annotations"]


INTERRUPTED: list[Event] = [*TEXT[:3], Finished(Finish("interrupted")), Used(Usage(1, 1, 2))]
"""What is left of TEXT when the process died."""


@pytest.mark.parametrize("read", range(4, 20))
def test_who_has_read_more_than_is_left_is_told_the_end(read: int) -> None:
    *_, last = parsed(stream(INTERRUPTED, read))
    whole = parsed(stream(INTERRUPTED))
    assert last["type"] == "response.incomplete"
    assert last["sequence_number"] == max(read + 1, len(whole) - 1)
    assert last["response"]["incomplete_details"] == {"reason": "interrupted"}
    assert last["response"]["output"][0]["content"][0]["text"] == "Hel"


def test_a_number_that_was_never_told_gets_the_end() -> None:
    (last,) = parsed(stream(TEXT, 1000))
    assert (last["type"], last["sequence_number"]) == ("response.completed", 1001)


def test_who_is_sent_away_is_told_where_to_read_on() -> None:
    wire = ResponseEvents(TURN, CREATED, ASKED)
    read = wire.encode([*TEXT[:-1]], 0)
    away = wire.aside(Resumable(TURN)) + wire.end()
    (event,) = parsed(away)
    assert (event["type"], event["code"], event["param"]) == ("error", "service_restarting", None)
    number = int(re.search(r"/v1/responses/resp_t-1\?stream=true&starting_after=(\d+)", event["message"])[1])  # type: ignore[index]
    assert number == event["sequence_number"] == len(frames(read)) - 1
    assert read + stream(TEXT, number) == stream(TEXT)


def test_without_usage_the_end_is_told_when_the_log_ends() -> None:
    wire = ResponseEvents(TURN, CREATED, ASKED)
    wire.encode(TEXT[:-1], 0)
    (event,) = parsed(wire.end())
    assert (event["type"], event["response"]["usage"]) == ("response.completed", None)
    assert wire.end() == b""


def test_other_asides_and_silence() -> None:
    wire = ResponseEvents(TURN, CREATED, ASKED)
    assert wire.aside(Reset("Begin again.")) == wire.end() == b""
    assert wire.heartbeat == b": ping\n\n"
    assert wire.content_type.startswith("text/event-stream")
