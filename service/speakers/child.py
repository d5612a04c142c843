"""What a child of the speakers does: jobs on stdin, results on stdout, until stdin ends.

What may crash, takes its time or is heavy to load is in such a child: engines, encoders, numpy.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol

from service.child import bound, cut_off, die_with_parent
from service.speakers import jobs

LONGEST_JOB = 60
"""Seconds; then the kernel ends a child that hangs, even if nobody is left to notice."""
MEMORY = 1 << 30
"""Bytes."""


class Trade(Protocol):
    """What a child can do."""

    def do(self, job: jobs.Job) -> jobs.Done:
        """Whatever it raises is told as a failure of this job alone."""
        ...


def work(begin: Callable[[], Trade], *, written: int = 0, files: int = 64) -> None:
    """A child's whole life; `written` is the longest file that it writes, in bytes."""
    die_with_parent(signal.SIGKILL)
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between results
    cut_off()
    trade = begin()
    bound(MEMORY, written=written, files=files)
    serve(trade, sys.stdin.buffer, results)


def serve(trade: Trade, asked: BinaryIO, results: BinaryIO) -> None:
    while length := asked.read(jobs.LENGTH):
        job = jobs.job(asked.read(int.from_bytes(length, "big")))
        signal.alarm(LONGEST_JOB)
        results.write(jobs.framed(_done(trade, job)))
        results.flush()
        signal.alarm(0)


def _done(trade: Trade, job: jobs.Job) -> jobs.Result:
    try:
        return trade.do(job)
    except Exception as error:
        return jobs.Failed(f"{type(error).__name__}: {error}"[:300])
