"""Which speakers there are: those that the settings name and that are installed, and the operator's rows."""

from service.settings import Settings
from service.speakers.edge import Edge
from service.speakers.embedded import installed
from service.speakers.speaker import Speaker
from service.speakers.upstream import Upstream


def roster(settings: Settings) -> list[Speaker]:
    """Nothing is asked and nothing started; what the settings do not name is not there."""
    if not settings.speech.enabled:
        return []
    rows = [Upstream(row, settings.key(row)) for row in settings.speakers]
    own = settings.speech
    edge = Edge(at_once=own.edge_at_once, patience=own.first_sound_timeout, idle=own.idle_timeout)
    known = {speaker.name: speaker for speaker in (*rows, edge, *installed())}
    ordered = [known[name] for name in settings.speech.order if name in known]
    return [*ordered, *(row for row in rows if row not in ordered)]
