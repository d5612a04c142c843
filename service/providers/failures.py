"""What upstreams complain of, in all their dialects, as errors of ours.

Sources: OpenAI's "Error codes", Anthropic's "Errors", Google's google.rpc.Status; for what is too long, the
sentences that the servers themselves write.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from service.errors import (
    BadRequest,
    ContextTooLong,
    ModelNotFound,
    ProviderAuth,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ServiceError,
    TooLarge,
    named,
)
from service.providers.surrogates import whole


class UpstreamError(Struct):
    """An error as upstreams write it, in a body or in the middle of a stream."""

    message: Any = ""
    code: Any = None
    type: Any = None
    param: Any = None
    n_prompt_tokens: Any = None
    """llama.cpp's, as is `n_ctx`."""
    n_ctx: Any = None


READ = 2000
"""How many characters of a complaint are looked at."""

KINDS: dict[int, type[ServiceError]] = {
    400: BadRequest,
    401: ProviderAuth,
    403: ProviderAuth,
    408: ProviderTimeout,
    413: TooLarge,
    422: BadRequest,
    429: RateLimited,
    504: ProviderTimeout,
}
"""What a status means; any other is the provider's own affair."""

STATUSES = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "resource_exhausted": 429,
    "not_found": 404,
    "not_found_error": 404,
    "model_not_found": 404,
    "invalid_argument": 400,
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "request_too_large": 413,
    "timeout_error": 504,
    "deadline_exceeded": 504,
}
"""What their names for errors mean, where no number is given."""

_BAD_KEY = re.compile(
    r"api[ _-]?key.{0,40}(invalid|incorrect|not valid)|(invalid|incorrect) api[ _-]?key", re.I
)


def complaint(said: object) -> UpstreamError | None:
    """The error in a piece of JSON, whatever its shape; None where there is none."""
    if isinstance(said, list):  # Google's
        said = said[0] if said else None
    if not isinstance(said, dict):
        return None
    error = said.get("error") or said.get("errors")
    if not error:
        return _read(said) if _is_error(said) else None
    if isinstance(error, list):
        error = error[0]
    match error:
        case {"error": dict() | str()}:
            return complaint(error)
        case dict():
            return _read(error)
        case str():
            return _read({**said, "message": error})
        case _:  # a flag
            return _read(said)


def _is_error(said: Mapping[str, Any]) -> bool:
    """FastAPI's, vLLM's and Cohere's have no field `error`."""
    named = "error" in (said.get("object"), said.get("type"))
    return "choices" not in said and (
        named or bool(said.get("detail")) or isinstance(said.get("message"), str)
    )


def _read(error: Mapping[str, Any]) -> UpstreamError:
    fields = {name: error.get(name) for name in UpstreamError.__struct_fields__}
    fields["code"] = _first(error, "code", "status_code", "status")
    return UpstreamError(**{**fields, "message": _words(error)})


def _words(error: Mapping[str, Any]) -> str:
    said = _first(error, "message", "detail", "msg", "error_msg", "description") or error.get("error") or ""
    if isinstance(said, list):  # FastAPI's, one for each field
        return "; ".join(_words(one) if isinstance(one, dict) else str(one) for one in said)
    if isinstance(said, dict):
        return _words(said)
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None  # OpenRouter's: what its provider said
    return f"{said}: {raw}" if isinstance(raw, str) else str(said)


def _first(error: Mapping[str, Any], *names: str) -> Any:
    return next((error[name] for name in names if error.get(name)), None)


def translated(error: UpstreamError | str, label: str, status: int | None = None) -> ServiceError:
    """What an upstream complains of, as one of ours; `status` is that of its response, if it had one.

    What is wrong with the request is the client's to mend, and keeps its status; all else is the provider's.
    """
    if isinstance(error, str):
        error = UpstreamError(error)
    number = status or _number(error.code)
    said = f"{label} answered" + (f" {number}" if number else "") + f": {_sentence(str(error.message or ''))}"
    code = number or _status(error)
    if code in _OF_THE_REQUEST and (too_long := _too_long(error, said)):
        return too_long
    failure = named(_kind(error, code).__name__, said)
    if isinstance(failure, BadRequest):
        failure.param = whole(error.param) if isinstance(error.param, str) else None
    return failure


def _kind(error: UpstreamError, code: int | None) -> type[ServiceError]:
    if code == 404:  # else the address is wrong, and the client cannot help it
        speaks_of_models = "model" in f"{error.message} {error.code} {error.type}".lower()
        return ModelNotFound if speaks_of_models else ProviderError
    if code == 400 and _BAD_KEY.search(str(error.message)[:READ]):  # Google's and xAI's
        return ProviderAuth
    return KINDS.get(code or 0, ProviderError)


def _number(code: Any) -> int | None:
    """A status of HTTP, which some write as text; other numbers are the upstream's own."""
    try:
        return int(code) if 400 <= int(code) < 600 else None
    except (TypeError, ValueError, OverflowError):
        return None


def _status(error: UpstreamError) -> int | None:
    names = (str(name).lower() for name in (error.code, error.type))
    return next((STATUSES[name] for name in names if name in STATUSES), None)


_OF_THE_REQUEST = frozenset({None, 400, 413, 422, 500})
"""Statuses with which upstreams say that a prompt is too long."""
_LIMITS = (
    r"maximum (?:context|prompt|model|input) length(?: of the model)?\W*(?:is|of)?\W*{}",
    r"> {} maximum",  # Anthropic
    r"{} maximum context length",  # Mistral
    r"available context size \W*{}",  # llama.cpp
    r"maximum number of tokens allowed \W*{}",  # Google
    r"maximum allowed input length of {}",  # Poolside
    r"context length (?:of only |of |is )?\W*{}",  # LM Studio, SGLang
    r"token count of [\d,]+ exceeds the limit of {}",  # GitHub
    r"token limit:? {}",  # Moonshot
    r"max_seq_len {}",  # Atlas
    r"context limit: [\d,]+ \+ [\d,]+ > {}",  # Anthropic
    r"must be <= {}",  # TGI
)
_PROMPTS = (
    r"prompt (?:is )?too long: {}",  # Anthropic, Atlas
    r"resulted in {}",  # OpenAI
    r"{} (?:tokens )?(?:in (?:the|your) (?:messages|prompt)|of text input|from the input messages)",
    r"(?:has|at least|given:) {} `?input",  # vLLM, TGI
    r"(?:prompt|request) contains (?:at least )?{}",  # Mistral, xAI
    r"(?:request|input) \({} tokens\)",  # llama.cpp, SGLang
    r"token count (?:of )?\(?{}",  # GitHub, Google
    r"input length \(?{}",  # Poolside, SGLang
    r"\(length {}\)",  # vLLM
    r"requested:? (?:about )?{}(?! output)",
    r"first {} tokens",  # LM Studio
)
_SIGNS = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum (context|prompt|model|input) length"
    r"|(prompt|input) (is )?too long|reduce the length of the (messages|prompt|input)"
    r"|exceeds? (the )?(model'?s |available )*context|context (window|length|size) (is )?exceed"
    r"|exceeded model token limit|token count .*exceeds the (maximum|limit)|too large for model with"
    r"|(greater|longer) than the (model'?s )?(context|maximum)|context length of only|overflows the context"
    r"|exceeds (the )?max(imum)?(_seq_len| (allowed input )?length)|`inputs` tokens",
    re.I,
)
"""That a prompt is too long, and not that a parameter is wrong which has to do with it."""


def _patterns(sentences: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(sentence.replace("{}", r"(\d[\d,]*)"), re.I) for sentence in sentences)


_LIMIT, _PROMPT = _patterns(_LIMITS), _patterns(_PROMPTS)


def _too_long(error: UpstreamError, said: str) -> ServiceError | None:
    """Both numbers where they can be read, and where they say that it is the prompt."""
    text = f"{error.code} {error.type} {error.message}"[:READ]
    if not (error.n_ctx or _SIGNS.search(text)):
        return None
    prompt = _count(error.n_prompt_tokens) or _number_in(text, _PROMPT)
    limit = _count(error.n_ctx) or _number_in(text, _LIMIT)
    if prompt and limit and prompt > limit:
        return ContextTooLong(prompt, limit)
    failure = named(ContextTooLong.__name__, said)
    failure.param = "messages"
    return failure


def _number_in(text: str, patterns: tuple[re.Pattern[str], ...]) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(text))), None)
    return int(found[1].replace(",", "")) if found else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _sentence(text: str) -> str:
    text = " ".join(whole(text[:READ]).split())
    return text[:300] + "…" if len(text) > 300 else text or "no reason given."
