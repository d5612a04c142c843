"""What a turn comes to: its record, completed from its log."""

from service.errors import ServiceError
from service.events import Chosen, Content, Event, Reasoning, Usage, Used
from service.stores.ledger import Ending, Record


def settle(
    record: Record, events: list[Event], counted: Used | None, ending: Ending, error: ServiceError | None
) -> Used:
    """Fills in all but the time of the ending; `counted` is what the provider counted. Returns what is told.

    The record comes with an estimate of its prompt.
    """
    chosen = [event.provider for event in events if type(event) is Chosen]
    if chosen:
        record.provider, record.label, record.model = chosen[-1].name, chosen[-1].label, chosen[-1].model
        record.attempts = len({answerer.name for answerer in chosen})
    usage = counted.usage if counted else _estimate(record.prompt_tokens or 0, events, error is not None)
    record.ending = ending
    record.error = type(error).__name__ if error else None
    record.prompt_tokens, record.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    if usage.prompt_tokens_details:
        record.cached_tokens = usage.prompt_tokens_details.cached_tokens
    if usage.completion_tokens_details:
        record.reasoning_tokens = usage.completion_tokens_details.reasoning_tokens
    record.usage_source = "estimate" if usage.estimated else "provider"
    return Used(usage, record.model, record.provider or record.provider_asked or "")


def _estimate(prompt: int, events: list[Event], failed: bool) -> Usage:
    """Nothing where it failed before it said anything."""
    completion = said_tokens(events)
    if failed and not completion:
        return Usage(0, 0, 0, estimated=True)
    return Usage(prompt, completion, prompt + completion, estimated=True)


def said_tokens(events: list[Event]) -> int:
    """Tokens of an answer as far as nobody has counted them, four bytes each."""
    return -(-sum(len(_text(event).encode()) for event in events) // 4)


def _text(event: Event) -> str:
    if isinstance(event, Content):
        return event.content
    if isinstance(event, Reasoning) and isinstance(event.token, str):
        return event.token
    return ""
