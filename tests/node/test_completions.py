"""`@ai-sdk/openai-compatible`, as its package on npm has it, in front of the real service."""

from pathlib import Path

import pytest

from tests.node.running import Json, running
from tests.serving import Service
from tests.upstream import Done, Finish, Reason, Say, Status, ToolCall, Upstream, Usage, failure

pytestmark = pytest.mark.slow


async def outcome(service: Service, clients: Path, how: str) -> Json:
    async with running(clients, "completions.mjs", service.url, how) as client:
        return await client.until(lambda line: True)


@pytest.mark.parametrize("how", ["generate", "stream"])
async def test_text_with_thoughts_and_usage(
    service: Service, upstream: Upstream, clients: Path, how: str
) -> None:
    upstream.script(Reason("Hm."), Say("Hi"), Say(" there."), Finish(), Usage(), Done())
    answer = await outcome(service, clients, how)
    assert (answer["text"], answer["reasoning"]) == ("Hi there.", "Hm.")
    assert answer["finishReason"] == "stop"
    assert (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]) == (1, 3)
    assert answer.get("deltas", ["Hi", " there."]) == ["Hi", " there."]


@pytest.mark.parametrize("how", ["generateTools", "streamTools"])
async def test_tools_run_between_two_answers(
    service: Service, upstream: Upstream, clients: Path, how: str
) -> None:
    call = (ToolCall("weather", "", "call_a"), ToolCall(arguments='{"city":'), ToolCall(arguments='"Oslo"}'))
    upstream.enqueue((*call, Finish("tool_calls"), Usage(), Done()))
    answer = await outcome(service, clients, how)
    result = {"input": {"city": "Oslo"}, "output": {"city": "Oslo", "celsius": -3}}
    assert answer["steps"] == [[result], []]
    assert answer["text"] == "Hello from the upstream."
    assert [message["role"] for message in upstream.requests[-1].body["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


@pytest.mark.parametrize("how", ["generate", "stream"])
async def test_a_failure_keeps_its_status(
    service: Service, upstream: Upstream, clients: Path, how: str
) -> None:
    upstream.script(Status(400, failure("Too hot.")))
    error = await outcome(service, clients, how)
    if how == "stream":  # the SDK tells it by the stream's error, of which this is what remains
        assert error["name"] == "AI_NoOutputGeneratedError"
    else:
        assert (error["name"], error["statusCode"], error["isRetryable"]) == ("AI_APICallError", 400, False)
        assert "Too hot." in error["message"]
