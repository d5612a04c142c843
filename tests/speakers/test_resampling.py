"""Samples at other rates: the same tone, the same length, no seam."""

import numpy as np
import pytest

from service.speakers.resampling import Resampler, Samples

RATES = [(16_000, 24_000), (24_000, 16_000), (22_050, 24_000), (44_100, 24_000), (48_000, 24_000)]


def tone(hertz: float, rate: int, seconds: float = 1) -> Samples:
    return (10_000 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def resampled(samples: Samples, source: int, target: int, size: int = 1 << 30) -> Samples:
    resampler = Resampler(source, target)
    parts = [resampler.feed(samples[start : start + size]) for start in range(0, len(samples), size)]
    return np.concatenate([*parts, resampler.end()])


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_stays_itself(source: int, target: int) -> None:
    result, wanted = resampled(tone(1000, source), source, target), tone(1000, target)
    assert abs(len(result) - len(wanted)) <= 2
    middle = slice(target // 10, len(wanted) - target // 10)
    assert np.abs(result[middle] - wanted[middle]).max() < 100


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("size", [1, 333, 4096])
def test_pieces_have_no_seam(source: int, target: int, size: int) -> None:
    samples = tone(440, source, 0.2)
    whole, pieces = resampled(samples, source, target), resampled(samples, source, target, size)
    assert len(whole) == len(pieces)
    assert np.abs(whole - pieces).max() < 0.1


def test_what_the_lower_rate_cannot_hold_is_gone_instead_of_coming_back_as_another_tone() -> None:
    result = resampled(tone(15_000, 48_000), 48_000, 24_000)
    assert np.abs(result[1000:-1000]).max() < 100
