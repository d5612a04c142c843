"""What upstreams call the same things: why an answer ended, what it cost, where its text lies.

Sources: OpenAI's API reference; those of Anthropic, DeepSeek, Google, Groq, Mistral, Moonshot, OpenRouter and
xAI; the sources of llama.cpp, SGLang and vLLM.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from service.events import CompletionDetails, PromptDetails, Usage

MOST_TOKENS = 100_000_000
"""Nobody reads or writes more in one answer: what is beyond is no count."""

_REASONS = {
    "stop": "stop eos eos_token end end_turn complete stop_sequence done load",
    "length": "length max_tokens max_output_tokens max_length model_length context_length"
    " model_context_window_exceeded error_limit",
    "tool_calls": "tool_calls tool_call tool_use function_call",
    "content_filter": "content_filter content_filtered blocklist error_toxic guardrail_intervened"
    " image_safety prohibited_content recitation refusal safety sensitive spii",
    "error": "error insufficient_system_resource network_error",
}
_REASON = {theirs: ours for ours, names in _REASONS.items() for theirs in names.split()}

_CONSTANTS = {"-Infinity": -9999.0}
"""OpenAI's log probability of what is next to impossible; the other constants are nothing in JSON."""


def finish_reason(dialect: str) -> str:
    """The reason in OpenAI's words, or `error`; an unknown one in lower case, "" where there is none."""
    plain = dialect.strip().lower().rpartition(".")[2].replace("-", "_").removeprefix("finish_reason_")
    return _REASON.get(plain, plain)


def stop_sequence(told: object, reason: str) -> str | None:
    """The sequence that was met, where vLLM's or SGLang's field for it does not repeat the reason."""
    if reason == "stop" and isinstance(told, str) and told and finish_reason(told) not in _REASONS:
        return told
    return None


def loaded(payload: bytes) -> Any:
    """JSON as upstreams write it: with NaN and Infinity, and with halves of surrogate pairs.

    Raises `ValueError` or `RecursionError` where it is none.
    """
    return json.loads(payload, parse_constant=_CONSTANTS.get, strict=False)


def counted(found: Mapping[str, Any], before: Usage | None = None) -> Usage | None:
    """What a usage object counts; a number that it lacks is that of the object before. None: nothing is.

    Anthropic's prompts leave out what the cache had to do with, Google's and xAI's completions the thoughts,
    which only their totals have: both are counted in here.
    """
    read = _details(found, "prompt_tokens_details", "input_tokens_details")
    said = _details(found, "completion_tokens_details", "output_tokens_details")
    prompt = _tokens(found, "prompt_tokens", "input_tokens", "prompt_eval_count")
    completion = _tokens(found, "completion_tokens", "output_tokens", "eval_count")
    cached = _tokens(read, "cached_tokens") or _tokens(
        found, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"
    )
    kept = _tokens(read, "cache_write_tokens") or _tokens(found, "cache_creation_input_tokens")
    if "prompt_tokens" not in found and found.get("input_tokens") is not None and not read:
        prompt += cached + kept
    elif prompt:
        completion = max(completion, _tokens(found, "total_tokens") - prompt)
    before = before or Usage(0, 0, 0)
    prompt, completion = prompt or before.prompt_tokens, completion or before.completion_tokens
    if not (prompt or completion):
        return None
    thought = _tokens(said, "reasoning_tokens", "thinking_tokens") or _tokens(found, "reasoning_tokens")
    return Usage(
        prompt,
        completion,
        prompt + completion,
        PromptDetails(min(cached, prompt), kept or UNSET)
        if read or cached or kept
        else before.prompt_tokens_details,
        CompletionDetails(min(thought, completion)) if said or thought else before.completion_tokens_details,
    )


def _details(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return next((found[name] for name in names if isinstance(found.get(name), dict)), {})


def _tokens(found: Mapping[str, Any], *names: str) -> int:
    """The first count of tokens; some write it as text or with a decimal point."""
    for name in names:
        if value := found.get(name):
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if 0 < number <= MOST_TOKENS and value is not True:
                return int(number)
    return 0
