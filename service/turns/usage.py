"""What a turn used, read from its log."""

from service.events import Content, Event, Reasoning, Usage, Used
from service.messages import Ask, estimated_tokens


def usage_of(ask: Ask, events: list[Event], counted: Used | None, failed: bool) -> Usage:
    """The provider's own count, else an estimate, marked; nothing where it failed before it said anything."""
    if counted:
        return counted.usage
    said = sum(len(_text(event).encode()) for event in events)
    if failed and not said:
        return Usage(0, 0, 0, estimated=True)
    prompt, completion = estimated_tokens(ask.messages), -(-said // 4)
    return Usage(prompt, completion, prompt + completion, estimated=True)


def _text(event: Event) -> str:
    if isinstance(event, Content):
        return event.content
    if isinstance(event, Reasoning) and isinstance(event.token, str):
        return event.token
    return ""
