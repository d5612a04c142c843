"""The AI SDK's UI message stream: to the byte, whatever the batches are, and as its client can read it."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.events import (
    Attempt,
    Begun,
    Content,
    Event,
    Extra,
    Failed,
    Finish,
    Finished,
    Function,
    Logged,
    Noted,
    Reasoning,
    Reset,
    Resumable,
    Session,
    Source,
    Sources,
    Suggested,
    Switched,
    Titled,
    ToolCall,
    ToolCalls,
    Usage,
    Used,
)
from service.wire.uimessages import MessageParts
from service.wire.uiparts import UIMessage
from tests.wire.transcripts import TRANSCRIPTS, TURN, said

Json = dict[str, Any]

DONE = "data: [DONE]\n\n"


def wire() -> MessageParts:
    return MessageParts(TURN)


def frames(*parts: str) -> str:
    return "".join(f"data: {part}\n\n" for part in parts)


def opening(model: str = "small") -> tuple[str, ...]:
    return (
        '{"type":"start","messageId":"msg_t-1","messageMetadata":{"turn":"t-1"}}',
        '{"type":"start-step"}',
        '{"type":"data-provider","data":{"name":"Upstream","url":null,"label":"The upstream",'
        f'"model":"{model}"}},"transient":true}}',
    )


def used(prompt: int, completion: int, more: str = "", model: str = "small") -> str:
    return (
        f'"messageMetadata":{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},'
        f'"total_tokens":{prompt + completion}{more}}},"model":"{model}","provider":"Upstream"'
    )


def closing(prompt: int, completion: int, reason: str = "stop", more: str = "", model: str = "small") -> str:
    about = used(prompt, completion, more, model)
    return f'{{"type":"finish","finishReason":"{reason}",{about}}}}}'


def part(kind: str, id: int, *texts: str, seal: str = "") -> tuple[str, ...]:
    return (
        f'{{"type":"{kind}-start","id":"{id}"}}',
        *(f'{{"type":"{kind}-delta","id":"{id}","delta":{json.dumps(text)}}}' for text in texts),
        f'{{"type":"{kind}-end","id":"{id}"{seal}}}',
    )


def seal(name: str, text: str) -> str:
    return f',"providerMetadata":{{"causerie":{{"{name}":"{text}"}}}}'


FINISH_STEP = '{"type":"finish-step"}'
ESTIMATED = used(4, 2, ',"estimated":true')

GOLDEN: dict[str, tuple[str, ...]] = {
    "text": (
        *opening(),
        '{"type":"text-start","id":"1"}',
        '{"type":"text-delta","id":"1","delta":"Hel"}',
        r'{"type":"text-delta","id":"1","delta":"lo\n\"é🤔\""}',
        '{"type":"text-end","id":"1"}',
        FINISH_STEP,
        closing(4, 2),
    ),
    "reasoning": (
        *opening(),
        *part("reasoning", 1, "Let me ", "think.", seal=seal("signature", "c2VhbA==")),
        *part("reasoning", 2, seal=seal("redacted", "aGlkZGVu")),
        *part("text", 3, "Done."),
        FINISH_STEP,
        closing(5, 9, more=',"completion_tokens_details":{"reasoning_tokens":7}'),
    ),
    "tools": (
        *opening(),
        *part("text", 1, "I look."),
        '{"type":"tool-input-start","toolCallId":"call_a","toolName":"weather"}',
        r'{"type":"tool-input-delta","toolCallId":"call_a","inputTextDelta":"{\"city\":"}',
        r'{"type":"tool-input-delta","toolCallId":"call_a","inputTextDelta":"\"Oslo\"}"}',
        '{"type":"tool-input-start","toolCallId":"call_b","toolName":"time"}',
        '{"type":"tool-input-delta","toolCallId":"call_b","inputTextDelta":"{}"}',
        '{"type":"tool-input-available","toolCallId":"call_a","toolName":"weather","input":{"city":"Oslo"}}',
        '{"type":"tool-input-available","toolCallId":"call_b","toolName":"time","input":{}}',
        FINISH_STEP,
        closing(20, 12, "tool-calls"),
    ),
    "choices": (*opening(), *part("text", 1, "One", " way"), FINISH_STEP, closing(4, 4)),
    "logprobs": (
        *opening(),
        *part("text", 1, "Yes", ".", "But no", " more."),
        FINISH_STEP,
        closing(4, 2),
    ),
    "broken": (*opening(), *part("text", 1, "Hel"), '{"type":"error","errorText":"The connection broke."}'),
    "limited": (*opening(), '{"type":"error","errorText":"Too many. Try again later."}'),
    "keyless": (*opening(), '{"type":"error","errorText":"The upstream needs a key."}'),
    "cut": (*opening(), *part("text", 1, "And so"), FINISH_STEP, closing(4, 2, "length")),
    "counted": (
        *opening(),
        *part("text", 1, "42"),
        FINISH_STEP,
        closing(
            100,
            30,
            more=',"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},'
            '"completion_tokens_details":{"reasoning_tokens":25}',
        ),
    ),
    "silent": (*opening(), FINISH_STEP, closing(4, 0)),
    "seam": (
        *opening(),
        '{"type":"text-start","id":"1"}',
        '{"type":"text-delta","id":"1","delta":"Once upon"}',
        '{"type":"data-switch","data":{"provider":"Upstream","model":"small","error":"ProviderTimeout",'
        '"message":"It was silent.","seam":true},"transient":true}',
        '{"type":"data-provider","data":{"name":"Other","url":null,"label":"The other","model":"large"},'
        '"transient":true}',
        '{"type":"text-delta","id":"1","delta":" a time."}',
        '{"type":"text-end","id":"1"}',
        FINISH_STEP,
        closing(4, 5, more=',"estimated":true', model="large"),
    ),
    "stopped": (
        *opening(),
        *part("text", 1, "And so"),
        FINISH_STEP,
        f'{{"type":"message-metadata",{ESTIMATED}}}}}',
        '{"type":"abort","reason":"stopped"}',
    ),
    "media": (
        *opening("painter"),
        '{"type":"file","mediaType":"image/png","url":"/media/a.png"}',
        '{"type":"file","mediaType":"image/png","url":"/media/b.png"}',
        FINISH_STEP,
        closing(3, 0, model="painter"),
    ),
    "unrecorded": (
        *opening(),
        *part("text", 1, "Hi"),
        FINISH_STEP,
        closing(1, 1).removesuffix("}}") + ',"recorded":false}}',
    ),
}


# To the byte


@pytest.mark.parametrize("name", GOLDEN)
def test_each_log_is_these_parts(name: str) -> None:
    assert said(wire(), TRANSCRIPTS[name]).decode() == frames(*GOLDEN[name]) + DONE


def test_every_log_is_in_the_table() -> None:
    assert GOLDEN.keys() == TRANSCRIPTS.keys()


def test_the_protocol_is_named() -> None:
    assert wire().headers == {"X-Vercel-AI-UI-Message-Stream": "v1"}
    assert wire().content_type.startswith("text/event-stream")
    assert wire().heartbeat == b": ping\n\n"


# What comes of single events


def told(*events: Event) -> list[Json]:
    return payloads(wire().encode(events, 0))


def payloads(data: bytes) -> list[Json]:
    frames = data.decode().removesuffix(DONE).split("\n\n")[:-1]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def call(index: int, arguments: str, name: str | None = None, id: str | None = None) -> ToolCalls:
    return ToolCalls([ToolCall(index, id, function=Function(name, arguments))])


def kinds(parts: Sequence[Json]) -> list[str]:
    return [part["type"] for part in parts]


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (Titled("A title"), "title", "A title"),
        (Noted("No search.", "Unavailable"), "message", {"message": "No search.", "error": "Unavailable"}),
        (Suggested(["More?"]), "suggestions", ["More?"]),
        (Session({"Upstream": {"id": 1}}), "conversation", {"Upstream": {"id": 1}}),
        (
            Switched(Attempt("Upstream", None, "ProviderError", "Away.")),
            "switch",
            {
                "provider": "Upstream",
                "model": None,
                "error": "ProviderError",
                "message": "Away.",
                "seam": False,
            },
        ),
    ],
)
def test_what_a_message_has_no_part_for_is_passing_data(event: Event, name: str, data: object) -> None:
    assert told(event) == [{"type": f"data-{name}", "data": data, "transient": True}]


def test_what_nobody_reads_says_nothing() -> None:
    assert told(Logged("a line"), Reasoning(label="Search"), Content("")) == []
    assert wire().aside(Reset("Begin again.")) == b""


def test_pictures_and_sound_are_files() -> None:
    urls = ["data:image/webp;base64,UklG", "https://example.org/a.jpg?size=2", "https://example.org/picture"]
    files = told(Content("<a>…</a>", urls=urls, alt="A fox"), Content("<audio>", data="/media/words.wav"))
    assert kinds(files) == ["file"] * 4
    assert [file["url"] for file in files] == [*urls, "/media/words.wav"]
    types = [file["mediaType"] for file in files]
    assert types[:3] == ["image/webp", "image/jpeg", "image/*"]
    assert types[3].startswith("audio/")


def test_pages_that_are_cited_are_sources() -> None:
    nested = {
        "type": "url_citation",
        "url_citation": {"url": "https://a.example", "title": "A", "start_index": 1},
    }
    flat = {"type": "url_citation", "url": "https://b.example"}
    assert told(Content("So."), Extra({"annotations": [nested, "x", flat]}), Extra({"annotations": "x"}))[
        2:
    ] == [
        {"type": "source-url", "sourceId": "source_1", "url": "https://a.example", "title": "A"},
        {"type": "source-url", "sourceId": "source_2", "url": "https://b.example"},
    ]


def test_passages_of_documents_are_sources() -> None:
    parts = told(Sources([Source("a.pdf", "b", "file-1", "Once …", 7, last_page=8)]), Content("So."))
    assert parts[0] == {
        "type": "source-document",
        "sourceId": "source_1",
        "mediaType": "application/pdf",
        "title": "a.pdf, pages 7 and 8",
        "filename": "a.pdf",
    }


def test_a_call_begins_when_its_name_is_known() -> None:
    assert told(call(0, '{"a"', id="c"), call(0, ":1}", "f"), Finished(Finish("tool_calls"))) == [
        {"type": "tool-input-start", "toolCallId": "c", "toolName": "f"},
        {"type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": '{"a":1}'},
        {"type": "tool-input-available", "toolCallId": "c", "toolName": "f", "input": {"a": 1}},
        {"type": "finish-step"},
    ]


def test_a_call_without_arguments_or_id_has_some() -> None:
    parts = told(call(3, "", "f"), Finished(Finish("tool_calls")))
    assert parts[1] == {
        "type": "tool-input-available",
        "toolCallId": "call_t-1_3",
        "toolName": "f",
        "input": {},
    }


@pytest.mark.parametrize(
    "end", [Finished(Finish("stopped")), Finished(Finish("interrupted")), Failed("ProviderError", "Broken.")]
)
def test_a_tool_does_not_run_after_an_answer_that_was_cut_off(end: Event) -> None:
    parts = payloads(said(wire(), [call(0, "{}", "f", "c"), end]))
    (error,) = (part for part in parts if part["type"] == "tool-input-error")
    assert (error["toolCallId"], error["input"]) == ("c", "{}")
    assert "tool-input-available" not in kinds(parts)


def test_arguments_that_are_no_json_spoil_their_own_call_only() -> None:
    parts = told(call(0, '{"a":', "f", "c"), call(1, "{}", "g", "d"), Finished(Finish("length")))
    ends = {
        part["toolCallId"]: part["type"] for part in parts if part["type"].endswith(("error", "available"))
    }
    assert ends == {"c": "tool-input-error", "d": "tool-input-available"}


def test_thoughts_that_are_over_are_a_part_by_themselves() -> None:
    parts = told(Reasoning(token="a"), Reasoning(token=None, status=""), Reasoning(token="b"))
    assert [part["id"] for part in parts if part["type"] == "reasoning-start"] == ["1", "2"]


def test_a_seal_closes_a_thought_even_where_none_was_told() -> None:
    parts = told(Reasoning(signature="s"), Reasoning(token="b"))
    assert kinds(parts) == ["reasoning-start", "reasoning-end", "reasoning-start", "reasoning-delta"]
    assert [part["id"] for part in parts] == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("reason", "told_as"),
    [("content_filter", "content-filter"), ("function_call", "tool-calls"), ("end_turn", "other")],
)
def test_reasons_are_those_that_the_client_knows(reason: str, told_as: str) -> None:
    parts = payloads(said(wire(), [Finished(Finish(reason)), Used(Usage(1, 1, 2))]))
    assert parts[-1]["finishReason"] == told_as


def test_a_log_without_usage_still_ends() -> None:
    assert kinds(payloads(said(wire(), [Content("a"), Finished(Finish("stop"))])))[-1] == "finish"
    assert kinds(payloads(said(wire(), [Content("a")])))[-2:] == ["finish-step", "abort"]


def test_who_is_sent_away_is_told_to_resume() -> None:
    growing = wire()
    growing.encode([Content("Hel")], 0)
    end, error = payloads(growing.aside(Resumable(TURN)))
    assert end == {"type": "text-end", "id": "1"}
    assert "Resume" in error["errorText"]
    assert growing.end() == DONE.encode()


# A message that goes on

BEFORE: list[Json] = [
    {"type": "step-start"},
    {"type": "reasoning", "text": "Hm.", "providerMetadata": {"causerie": {"signature": "s"}}},
    {"type": "text", "text": "I look."},
    {
        "type": "tool-weather",
        "toolCallId": "a",
        "state": "output-available",
        "input": {"x": 1},
        "output": [2],
    },
    {"type": "tool-time", "toolCallId": "b", "state": "output-error", "input": {}, "errorText": "No clock."},
    {"type": "dynamic-tool", "toolName": "f", "toolCallId": "c", "state": "output-denied", "input": {}},
    {"type": "file", "url": "/media/a.png", "mediaType": "image/png"},
    {"type": "data-note", "id": "1", "data": {"text": "Kept."}},
    {"type": "something new"},
]


def test_a_message_that_goes_on_keeps_its_id() -> None:
    message = UIMessage(id="m-1", role="assistant", parts=BEFORE, metadata={"mine": 1})
    parts = payloads(MessageParts(TURN, message).encode([Begun(TURN)], 0))
    assert parts == [
        {"type": "start", "messageId": "m-1", "messageMetadata": {"turn": TURN}},
        {"type": "start-step"},
    ]


def test_who_resumes_it_is_told_what_it_had_before() -> None:
    message = UIMessage(id="m-1", role="assistant", parts=BEFORE, metadata={"mine": 1})
    parts = payloads(MessageParts(TURN, message, retell=True).encode([Begun(TURN)], 0))
    assert parts[0] == {"type": "start", "messageId": "m-1", "messageMetadata": {"mine": 1, "turn": TURN}}
    assert kinds(parts[1:]) == [
        "start-step",
        *("reasoning-start", "reasoning-delta", "reasoning-end"),
        *("text-start", "text-delta", "text-end"),
        *("tool-input-available", "tool-output-available"),
        *("tool-input-available", "tool-output-error"),
        *("tool-input-available", "tool-output-denied"),
        *("file", "data-note"),
        "start-step",
    ]
    assert parts[4]["providerMetadata"] == {"causerie": {"signature": "s"}}
    assert parts[9] == {"type": "tool-output-available", "toolCallId": "a", "output": [2]}
    assert parts[12]["dynamic"] is True


# Whatever the batches are, and as the client reads it

EVENTS = st.one_of(
    st.builds(Content, st.text(max_size=4), choice=st.integers(0, 1)),
    st.builds(Content, st.just(""), urls=st.just(["/media/a.png"])),
    st.builds(Reasoning, token=st.one_of(st.none(), st.text(max_size=4)), choice=st.integers(0, 1)),
    st.builds(Reasoning, signature=st.just("s")),
    st.builds(Reasoning, redacted=st.just("r")),
    st.builds(Extra, st.sampled_from([{"refusal": "No"}, {"annotations": [{"url": "u"}]}])),
    st.builds(
        call,
        st.integers(0, 2),
        st.sampled_from(["", "{", "}", "1"]),
        st.sampled_from([None, "f"]),
        st.sampled_from([None, "c"]),
    ),
    st.just(Titled("A title")),
)
ENDS: list[list[Event]] = [
    [Finished(Finish("stop")), Used(Usage(1, 2, 3))],
    [Finished(Finish("stopped")), Used(Usage(1, 2, 3))],
    [Failed("ProviderError", "Broken.")],
    [],
]
LOGS = st.one_of(
    st.sampled_from(list(TRANSCRIPTS.values())),
    st.builds(
        lambda body, end: [*TRANSCRIPTS["silent"][:2], *body, *end],
        st.lists(EVENTS, max_size=12),
        st.sampled_from(ENDS),
    ),
)


@given(log=LOGS, cuts=st.sets(st.integers(1, 30)))
def test_the_bytes_depend_on_the_log_alone(log: list[Event], cuts: set[int]) -> None:
    assert said(wire(), log, cuts) == said(wire(), log)


@given(log=LOGS)
def test_every_part_opens_grows_and_closes_in_this_order(log: list[Event]) -> None:
    parts = payloads(said(wire(), log))
    assert kinds(parts)[:2] == ["start", "start-step"]
    assert kinds(parts)[-1] in {"finish", "abort", "error"}
    grown = [part for part in parts if part["type"].startswith(("text-", "reasoning-"))]
    for before, after in pairwise([{"type": "text-end", "id": "0"}, *grown]):
        kind, _, step = before["type"].partition("-")
        if step == "end":
            assert after["type"].endswith("-start") and int(after["id"]) == int(before["id"]) + 1
        else:
            assert after["type"] in {f"{kind}-delta", f"{kind}-end"} and after["id"] == before["id"]
    assert not grown or grown[-1]["type"].endswith("-end")


@given(log=LOGS)
def test_every_call_that_begins_comes_to_an_end(log: list[Event]) -> None:
    parts = payloads(said(wire(), log))
    begun = [part["toolCallId"] for part in parts if part["type"] == "tool-input-start"]
    ended = [
        part["toolCallId"] for part in parts if part["type"] in {"tool-input-available", "tool-input-error"}
    ]
    assert sorted(begun) == sorted(ended)
    assert all(part["toolCallId"] in begun for part in parts if part["type"] == "tool-input-delta")


@given(log=LOGS)
def test_the_text_is_what_was_said(log: list[Event]) -> None:
    parts = payloads(said(wire(), log))
    text = "".join(part["delta"] for part in parts if part["type"] == "text-delta")
    expected = ""
    for event in log:
        if isinstance(event, Content) and event.choice == 0:
            expected += event.content
        elif isinstance(event, Extra):
            expected += event.extra.get("refusal", "")
    assert text == expected


def test_a_message_is_read_as_the_client_sends_it() -> None:
    sent = b'{"id":"m","role":"user","parts":[{"type":"text","text":"Hi"}],"metadata":{"a":1},"createdAt":0}'
    message = msgspec.json.decode(sent, type=UIMessage)
    assert (message.role, message.parts[0]["text"], message.metadata) == ("user", "Hi", {"a": 1})
