"""The shapes in which web clients read providers and models: every key that one of them looks for."""

from msgspec import Struct

from service.context import VERSION
from service.providers.circuit import State
from service.providers.provider import Model, Provider


class Version(Struct):
    """`latest_version` is always the same: clients show a banner when it is not."""

    version: str = VERSION
    latest_version: str = VERSION
    api_version: str = "2.0"


class Offer(Struct):
    """A provider; `reason` says why it cannot answer now, and what to do about it.

    `circuit`: after several failures in a row it is left out (open), then tried (half-open).
    """

    name: str
    label: str
    url: str | None
    live: int
    active_by_default: bool
    reason: str | None
    parent: str | None = None
    image: int = 0
    audio: int = 0
    video: int = 0
    vision: bool = False
    auth: bool = False
    nodriver: bool = False
    hf_space: bool = False
    login: bool = False
    login_url: str | None = None
    circuit: State = "closed"

    @classmethod
    def of(cls, provider: Provider, live: int, reason: str | None, circuit: State = "closed") -> "Offer":
        return cls(provider.name, provider.label, provider.url, live, bool(live), reason, circuit=circuit)


class Card(Struct):
    """A model; `model` is its id under the name that clients of before 2025-08-20 read.

    `count` says how many providers have it, `context_length` is in tokens.
    """

    id: str
    model: str
    label: str
    default: bool
    count: int | None = None
    context_length: int | None = None
    vision: bool = False
    audio: bool = False
    video: bool = False
    image: bool = False
    tags: list[str] = []

    @classmethod
    def of(cls, model: Model, default: str | None, count: int | None = None) -> "Card":
        length, kinds = model.context_length, (model.vision, model.audio, False, model.image)
        return cls(model.id, model.id, model.id, model.id == default, count, length, *kinds)


class Health(Struct):
    """Whether a provider answers; `status` is a sentence."""

    ok: bool
    status: str
    url: str | None
    quota: None = None


class Status(Struct):
    """The service at a glance; times in seconds, `timestamp` since 1970."""

    version: str
    latest_version: str
    uptime_seconds: float
    total_providers: int
    working_providers: int
    total_models: int
    timestamp: float
    status: str = "ok"
    uptime: str = "active"


class Provided(Struct):
    """A provider as `/pa/providers` lists it."""

    id: str
    label: str
    url: str | None
    models: list[str]
