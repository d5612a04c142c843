"""What upstreams complain of, in their own words, and what a client is told."""

import json
from typing import Any

import pytest

from service.errors import BadRequest, ContextTooLong, ServiceError
from service.providers.chunks import Chunks
from service.providers.failures import UpstreamError, complaint, translated
from tests.serving import Service
from tests.upstream import Done, Raw, Say, Status, Upstream

TOO_LONG = {
    "OpenAI": (
        "This model's maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.",
        (5000, 4097),
    ),
    "OpenAI, older": (
        "This model's maximum context length is 8191 tokens, however you requested 10346 tokens (10341 in"
        " your prompt; 5 for the completion). Please reduce your prompt; or completion length.",
        (10341, 8191),
    ),
    "DeepSeek": (
        "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (66000 in"
        " the messages, 4000 in the completion). Please reduce the length of the messages or completion.",
        (66000, 65536),
    ),
    "OpenRouter": (
        "This endpoint's maximum context length is 131072 tokens. However, you requested about 200000 tokens"
        " (199000 of text input, 1000 in the output).",
        (199000, 131072),
    ),
    "vLLM": (
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
        (5000, 4096),
    ),
    "vLLM, later": (
        "This model's maximum context length is 262144 tokens. However, you requested 0 output tokens and"
        " your prompt contains at least 262145 input tokens, for a total of at least 262145 tokens.",
        (262145, 262144),
    ),
    "vLLM, its engine": (
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        (5000, 4096),
    ),
    "Anthropic": ("prompt is too long: 215,000 tokens > 200000 maximum", (215000, 200000)),
    "llama.cpp": (
        "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
        (9000, 8192),
    ),
    "Mistral": (
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context"
        " length",
        (40000, 32768),
    ),
    "Google": (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        (1200000, 1048576),
    ),
    "xAI": (
        "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
        (150000, 131072),
    ),
    "TGI": (
        "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens and 512"
        " `max_new_tokens`",
        (5000, 4097),
    ),
    "SGLang": (
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        (5000, 4096),
    ),
    "SGLang, later": (
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a"
        " total of 5000 tokens: 4500 tokens from the input messages and 500 tokens for the completion.",
        (4500, 4096),
    ),
    "LM Studio": (
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with"
        " context length of only 4096 tokens, which is not enough.",
        (5000, 4096),
    ),
    "Moonshot": (
        "Your request exceeded model token limit: 262144 (requested: 566084)",
        (566084, 262144),
    ),
    "GitHub": ("prompt token count of 130000 exceeds the limit of 128000", (130000, 128000)),
    "Poolside": (
        "Input length 131393 exceeds the maximum allowed input length of 131040 tokens.",
        (131393, 131040),
    ),
    "SGLang, shorter": (
        "Input length (265330) exceeds model's maximum context length (262144).",
        (265330, 262144),
    ),
    "Atlas": (
        "Prompt too long: 5152 tokens exceeds max_seq_len 2048 (leave room for output tokens)",
        (5152, 2048),
    ),
    "Groq, without numbers": ("Please reduce the length of the messages or completion.", None),
    "OpenAI, without numbers": ("Your input exceeds the context window of this model.", None),
    "MiniMax, without numbers": ("invalid params, context window exceeds limit", None),
    "Zhipu, without numbers": ("Prompt exceeds max length", None),
    "llama.cpp, without numbers": ("the request exceeds the available context size. try increasing it", None),
    "DeepSeek, for the completion": (
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (1000 in the"
        " messages, 8000 in the completion).",
        None,
    ),
    "Anthropic, for the completion": (
        "input length and `max_tokens` exceed context limit: 170636 + 34048 > 200000",
        None,
    ),
}


@pytest.mark.parametrize("who", TOO_LONG)
@pytest.mark.parametrize("status", [400, 413, None])
def test_a_prompt_that_is_too_long_is_known_in_all_dialects(who: str, status: int | None) -> None:
    sentence, numbers = TOO_LONG[who]
    error = translated(UpstreamError(sentence, type="invalid_request_error"), "Up", status)
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    if numbers:
        assert error.message == ContextTooLong(*numbers).message
    else:
        assert error.message.endswith(sentence)


OTHERWISE = [
    "max_tokens (10000) exceeds the maximum allowed 8192",
    "Unknown parameter: 'context_length'",
    "Too many tokens, please wait before trying again.",
    "The image is too long.",
]


@pytest.mark.parametrize("sentence", OTHERWISE)
def test_what_is_wrong_otherwise_is_not_the_prompt(sentence: str) -> None:
    assert type(translated(UpstreamError(sentence), "Up", 400)) is BadRequest


def test_who_asks_too_often_has_no_prompt_that_is_too_long() -> None:
    error = translated(UpstreamError("Token limit: reduce the length of the messages."), "Up", 429)
    assert error.code == "rate_limit_exceeded"


STATUSES: list[tuple[int, Any, int, str]] = [
    (400, {"error": {"message": "Bad value.", "param": "seed"}}, 400, "invalid_request"),
    (422, {"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, 400, "invalid_request"),
    (401, {"error": {"message": "Who are you?"}}, 502, "provider_auth"),
    (403, {"message": "Not you."}, 502, "provider_auth"),
    (400, [{"error": {"code": 400, "message": "API key not valid."}}], 502, "provider_auth"),
    (404, {"error": {"message": "The model `x` does not exist"}}, 404, "model_not_found"),
    (404, {"detail": "Not Found"}, 502, "upstream_error"),
    (408, {}, 504, "upstream_timeout"),
    (413, {"error": "Too much."}, 413, "request_too_large"),
    (429, {"error": {"message": "Slow down."}}, 429, "rate_limit_exceeded"),
    (500, {"error": {"message": "Exploded."}}, 502, "upstream_error"),
    (503, b"<html>", 502, "upstream_error"),
    (
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}},
        502,
        "upstream_error",
    ),
]


@pytest.mark.parametrize(("theirs", "body", "status", "code"), STATUSES)
async def test_a_refusal_has_a_status_of_ours(
    service: Service, upstream: Upstream, theirs: int, body: Any, status: int, code: str
) -> None:
    upstream.script(Status(theirs, body if isinstance(body, bytes) else json.dumps(body).encode()))
    asked = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "provider": "Upstream"}
    found, answer = await service.post("/v1/chat/completions", asked)
    assert (found, answer["error"]["code"]) == (status, code)


IN_STREAM: list[tuple[Any, str, str]] = [
    ({"error": {"message": "Full."}}, "upstream_error", "Up answered: Full."),
    ({"error": "Full."}, "upstream_error", "Up answered: Full."),
    (
        {"error": {"message": "Slow down.", "code": "429"}},
        "rate_limit_exceeded",
        "Up answered 429: Slow down.",
    ),
    ({"error": {"error": {"message": "Inside.", "code": 503}}}, "upstream_error", "Up answered 503: Inside."),
    ({"error": True, "message": "Flagged."}, "upstream_error", "Up answered: Flagged."),
    ({"detail": "Of FastAPI."}, "upstream_error", "Up answered: Of FastAPI."),
    (
        {"object": "error", "message": "Of vLLM.", "type": "BadRequestError", "code": 400},
        "invalid_request",
        "Up answered 400: Of vLLM.",
    ),
    (
        {"type": "error", "error": {"type": "rate_limit_error", "message": "Of Anthropic."}},
        "rate_limit_exceeded",
        "Up answered: Of Anthropic.",
    ),
    (
        {
            "error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "Why."}},
            "choices": [],
        },
        "upstream_error",
        "Up answered 502: Provider returned error: Why.",
    ),
    (
        {
            "choices": [
                {"delta": {}, "error": {"code": 429, "message": "Of a choice."}, "finish_reason": "error"}
            ]
        },
        "rate_limit_exceeded",
        "Up answered 429: Of a choice.",
    ),
    ({"choices": [], "x_groq": {"error": "Of Groq."}}, "upstream_error", "Up answered: Of Groq."),
    ({"code": "1261", "message": "Of Zhipu."}, "upstream_error", "Up answered: Of Zhipu."),
    ({"error": {"message": {"odd": 1}}}, "upstream_error", "Up answered: no reason given."),
    (
        {"error": {"message": "No.", "code": "context_length_exceeded", "type": "invalid_request_error"}},
        "context_length_exceeded",
        "Up answered: No.",
    ),
]


@pytest.mark.parametrize(("said", "code", "words"), IN_STREAM)
def test_an_error_in_the_stream_is_known_in_all_shapes(said: Any, code: str, words: str) -> None:
    chunks = Chunks("Up", None, lambda model: pytest.fail(model), "It broke.")
    hello = b'{"choices":[{"delta":{"content":"Hi"}}]}'
    assert len(chunks.events([hello, json.dumps(said).encode(), hello])) == 1
    assert chunks.done
    with pytest.raises(ServiceError) as raised:
        chunks.end()
    assert (raised.value.code, raised.value.message) == (code, words)


NO_ERRORS: list[Any] = [
    {"choices": [], "error": None},
    {"choices": [], "error": {}},
    {"status": "queued", "message": "You are number 3."},
    {"type": "ping"},
    {"choices": [{"delta": {}, "error": None}]},
]


@pytest.mark.parametrize("said", NO_ERRORS)
def test_what_is_no_error_does_not_end_the_stream(said: Any) -> None:
    chunks = Chunks("Up", None, lambda model: pytest.fail(model), "It broke.")
    assert chunks.events([json.dumps(said).encode()]) == []
    assert not chunks.done


@pytest.mark.parametrize("said", [[], 3, "text", None, {"choices": []}, [3], {"message": {"role": "x"}}])
def test_not_everything_is_a_complaint(said: Any) -> None:
    assert complaint(said) is None


async def test_an_error_after_the_first_word_is_an_event(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Well,"), Raw(b'data: {"error":{"message":"Slow down.","code":"429"}}\n\n'), Done())
    answer = await service.ask(provider="Upstream")
    assert answer[-1]["type"] == "error"
    assert answer[-1]["error"] == "RateLimited"
