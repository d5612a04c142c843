"""Sounds, with libsndfile (soundfile), and films, by their containers, in a process of its own."""

from pathlib import Path

import soundfile

from service.documents import containers
from service.documents.protocol import Heard

LONGEST = 10_000_000.0
"""Seconds; a stream that was never ended says that it has no end."""


def heard(path: Path) -> Heard:
    """How long it is to be heard, or seen, by its heads and frames; nothing is decoded."""
    try:
        seconds = containers.seconds(path) or soundfile.info(str(path)).duration
    except soundfile.LibsndfileError:  # damaged, or of a format that it does not know
        return Heard()
    return Heard(seconds if 0 < seconds < LONGEST else None)
