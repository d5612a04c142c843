"""The backend-api v2 on the wire: each event, to the byte."""

import pytest

from service.events import (
    Answerer,
    Attempt,
    Begun,
    Chosen,
    CompletionDetails,
    Content,
    Continued,
    Event,
    Extra,
    Failed,
    Finish,
    Finished,
    Function,
    Headers,
    Logged,
    Noted,
    Parameters,
    Preview,
    PromptDetails,
    Reasoning,
    Requested,
    Reset,
    Responded,
    Resumable,
    Session,
    Source,
    Sources,
    Spoken,
    Suggested,
    Switched,
    Titled,
    ToolCall,
    ToolCalls,
    Unauthorized,
    Usage,
    Used,
    Variant,
)
from service.wire.backend import EventStream, JsonLines

TABLE: list[tuple[Event, str]] = [
    (
        Chosen(Answerer("Custom", None, "Custom Provider", "fake-chat")),
        '{"type":"provider","provider":'
        '{"name":"Custom","url":null,"label":"Custom Provider","model":"fake-chat"}}',
    ),
    (Parameters({"stream": True}), '{"type":"parameters","parameters":{"stream":true}}'),
    (
        Session({"Custom": {"message_id": "m-9"}}),
        '{"type":"conversation","conversation":{"Custom":{"message_id":"m-9"}}}',
    ),
    (Content("Hello"), '{"type":"content","content":"Hello"}'),
    (Content(""), '{"type":"content","content":""}'),
    (
        Content('"a"\r\n\n\0\x1f\u2028é🤔'),
        '{"type":"content","content":"\\"a\\"\\r\\n\\n\\u0000\\u001f\u2028é🤔"}',
    ),
    (
        Content("<a>", urls=["/media/a.png"], alt="Hi"),
        '{"type":"content","content":"<a>","urls":["/media/a.png"],"alt":"Hi"}',
    ),
    (Content("", data="/media/a.mp3"), '{"type":"content","content":"","data":"/media/a.mp3"}'),
    (Reasoning(token="Let me "), '{"type":"reasoning","token":"Let me "}'),
    (Reasoning(token=None, status=""), '{"type":"reasoning","token":null,"status":""}'),
    (
        Reasoning(token=None, status="Thought for 2.31s", is_thinking="</think>"),
        '{"type":"reasoning","token":null,"status":"Thought for 2.31s","is_thinking":"</think>"}',
    ),
    (
        Reasoning(label="Search", status="2 pages"),
        '{"type":"reasoning","status":"2 pages","label":"Search"}',
    ),
    (
        Used(Usage(11, 5, 16, PromptDetails(4)), "fake-chat", "Custom"),
        '{"type":"usage","usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16,'
        '"prompt_tokens_details":{"cached_tokens":4}},"model":"fake-chat","provider":"Custom"}',
    ),
    (
        Used(Usage(1, 2, 3, None, CompletionDetails(2), estimated=True), None, recorded=False),
        '{"type":"usage","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,'
        '"completion_tokens_details":{"reasoning_tokens":2},"estimated":true},"model":null,"recorded":false}',
    ),
    (Finished(Finish("stop")), '{"type":"finish","finish":{"reason":"stop"}}'),
    (Titled("A title"), '{"type":"title","title":"A title"}'),
    (
        ToolCalls([ToolCall(0, "call_1", "function", Function("get_weather", ""))]),
        '{"type":"tool_calls","tool_calls":[{"index":0,"id":"call_1","type":"function",'
        '"function":{"name":"get_weather","arguments":""}}]}',
    ),
    (
        ToolCalls([ToolCall(1, function=Function(arguments='{"a"'))]),
        '{"type":"tool_calls","tool_calls":[{"index":1,"function":{"arguments":"{\\"a\\""}}]}',
    ),
    (
        Spoken({"provider": "Voice", "data": {"text": "Hi"}}),
        '{"type":"synthesize","synthesize":{"provider":"Voice","data":{"text":"Hi"}}}',
    ),
    (Suggested(["And then?"]), '{"type":"suggestions","suggestions":["And then?"]}'),
    (
        Preview("![a](b)", urls=["b"], alt="a"),
        '{"type":"preview","preview":"![a](b)","urls":["b"],"alt":"a"}',
    ),
    (Variant("Or so."), '{"type":"variant","variant":"Or so."}'),
    (Continued("and on"), '{"type":"continue","continue":"and on"}'),
    (Logged("a line"), '{"type":"log","log":"a line"}'),
    (Noted("It stumbled.", "Stumble"), '{"type":"message","message":"It stumbled.","error":"Stumble"}'),
    (
        Failed("ProviderError", "It fell."),
        '{"type":"error","error":"ProviderError","message":"It fell."}',
    ),
    (
        Unauthorized("ProviderAuth", "It wants a key."),
        '{"type":"auth","auth":"ProviderAuth","message":"It wants a key."}',
    ),
    (Requested({"model": "m"}), '{"type":"request","request":{"model":"m"}}'),
    (Responded({"id": "1"}), '{"type":"response","response":{"id":"1"}}'),
    (Responded("text"), '{"type":"response","response":"text"}'),
    (Begun("t-1"), '{"type":"turn","turn":"t-1"}'),
    (Reset("Begin again."), '{"type":"reset","reset":"Begin again."}'),
    (Resumable("t-1"), '{"type":"resume","resume":"t-1"}'),
    (
        Extra(of_choice={"logprobs": {"content": []}}),
        '{"type":"extra","of_choice":{"logprobs":{"content":[]}}}',
    ),
    (Content("Or", choice=1), '{"type":"content","content":"Or","choice":1}'),
    (
        Switched(Attempt("First", "m", "ProviderTimeout", "It was silent."), seam=True),
        '{"type":"switch","switch":{"provider":"First","model":"m","error":"ProviderTimeout",'
        '"message":"It was silent."},"seam":true}',
    ),
    (
        Failed("RateLimited", "Later.", 2.5),
        '{"type":"error","error":"RateLimited","message":"Later.","retry_after":2.5}',
    ),
    (
        Sources(
            [Source("a.pdf", "b", "file-1", "Once …", 7, "A tale"), Source("c.txt", "b", "file-2", "Two")]
        ),
        '{"type":"sources","sources":[{"file":"a.pdf","bucket":"b","id":"file-1","snippet":"Once …","page":7,'
        '"title":"A tale"},{"file":"c.txt","bucket":"b","id":"file-2","snippet":"Two"}]}',
    ),
    (Headers({"x-cache": "hit"}), '{"type":"headers","headers":{"x-cache":"hit"}}'),
]


def test_no_type_of_event_is_missing() -> None:
    assert {type(event) for event, _ in TABLE} == set(Event.__subclasses__())


@pytest.mark.parametrize(("event", "json"), TABLE, ids=lambda cell: type(cell).__name__)
def test_each_event_is_one_frame(event: Event, json: str) -> None:
    retry = "retry: 1000\n" if isinstance(event, Resumable) else ""
    frame = f"{retry}event: {type(event).__struct_config__.tag}\ndata: {json}\n\n"
    assert EventStream("0a1b2c3d").encode([event], 7) == f"id: 0a1b2c3d-7\n{frame}".encode()
    assert EventStream("0a1b2c3d").aside(event) == frame.encode()


@pytest.mark.parametrize(("event", "json"), TABLE, ids=lambda cell: type(cell).__name__)
def test_each_event_is_one_json_line(event: Event, json: str) -> None:
    assert JsonLines().encode([event], 7) == JsonLines().aside(event) == f"{json}\n".encode()


def test_a_batch_is_its_events_one_after_the_other() -> None:
    batch = [event for event, _ in TABLE]
    for wire in (EventStream("0a1b2c3d"), JsonLines()):
        assert wire.encode(batch, 5) == b"".join(
            wire.encode([event], index) for index, event in enumerate(batch, 5)
        )


def test_nothing_opens_or_closes_a_stream() -> None:
    for wire in (EventStream("0a1b2c3d"), JsonLines()):
        assert (wire.encode([], 0), wire.end()) == (b"", b"")


def test_the_sign_of_life_is_a_comment_where_there_are_comments_and_white_space_elsewhere() -> None:
    assert (EventStream.heartbeat, JsonLines.heartbeat) == (b": ping\n\n", b" ")
