"""Which providers there are: the operator's rows, the shipped rows, the embedded model."""

import logging
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from service.providers.anthropic import Anthropic
from service.providers.compatible import Compatible
from service.providers.custom import Custom
from service.providers.embedded import Embedded
from service.providers.engine import Engine, bundled_model
from service.providers.ollama import Ollama
from service.providers.provider import Provider
from service.providers.scripted import Scripted
from service.providers.upstream import Deadlines, Upstream
from service.settings import Settings
from service.settings import Upstream as Limits

log = logging.getLogger(__name__)

KINDS: Mapping[str, type[Upstream]] = {
    "openai": Compatible,
    "anthropic": Anthropic,
    "ollama": Ollama,
}
"""By what a row says that it speaks."""


def roster(settings: Settings) -> list[Provider]:
    """The providers in the order in which they are asked when a request names none."""
    scripted = [Scripted()] if settings.scripted.enabled else []
    return [*_rows(settings), *_embedded(settings), *scripted, *_custom(settings)]


def _rows(settings: Settings) -> Iterator[Upstream]:
    for row in settings.providers:
        if _is_own(row.url, settings):
            log.warning("provider %s is left out: %s is this service itself", row.name, row.url)
            continue
        yield KINDS[row.kind](
            row,
            key=settings.key(row),
            deadlines=_deadlines(settings.upstream_of(row)),
            connections=settings.upstream.connections,
            direct=settings.upstream.direct,
        )


def _is_own(url: str, settings: Settings) -> bool:
    """Whether the service would ask itself, and that question again."""
    address = urlsplit(url)
    if settings.socket or address.scheme != "http" or (address.port or 80) != settings.port:
        return False
    return address.hostname == settings.host or (_is_here(address.hostname) and _is_here(settings.host))


def _is_here(host: str | None) -> bool:
    """Whether a name stands for this machine; all of its addresses are taken for one."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _embedded(settings: Settings) -> Iterator[Embedded]:
    if not settings.embedded.enabled:
        return
    own = settings.embedded.model
    model = Path(own).expanduser() if own else bundled_model()
    if model is None:
        log.warning("The embedded model is not installed. `make run` installs it.")
        return
    engine = Engine(
        model,
        context_length=settings.embedded.context_length,
        parallel=settings.embedded.parallel,
        threads=settings.embedded.threads,
        cache_prompt=bool(own),  # what it kept it sums in another order: enough to turn a small model's head
    )
    yield Embedded(engine, bundled=not own, deadlines=_deadlines(settings.upstream))


def _custom(settings: Settings) -> Iterator[Custom]:
    if settings.clients.upstreams:
        deadlines = _deadlines(settings.upstream)
        yield Custom(settings.clients.upstream_hosts, deadlines, settings.upstream.connections)


def _deadlines(upstream: Limits) -> Deadlines:
    return Deadlines(upstream.connect_timeout, upstream.first_token_timeout, upstream.idle_timeout)
