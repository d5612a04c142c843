"""What goes wrong. Each error knows its HTTP status, its type and its code; its text says what to do.

ServiceError
├── BadRequest            400  invalid_request_error
│   ├── ContextTooLong    400  context_length_exceeded
│   ├── TooLarge          413  request_too_large
│   ├── UnsupportedMedia  415  unsupported_media_type
│   └── KeyReused         422  idempotency_key_reused
├── Forbidden             403  permission_error
├── NotFound              404  not_found_error
│   ├── ProviderNotFound  404  provider_not_found
│   └── ModelNotFound     404  model_not_found
├── MethodNotAllowed      405  method_not_allowed
├── RequestTimeout        408  request_timeout
├── Unavailable           503  the service cannot do it now
├── StorageFull           507  what must be recorded cannot be
└── ProviderError         502  somebody upstream failed
    ├── ProviderAuth      502  provider_auth: the provider wants a key, or refuses the one it got
    ├── RateLimited       429  rate_limit_exceeded
    └── ProviderTimeout   504  upstream_timeout

The types and codes are OpenAI's where it has them.
"""

from collections.abc import Iterator


class ServiceError(Exception):
    """What a caller is told: `message` is for people, `code` for programs, `param` names the culprit."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self, request_id: str | None = None) -> dict[str, dict[str, str | None]]:
        """`{"error": {...}}`, the one JSON shape of every failure; OpenAI's clients read it as well."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "code": self.code,
                "param": self.param,
                "request_id": request_id,
            }
        }


class BadRequest(ServiceError):
    status, type, code = 400, "invalid_request_error", "invalid_request"


class ContextTooLong(BadRequest):
    """The prompt and the model's limit are both named, in tokens."""

    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, limit: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens, this model reads at most {limit}."
            " Shorten it, start a new chat, or choose a model with a longer context.",
            "messages",
        )


class TooLarge(BadRequest):
    status, code = 413, "request_too_large"


class UnsupportedMedia(BadRequest):
    status, code = 415, "unsupported_media_type"


class KeyReused(BadRequest):
    status, code = 422, "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another request. Send the same body again, or another key.",
            "idempotency-key",
        )


class Forbidden(ServiceError):
    status, type, code = 403, "permission_error", "forbidden"


class NotFound(ServiceError):
    status, type, code = 404, "not_found_error", "not_found"


class ProviderNotFound(NotFound):
    code = "provider_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is no provider named {name!r}. GET /backend-api/v2/providers lists them.", "provider"
        )


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, model: str, provider: str) -> None:
        super().__init__(
            f"{provider} has no model {model!r}. GET /backend-api/v2/models/{provider} lists its models.",
            "model",
        )


class MethodNotAllowed(ServiceError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class RequestTimeout(ServiceError):
    status, type, code = 408, "invalid_request_error", "request_timeout"


class Unavailable(ServiceError):
    status, code = 503, "unavailable"


class StorageFull(ServiceError):
    status, code = 507, "storage_full"


class ProviderError(ServiceError):
    status, type, code = 502, "server_error", "upstream_error"


class ProviderAuth(ProviderError):
    code = "provider_auth"


class RateLimited(ProviderError):
    """`retry_after` is in seconds, None where the provider did not say."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProviderTimeout(ProviderError):
    status, code = 504, "upstream_timeout"


def named(name: str, message: str, retry_after: float | None = None) -> ServiceError:
    """The error of this class, as a log has it; a `ServiceError` where there is no such class."""
    kind = next((kind for kind in _kinds(ServiceError) if kind.__name__ == name), ServiceError)
    error = kind.__new__(kind)
    ServiceError.__init__(error, message)
    if isinstance(error, RateLimited):
        error.retry_after = retry_after
    return error


def _kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
