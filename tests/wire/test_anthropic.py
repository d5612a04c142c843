"""Anthropic's messages on the wire: to the byte, and as the SDK reads them."""

import json
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, ParsedMessage, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.errors import (
    BadRequest,
    ContextTooLong,
    Forbidden,
    MethodNotAllowed,
    ModelNotFound,
    ProviderAuth,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ServiceError,
    StorageFull,
    TooLarge,
    Unavailable,
)
from service.events import (
    Content,
    Event,
    Finish,
    Finished,
    Function,
    Logged,
    Reasoning,
    Reset,
    Resumable,
    ToolCall,
    ToolCalls,
    Usage,
    Used,
)
from service.wire.anthropic import MessageEvents, message, problem
from tests.wire.transcripts import TRANSCRIPTS, TURN, said

Json = dict[str, Any]

NO_CACHE = '"cache_creation_input_tokens":0,"cache_read_input_tokens":0'
PARTS = TypeAdapter[RawMessageStreamEvent](RawMessageStreamEvent)


def begin(model: str = "small") -> str:
    return framed(
        "message_start",
        f'"message":{{"type":"message","id":"msg_t-1","role":"assistant","content":[],"model":"{model}",'
        f'"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":7,{NO_CACHE},"output_tokens":0}}}}',
    )


def block(index: int, content: str, *deltas: str) -> str:
    return (
        framed("content_block_start", f'"index":{index},"content_block":{{{content}}}')
        + "".join(framed("content_block_delta", f'"index":{index},"delta":{{{delta}}}') for delta in deltas)
        + framed("content_block_stop", f'"index":{index}')
    )


def text(index: int, *texts: str) -> str:
    return block(
        index, '"type":"text","text":""', *(f'"type":"text_delta","text":"{text}"' for text in texts)
    )


def end(prompt: int, completion: int, reason: str = "end_turn", cache: str = NO_CACHE, rest: str = "") -> str:
    usage = f'"usage":{{"input_tokens":{prompt},{cache},"output_tokens":{completion}{rest or "}"}'
    delta = f'"delta":{{"stop_reason":"{reason}","stop_sequence":null}}'
    return framed("message_delta", f"{delta},{usage}") + framed("message_stop")


def framed(kind: str, content: str = "") -> str:
    return f'event: {kind}\ndata: {{"type":"{kind}"{"," if content else ""}{content}}}\n\n'


def failed(kind: str, text: str) -> str:
    return framed("error", f'"error":{{"type":"{kind}","message":"{text}"}}')


TABLE: dict[str, str] = {
    "text": begin() + text(0, "Hel", r"lo\n\"é🤔\"") + end(4, 2),
    "reasoning": begin()
    + block(
        0,
        '"type":"thinking","thinking":"","signature":""',
        '"type":"thinking_delta","thinking":"Let me "',
        '"type":"thinking_delta","thinking":"think."',
        '"type":"signature_delta","signature":"c2VhbA=="',
    )
    + block(1, '"type":"redacted_thinking","data":"aGlkZGVu"')
    + text(2, "Done.")
    + end(5, 9, rest=',"output_tokens_details":{"thinking_tokens":7}}'),
    "tools": begin()
    + text(0, "I look.")
    + block(
        1,
        '"type":"tool_use","id":"call_a","name":"weather","input":{}',
        r'"type":"input_json_delta","partial_json":"{\"city\":"',
        r'"type":"input_json_delta","partial_json":"\"Oslo\"}"',
    )
    + block(
        2,
        '"type":"tool_use","id":"call_b","name":"time","input":{}',
        '"type":"input_json_delta","partial_json":"{}"',
    )
    + end(20, 12, "tool_use"),
    "choices": begin() + text(0, "One", " way") + end(4, 4),
    "logprobs": begin() + text(0, "Yes", ".") + end(4, 2),
    "broken": begin()
    + text(0, "Hel").replace(framed("content_block_stop", '"index":0'), "")
    + failed("api_error", "The connection broke."),
    "limited": failed("rate_limit_error", "Too many. Try again later."),
    "keyless": failed("api_error", "The upstream needs a key."),
    "cut": begin() + text(0, "And so") + end(4, 2, "max_tokens"),
    "counted": begin()
    + text(0, "42")
    + end(
        30,
        30,
        cache='"cache_creation_input_tokens":10,"cache_read_input_tokens":60',
        rest=',"output_tokens_details":{"thinking_tokens":25}}',
    ),
    "silent": begin() + end(4, 0),
    "seam": begin() + text(0, "Once upon", " a time.") + end(4, 5),
    "stopped": begin() + text(0, "And so") + end(4, 2, "max_tokens"),
    "media": begin("painter")
    + text(0, r"![A red fox](/media/a.png)\n![A red fox](/media/b.png)")
    + end(3, 0),
    "unrecorded": begin()
    + text(0, "Hi")
    + end(1, 1, "stop_sequence", rest='},"recorded":false').replace(
        '"stop_sequence":null', '"stop_sequence":"END"'
    ),
}


def wire() -> MessageEvents:
    return MessageEvents(TURN, None, 7)


def read(data: bytes) -> list[Json]:
    """The JSON of each event, whose name is its type."""
    found = []
    for frame in data.decode().split("\n\n")[:-1]:
        name, _, content = frame.removeprefix("event: ").partition("\ndata: ")
        found.append(json.loads(content))
        assert found[-1]["type"] == name
    return found


def accumulated(events: list[Json]) -> ParsedMessage[None]:
    """What the SDK makes of a stream, each of whose events is of its types."""
    snapshot: ParsedMessage[None] | None = None
    buffers: dict[int, bytes] = {}
    for event in events:
        typed = PARTS.validate_python(event)
        snapshot = accumulate_event(event=typed, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot
    return snapshot


# To the byte


@pytest.mark.parametrize("name", TABLE)
def test_each_log_is_these_events(name: str) -> None:
    assert said(wire(), TRANSCRIPTS[name]).decode() == TABLE[name]


def test_every_log_is_in_the_table() -> None:
    assert TABLE.keys() == TRANSCRIPTS.keys()


def test_the_sign_of_life_is_anthropics() -> None:
    assert MessageEvents.heartbeat == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_what_a_client_cannot_read_says_nothing() -> None:
    silent: list[Event] = [Logged("a line"), Reasoning(label="Search"), Content(""), Content("b", choice=1)]
    assert wire().encode([*TRANSCRIPTS["silent"][:2], *silent], 0) == b""
    assert wire().aside(Reset("Begin again.")) == b""


def test_who_is_sent_away_is_told_where_the_answer_goes_on() -> None:
    events = wire()
    (told,) = read(events.aside(Resumable(TURN)))
    assert told["error"]["type"] == "overloaded_error"
    assert "GET /backend-api/v2/turns/t-1" in told["error"]["message"]
    assert events.end() == b""


def test_a_message_whose_usage_is_lost_ends_all_the_same() -> None:
    log = [*TRANSCRIPTS["text"][:3], Finished(Finish("interrupted"))]
    *_, delta, stop = read(said(wire(), log))
    assert (delta["delta"]["stop_reason"], stop) == ("max_tokens", {"type": "message_stop"})
    assert message(log, turn_id=TURN, model=None).stop_reason == "max_tokens"


def test_each_seal_closes_the_thoughts_that_it_is_for() -> None:
    log: list[Event] = [
        Reasoning(token="One."),
        Reasoning(signature="MQ=="),
        Reasoning(token="Two.", signature="Mg=="),
        Reasoning(token="Three."),
    ]
    content = accumulated(read(said(wire(), log))).content
    assert [block.to_dict() for block in content] == [
        {"type": "thinking", "thinking": "One.", "signature": "MQ=="},
        {"type": "thinking", "thinking": "Two.", "signature": "Mg=="},
        {"type": "thinking", "thinking": "Three.", "signature": ""},
    ]


def test_how_another_choice_ends_is_not_told() -> None:
    log = [Content("a"), Finished(Finish("stop")), Finished(Finish("length"), choice=1), Used(Usage(1, 2, 3))]
    assert accumulated(read(said(wire(), log))).stop_reason == "end_turn"


def call(index: int, arguments: str, id: str | None = None) -> ToolCalls:
    return ToolCalls([ToolCall(index, id, None, Function(f"f{index}" if id else None, arguments))])


def test_pieces_of_two_calls_by_turns_find_their_blocks() -> None:
    log: list[Event] = [call(0, "{", "a"), call(1, "{", "b"), call(0, '"x":1}'), call(1, '"y":2}')]
    log += [Finished(Finish("tool_calls")), Used(Usage(1, 2, 3))]
    content = accumulated(read(said(wire(), log))).content
    assert [block.type == "tool_use" and block.input for block in content] == [{"x": 1}, {"y": 2}]


def test_a_call_without_an_id_gets_one_of_this_turn() -> None:
    (block,) = message([call(0, "{}")], turn_id=TURN, model=None).content
    assert msgspec.to_builtins(block)["id"] == "toolu_t-1_0"


@pytest.mark.parametrize("arguments", ['{"city":"Os', "[]", "null", "nonsense"])
def test_arguments_that_are_no_object_are_left_out_of_the_whole_message(arguments: str) -> None:
    (block,) = message([call(0, arguments, "a")], turn_id=TURN, model=None).content
    assert msgspec.to_builtins(block)["input"] == {}


# Errors

ERRORS: list[tuple[ServiceError, str]] = [
    (BadRequest("Why."), "invalid_request_error"),
    (ContextTooLong(9, 8), "invalid_request_error"),
    (TooLarge("Why."), "request_too_large"),
    (Forbidden("Why."), "permission_error"),
    (ModelNotFound("m", "p"), "not_found_error"),
    (MethodNotAllowed("Why."), "invalid_request_error"),
    (RateLimited("Why."), "rate_limit_error"),
    (Unavailable("Why."), "overloaded_error"),
    (ProviderTimeout("Why."), "timeout_error"),
    (ProviderAuth("Why."), "api_error"),
    (ProviderError("Why."), "api_error"),
    (StorageFull("Why."), "api_error"),
    (ServiceError("Why."), "api_error"),
]


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda cell: type(cell).__name__)
def test_an_error_has_anthropics_shape(error: ServiceError, kind: str) -> None:
    assert (
        msgspec.json.encode(problem(error, "req-1"))
        == (
            f'{{"type":"error","error":{{"type":"{kind}","message":"{error.message}"}},"request_id":"req-1"}}'
        ).encode()
    )


# Whatever the batches are, and as the SDK reads it

EVENTS = st.one_of(
    st.builds(Content, st.text(max_size=5)),
    st.builds(Reasoning, token=st.text(max_size=5)),
    st.builds(Reasoning, signature=st.text(max_size=5)),
    st.builds(Reasoning, redacted=st.text(max_size=5)),
    st.builds(call, st.integers(0, 2), st.just(""), st.just("id")),
    st.builds(Logged, st.just("a line")),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Anything in any order; each call's arguments come in pieces, and together are JSON."""
    body = draw(st.lists(EVENTS, max_size=10))
    for index in range(3):
        arguments = json.dumps(draw(st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)))
        cut = draw(st.integers(0, len(arguments)))
        place = draw(st.integers(0, len(body)))
        body[place:place] = [call(index, arguments[:cut], f"call_{index}")]
        later = draw(st.integers(place + 1, len(body)))
        body[later:later] = [call(index, arguments[cut:])]
    return [*TRANSCRIPTS["silent"][:2], *body, Finished(Finish("stop")), Used(Usage(1, 2, 3))]


WHOLE = [log for name, log in TRANSCRIPTS.items() if name not in {"broken", "limited", "keyless"}]


@settings(deadline=None)
@given(log=st.one_of(st.sampled_from(list(TRANSCRIPTS.values())), logs()), cuts=st.sets(st.integers(1, 30)))
def test_the_bytes_are_the_same_whatever_the_batches_are(log: list[Event], cuts: set[int]) -> None:
    assert said(wire(), log, cuts) == said(wire(), log)


@settings(deadline=None)
@given(log=st.one_of(st.sampled_from(WHOLE), logs()))
def test_the_whole_message_is_what_the_sdk_makes_of_the_stream(log: list[Event]) -> None:
    whole = Message.model_validate_json(msgspec.json.encode(message(log, turn_id=TURN, model=None)))
    assert plain(accumulated(read(said(wire(), log)))) == plain(whole)


def plain(answer: Message) -> Json:
    """Without what the SDK adds, and without the field that is ours."""
    data = answer.model_dump(exclude={"recorded"}, exclude_none=True)
    for block in data["content"]:
        block.pop("parsed_output", None)
    return data


@settings(deadline=None)
@given(log=logs())
def test_one_block_ends_before_the_next_begins(log: list[Event]) -> None:
    running: int | None = None
    begun = 0
    for event in read(said(wire(), log)):
        if event["type"] == "content_block_start":
            assert (running, event["index"]) == (None, begun)
            running, begun = event["index"], begun + 1
        elif event["type"] == "content_block_stop":
            assert event["index"] == running
            running = None
        elif event["type"] == "content_block_delta" and event["delta"]["type"] != "input_json_delta":
            assert event["index"] == running
    assert running is None
