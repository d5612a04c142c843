"""POST conversation, as web clients see it."""

import asyncio
import json

import pytest

from tests.serving import CONVERSATION, Service, events, kinds, text
from tests.upstream import Done, ErrorChunk, Finish, Gate, Reason, Say, Status, ToolCall, Upstream, Usage, until


async def test_a_plain_answer_has_the_contracts_events_in_their_order(service: Service) -> None:
    answer = await service.ask("Hello there")
    assert kinds(answer) == ["provider", "content", "finish", "usage"]
    assert text(answer) == "Hello from the upstream."
    assert answer[0]["provider"]["label"] == "The upstream"
    assert answer[-2] == {"type": "finish", "finish": {"reason": "stop"}}
    assert answer[-1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert answer[-1]["provider"] == "Upstream"
