"""Which providers there are: the operator's rows, the shipped rows, the embedded model."""

import logging
from collections.abc import Iterator
from pathlib import Path

from service.providers.compatible import Compatible, Deadlines
from service.providers.embedded import Embedded
from service.providers.engine import Engine, bundled_model
from service.providers.provider import Provider
from service.providers.scripted import Scripted
from service.settings import ProviderRow, Settings, Upstream

log = logging.getLogger(__name__)


def roster(settings: Settings) -> list[Provider]:
    """The providers in the order in which they are asked when a request names none."""
    rows = [_compatible(row, settings) for row in settings.providers]
    scripted = [Scripted()] if settings.scripted.enabled else []
    return [*rows, *_embedded(settings), *scripted]


def _compatible(row: ProviderRow, settings: Settings) -> Compatible:
    return Compatible(
        row.name,
        row.label or row.name,
        row.url,
        key=settings.key(row),
        key_name=row.key,
        local=row.local,
        headers=row.headers,
        known=list(row.models) or None,
        default_model=row.default_model or None,
        deadlines=_deadlines(settings.upstream_of(row)),
        connections=settings.upstream.connections,
    )


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


def _deadlines(upstream: Upstream) -> Deadlines:
    return Deadlines(upstream.connect_timeout, upstream.first_token_timeout, upstream.idle_timeout)
