"""A process that reads files: `python -m service.documents.reader_child`, limits and tasks on stdin.

It ends with its stdin, or with its parent. Whatever it writes to stdout is an answer, so that libraries that
print do so on stderr.
"""

import os
import resource
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from service.child import bound, cut_off, die_with_parent, held, offer_to_the_killer
from service.documents.formats import identified, read
from service.documents.protocol import End, Finished, Last, Piece, Refused, Task, packed, received
from service.documents.reading import Reading, Refusal
from service.settings import Documents

WRITTEN = 16 * 1024 * 1024
"""Bytes of a file that it may write: kreuzberg unpacks its library for PDF, of 8 MB."""
FILES = 64


def main() -> None:
    die_with_parent(signal.SIGKILL)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if limits := received(sys.stdin.buffer, Documents):
        offer_to_the_killer()
        bound(limits.memory, written=WRITTEN, files=FILES)
        cut_off()
        serve(limits, sys.stdin.buffer, answers)


def serve(limits: Documents, tasks: BinaryIO, answers: BinaryIO) -> None:
    while task := received(tasks, Task):
        limit_time(limits.timeout)
        for answer in told(task, limits):
            answers.write(packed(answer))
        answers.flush()


def told(task: Task, limits: Documents) -> Iterator[Piece | Last]:
    """What is said of one file."""
    end: End
    try:
        if task.kind.family == "document":
            end = yield from document(task, limits)
        else:
            end = medium(task, limits)
    except Refusal as refusal:
        end = Refused(str(refusal))
    except MemoryError:
        end = Refused(f"takes more memory to read than {limits.memory} bytes (documents.memory)")
    except OSError as error:
        end = Refused(f"cannot be read: {error.strerror or error}")
    yield Last(end, held())


def document(task: Task, limits: Documents) -> Generator[Piece, None, Finished]:
    """All that it says, and then what it is."""
    reading = Reading(limits)
    with Path(task.path).open("rb") as file:
        kind = identified(file, task.kind, reading)
        for page in read(file, kind, reading):
            yield Piece(page)
    return Finished(reading.metadata, kind.media_type)


def medium(task: Task, limits: Documents) -> End:
    """A picture, or a sound; what looks at them takes its time to load."""
    if task.kind.family == "audio":
        from service.documents.sounds import heard

        return heard(Path(task.path))
    from service.documents.pictures import shown

    return shown(Path(task.path), limits.pixels)


def limit_time(seconds: float) -> None:
    """Of the processor, from now on: should the parent be unable to end this, the kernel will."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 2, most))


if __name__ == "__main__":
    main()
