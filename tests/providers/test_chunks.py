"""Streams as upstreams send them, each dialect recorded in a file, and the events that they come to."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import service.providers.chunks
from service.errors import ServiceError
from service.events import Answerer, Chosen, Event
from service.providers import odd
from service.providers.chunks import Chunks
from service.providers.sse import EventStream
from tests.serving import Service, kinds, text
from tests.upstream import Data, Done, Finish, Raw, Say, Split, Step, Upstream

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.sse"))
Json = dict[str, Any]


def reader(tools: str = "", n: str = "") -> Chunks:
    given = [{"type": "function", "function": {"name": name}} for name in tools.split()] or None
    return Chunks("Up", "m", chosen, "It broke.", tools=given, **({"n": int(n)} if n else {}))


def chosen(model: str) -> Event:
    return Chosen(Answerer("Up", None, "Up", model))


def options(transcript: bytes) -> dict[str, str]:
    """What the comments at the head of a transcript say of the request."""
    comments = (line[2:].partition(" ") for line in transcript.decode().splitlines() if line.startswith(": "))
    return {name: value for name, _, value in comments if name in {"tools", "n"}}


def told(transcript: bytes, pieces: Sequence[bytes] | None = None) -> list[Json]:
    """The events as JSON, with the ids that were made up told apart from the upstream's."""
    chunks, frames = reader(**options(transcript)), EventStream()
    events: list[Event] = []
    for piece in pieces or [transcript]:
        events += chunks.events(frames.feed(piece))
    events += chunks.events(frames.end())
    return as_json([*events, *chunks.end()])


def as_json(events: list[Event]) -> list[Json]:
    found: list[Json] = msgspec.json.decode(msgspec.json.encode(events))
    for event in found:
        for call in event.get("tool_calls", []):
            if len(call.get("id", "")) == len("call_") + 20:
                call["id"] = f"made {call['id'][-4:]}"
    return found


def chunk(delta: Json | None = None, finish: str | None = None, **more: Any) -> bytes:
    return json.dumps(
        {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **more}
    ).encode()


@pytest.mark.parametrize("file", TRANSCRIPTS, ids=lambda file: file.stem)
def test_a_transcript_comes_to_these_events(file: Path) -> None:
    expected = [json.loads(line) for line in file.with_suffix(".jsonl").read_text().splitlines()]
    assert told(file.read_bytes()) == expected


@pytest.mark.parametrize("file", TRANSCRIPTS, ids=lambda file: file.stem)
def test_what_an_upstream_adds_changes_nothing_else(file: Path) -> None:
    """A field that nobody knows has each chunk read the long way; it comes to the same."""
    transcript = file.read_bytes()
    longer = transcript.replace(b'"choices":', b'"nobody_knows":null,"choices":')
    assert told(longer) == told(transcript)


@given(data=st.data())
def test_any_split_of_the_bytes_comes_to_the_same(data: st.DataObject) -> None:
    transcript = data.draw(st.sampled_from(TRANSCRIPTS)).read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(transcript)), max_size=12)))
    edges = zip([0, *cuts], [*cuts, len(transcript)], strict=True)
    assert told(transcript, [transcript[start:stop] for start, stop in edges]) == told(transcript)


def test_no_transcript_loses_a_character_or_makes_one_up() -> None:
    for file in TRANSCRIPTS:
        events = told(file.read_bytes())
        assert "\ufffd" not in json.dumps(events, ensure_ascii=False), file.stem
        assert "surrogate" not in str(events).encode("utf-8", "namereplace").decode(), file.stem


def test_odd_chunks_do_not_make_the_others_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd chunk is read twice, the usual way and the long one: now and then, and not each time."""
    long = counting(monkeypatch, odd, "decoded")
    usual = counting(monkeypatch, service.providers.chunks, "_decode")
    chunks = reader()
    chunks.events([chunk({"content": "a", "odd": 1}), *[chunk({"content": "b"})] * 200])
    assert (len(long), len(usual)) == (2, 200)
    chunks = reader()
    chunks.events([chunk({"content": "a", "odd": 1})] * 1000)
    assert len(long) == 1002
    assert len(usual) < 230


def counting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[bytes]:
    """What a function is called with from now on."""
    function, arguments = getattr(module, name), list[bytes]()

    def counted(payload: bytes) -> Any:
        arguments.append(payload)
        return function(payload)

    monkeypatch.setattr(module, name, counted)
    return arguments


async def test_ids_that_are_made_up_are_no_other_answers(service: Service, upstream: Upstream) -> None:
    call = {"function": {"name": "weather", "arguments": "{}"}}
    upstream.script(Data(json.loads(chunk({"tool_calls": [call, call]}, "stop"))), Done())
    answers = [await service.ask() for _ in range(2)]
    ids = [
        call["id"]
        for answer in answers
        for event in answer
        for call in event.get("tool_calls", [])
        if "id" in call
    ]
    assert len(set(ids)) == 4
    assert [answer[-2]["finish"] for answer in answers] == [{"reason": "tool_calls"}] * 2


REASONS = {
    "stop": "stop eos eos_token end_turn stop_sequence COMPLETE STOP FinishReason.STOP FINISH_REASON_STOP",
    "length": "length max_tokens MAX_TOKENS model_length max_output_tokens ERROR_LIMIT",
    "tool_calls": "tool_calls tool_use function_call",
    "content_filter": "content_filter content-filter SAFETY safety RECITATION refusal sensitive",
    "something_new": "Something-New",
}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ours, theirs) for ours, names in REASONS.items() for theirs in names.split()]
)
def test_a_reason_is_told_in_one_language(ours: str, theirs: str) -> None:
    chunks = reader()
    chunks.events([chunk({"content": "a"}), chunk({}, theirs)])
    assert as_json(chunks.end()) == [{"type": "finish", "finish": {"reason": ours}}]


@pytest.mark.parametrize("none", ["", None])
def test_no_reason_is_none(none: str | None) -> None:
    chunks = reader()
    chunks.events([chunk({"content": "a"}, none)])
    with pytest.raises(ServiceError, match="It broke"):
        chunks.end()
    chunks.events([b" [DONE] "])
    assert as_json(chunks.end()) == [{"type": "finish", "finish": {"reason": "stop"}}]


@pytest.mark.parametrize("reason", ["error", "network_error", "insufficient_system_resource"])
def test_an_error_is_no_reason_to_be_content(reason: str) -> None:
    chunks = reader()
    assert as_json(chunks.events([chunk({"content": "a"}, reason)])) == [{"type": "content", "content": "a"}]
    assert chunks.done
    with pytest.raises(ServiceError, match="Up could not go on"):
        chunks.end()


def test_one_of_two_answers_may_not_break_off() -> None:
    chunks = reader()
    chunks.events(
        [chunk({"content": "a"}, "stop").replace(b'"index": 0', b'"index": 1'), chunk({"content": "b"})]
    )
    with pytest.raises(ServiceError, match="It broke"):
        chunks.end()


@pytest.mark.parametrize("ending", [b'{"error": {"message": "Full."}}', chunk({}, "error")])
def test_what_is_withheld_is_told_before_an_error(ending: bytes) -> None:
    chunks = reader(tools="weather")
    events = chunks.events([chunk({"content": '<think>a</think>{"name": "weather", "argu'}), ending])
    assert [event for event in as_json(events) if event["type"] == "content"] == [
        {"type": "content", "content": '{"name": "weather", "argu'}
    ]
    assert chunks.left() == []


def test_what_is_withheld_when_the_stream_breaks_can_be_had() -> None:
    chunks = reader(tools="weather")
    assert as_json(chunks.events([chunk({"content": "Well:"}), chunk({"content": "\n```json\n{"})])) == [
        {"type": "content", "content": "Well:"},
        {"type": "content", "content": "\n"},
    ]
    assert as_json(chunks.left()) == [{"type": "content", "content": "```json\n{"}]


def test_what_was_skipped_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    chunks = reader()
    chunks.events(
        [b"{nonsense", b'{"choices":"\xff\xfe"}', chunk({"content": "\ud83d"}), b"", chunk({}, "stop")]
    )
    chunks.end()
    assert [record.getMessage() for record in caplog.records] == [
        "Up sent 2 lines that are no chunks; they were skipped",
        "Up sent 1 halves of characters; they were dropped",
    ]


def test_the_last_count_is_the_one_and_nothing_takes_it_back() -> None:
    chunks = reader()
    counts = [
        {"prompt_tokens": 4},
        {"prompt_tokens": 4, "completion_tokens": 9},
        {"completion_tokens": 0},
        {},
    ]
    events = chunks.events([chunk({"content": "a"}, usage=usage) for usage in counts])
    used = [event["usage"] for event in as_json(events) if event["type"] == "usage"]
    assert used == [
        {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4},
        {"prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13},
    ]


WHOLE = {
    "message": {
        "role": "assistant",
        "content": "<think>a</think>b",
        "refusal": None,
        "annotations": [],
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "now", "arguments": {}}}],
    },
    "finish_reason": "stop",
}


def test_an_answer_that_is_no_stream_is_mended_as_well() -> None:
    chunks = reader()
    events = chunks.events([json.dumps({"choices": [WHOLE], "usage": {"prompt_tokens": 1}}).encode()])
    assert kinds(as_json([*events, *chunks.end()])) == [
        "reasoning",
        "content",
        "tool_calls",
        "usage",
        "tool_calls",
        "finish",
    ]


EMOJI = "a\U0001f600b\U0001f468\u200d\U0001f469c"


@pytest.mark.parametrize("escaped", [True, False])
async def test_bytes_and_halves_arrive_one_by_one(
    service: Service, upstream: Upstream, escaped: bool
) -> None:
    halves = EMOJI.encode("utf-16-le")
    units = [halves[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(halves), 2)]
    pieces = units if escaped else list(EMOJI)
    said = [
        Raw(
            b"data: "
            + json.dumps(json.loads(chunk({"content": unit})), ensure_ascii=escaped).encode()
            + b"\n\n"
        )
        for unit in pieces
    ]
    upstream.script(Split(1), *said, Finish(), Done())
    answer = await service.ask()
    assert text(answer) == EMOJI
    assert kinds(answer) == ["provider", "content", "finish", "usage"]


THOUGHT = "\n<think>\nLet me see.</think>\n\nYes."


@pytest.mark.parametrize("cut", range(1, len(THOUGHT)))
async def test_thoughts_are_found_wherever_they_are_cut(
    service: Service, upstream: Upstream, cut: int
) -> None:
    upstream.script(Say(THOUGHT[:cut]), Say(THOUGHT[cut:]), Finish(), Done())
    answer = await service.ask()
    assert "".join(event["token"] or "" for event in answer if event["type"] == "reasoning") == "Let me see."
    assert text(answer) == "Yes."
    assert kinds(answer) == ["provider", "reasoning", "content", "finish", "usage"]


async def test_what_was_withheld_is_told_when_the_connection_breaks(
    service: Service, upstream: Upstream
) -> None:
    broken: list[Step] = [Say("Well, <"), Say("\n``"), Raw(b"data: {")]
    upstream.script(*broken)
    answer = await service.ask(tools=[{"type": "function", "function": {"name": "weather"}}])
    assert text(answer) == "Well, <\n``"
    assert answer[-1]["type"] == "error"
