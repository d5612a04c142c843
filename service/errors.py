"""What goes wrong. Each error knows its HTTP status, its type and its code; its text says what to do.

ServiceError
├── BadRequest            400  invalid_request_error
│   ├── ContextTooLong    400  context_length_exceeded
│   ├── TooLarge          413  request_too_large
│   ├── UnsupportedMedia  415  unsupported_media_type
│   ├── KeyReused         422  idempotency_key_reused
│   └── DocumentRefused   422  document_refused: it cannot be read, or takes more than a file may
├── Unauthenticated       401  authentication_error, invalid_api_key
├── Forbidden             403  permission_error
│   └── ModelNotAllowed   403  model_not_allowed: the key is not for this model or provider
├── NotFound              404  not_found_error
│   ├── ProviderNotFound  404  provider_not_found
│   └── ModelNotFound     404  model_not_found
├── MethodNotAllowed      405  method_not_allowed
├── RequestTimeout        408  request_timeout
├── Unsupported           501  unsupported: nothing here, or nobody upstream, does this
├── LimitReached          429  rate_limit_exceeded: what whoever asks may use here, for now
│   └── QuotaExceeded     429  insufficient_quota: what he may spend
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
    elsewhere = True
    """Another provider may do better with the same question."""
    outage = False
    """The provider is in trouble, whatever it is asked: its circuit counts this."""
    retry_after: float | None = None
    """In seconds, where a provider said when to come back."""

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
    elsewhere = False


class ContextTooLong(BadRequest):
    """The prompt and the model's limit are both named, in tokens."""

    code = "context_length_exceeded"
    elsewhere = True

    def __init__(self, prompt_tokens: int, limit: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens, this model reads at most {limit}."
            " Shorten it, start a new chat, or choose a model with a longer context.",
            "messages",
        )


class TooLarge(BadRequest):
    status, code = 413, "request_too_large"
    elsewhere = True


class UnsupportedMedia(BadRequest):
    status, code = 415, "unsupported_media_type"


class KeyReused(BadRequest):
    status, code = 422, "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used with another request. Send the same body again, or another key.",
            "idempotency-key",
        )


class DocumentRefused(BadRequest):
    """Names the limit and its setting, or what is wrong with the file."""

    status, code = 422, "document_refused"


class Unauthenticated(ServiceError):
    """Says the same of every key, whatever is wrong with it."""

    status, type, code = 401, "authentication_error", "invalid_api_key"
    elsewhere = False

    def __init__(self) -> None:
        super().__init__(
            "This needs a key that is valid here. Send it as Authorization: Bearer KEY, or log in;"
            " the operator can make one."
        )


class Forbidden(ServiceError):
    status, type, code = 403, "permission_error", "forbidden"
    elsewhere = False


class ModelNotAllowed(Forbidden):
    code = "model_not_allowed"

    def __init__(self, model: str | None, provider: str) -> None:
        super().__init__(
            f"Your key is not for {model or 'the models'} of {provider}. Choose one that"
            " GET /backend-api/v2/models lists, or ask the operator for another key.",
            "model",
        )


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


class Unsupported(ServiceError):
    status, type, code = 501, "invalid_request_error", "unsupported"


class LimitReached(ServiceError):
    """A limit of ours, not of a provider's; `limit` is its name.

    `retry_after` is in seconds, None where waiting is in vain.
    """

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    elsewhere = False
    limit = ""

    def __init__(self, limit: str, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.limit, self.retry_after = limit, retry_after


class QuotaExceeded(LimitReached):
    type, code = "insufficient_quota", "insufficient_quota"


class Unavailable(ServiceError):
    status, code = 503, "unavailable"


class StorageFull(ServiceError):
    status, code = 507, "storage_full"


class ProviderError(ServiceError):
    status, type, code = 502, "server_error", "upstream_error"
    outage = True


class ProviderAuth(ProviderError):
    code = "provider_auth"
    outage = False


class RateLimited(ProviderError):
    """`retry_after` is in seconds, None where the provider did not say."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    outage = False

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
    error.retry_after = retry_after
    return error


def _kinds(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
