"""Samples at one rate -> samples at another, piece by piece, with no seam between the pieces."""

from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

CROSSINGS = 12
"""Of the filter's sinc, on each side: the stop band begins 70 dB down, which speech does not reach."""
KAISER = 7.0


class Resampler:
    """A polyphase filter: each sample is a sum of some neighbours, weighted by one of `up` windows."""

    def __init__(self, source: int, target: int) -> None:
        common = gcd(source, target)
        self._up, self._down = target // common, source // common
        cutoff = min(1.0, self._up / self._down)
        self._half = int(np.ceil(CROSSINGS / cutoff))
        self._windows = _windows(self._up, self._half, cutoff)
        self._kept: Samples = np.zeros(self._half, np.float32)
        self._next = 0
        """Of the sample that comes next: its place, in `up`-ths, after the first one of `_kept`'s middle."""

    def feed(self, samples: Samples) -> Samples:
        """What can be told by now; the last few milliseconds wait for their neighbours."""
        known = np.concatenate((self._kept, samples))
        usable = len(known) - 2 * self._half
        places = np.arange(self._next, usable * self._up, self._down)
        self._next += len(places) * self._down - max(0, usable) * self._up
        self._kept = known[max(0, usable) :]
        if not len(places):
            return np.zeros(0, np.float32)
        around = np.lib.stride_tricks.sliding_window_view(known, 2 * self._half + 1)
        chosen = around[places // self._up]
        result: Samples = np.einsum("ij,ij->i", chosen, self._windows[places % self._up])
        return result

    def end(self) -> Samples:
        """What silence after the last sample makes of the rest."""
        return self.feed(np.zeros(self._half + 1, np.float32))


def _windows(up: int, half: int, cutoff: float) -> Samples:
    """For each phase the weights of the `half` samples before, the one at hand, and the `half` after."""
    offsets = np.arange(-half, half + 1)[None, :] - (np.arange(up) / up)[:, None]
    shape = np.i0(KAISER * np.sqrt(np.clip(1 - (offsets / (half + 1)) ** 2, 0, 1))) / np.i0(KAISER)
    weights = cutoff * np.sinc(cutoff * offsets) * shape
    normal: Samples = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal
