"""An answer as plain text: what is said, and whether it is all."""

import pytest

from service.events import (
    Answerer,
    Begun,
    Chosen,
    Content,
    Event,
    Failed,
    Finish,
    Finished,
    Noted,
    Reasoning,
    Resumable,
    ToolCall,
    ToolCalls,
    Unauthorized,
    Usage,
    Used,
)
from service.wire.plain import CutOff, PlainText

SAID: list[tuple[Event, bytes]] = [
    (Begun("t-1"), b""),
    (Chosen(Answerer("Upstream", None, "The upstream", "small")), b""),
    (Content("Grüße 🦊\n"), "Grüße 🦊\n".encode()),
    (Content("<a>…</a>", urls=["https://pictures.example/a.png"]), b"https://pictures.example/a.png\n"),
    (Reasoning(token="Hm."), b""),
    (Noted("No search.", "WebSearchUnavailable"), b""),
    (ToolCalls([ToolCall()]), b""),
    (Finished(Finish("stop")), b""),
    (Finished(Finish("content_filter")), b"[content_filter]"),
    (Used(Usage(1, 1, 2)), b""),
]


@pytest.mark.parametrize(("event", "text"), SAID, ids=lambda value: type(value).__name__)
def test_what_an_event_says(event: Event, text: bytes) -> None:
    wire = PlainText()
    assert wire.encode([event], 0) == text
    assert wire.end() == b""


@pytest.mark.parametrize("failure", [Failed("ProviderError", "Gone."), Unauthorized("ProviderAuth", "No.")])
def test_a_failure_cuts_the_end_off_but_not_what_was_said(failure: Event) -> None:
    wire = PlainText()
    assert wire.encode([Content("One "), failure], 0) == b"One "
    with pytest.raises(CutOff):
        wire.end()


def test_a_reader_who_is_sent_away_has_not_read_it_all() -> None:
    wire = PlainText()
    assert wire.aside(Resumable("t-1")) == b""
    with pytest.raises(CutOff):
        wire.end()
