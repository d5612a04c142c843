"""Silence that lasts too long is told, once, of each by itself."""

import asyncio
import logging

import pytest

from service.silence import Silence
from tests.upstream import until

SECONDS = 0.05


class Speaker:
    def __init__(self) -> None:
        self.told = 0

    def silent(self) -> None:
        self.told += 1


class Failing(Speaker):
    def silent(self) -> None:
        super().silent()
        raise RuntimeError("broken")


async def test_who_falls_silent_is_told_once() -> None:
    silence, one = Silence(SECONDS), Speaker()
    silence.heard(one)
    await until(lambda: one.told)
    await asyncio.sleep(3 * SECONDS)
    assert one.told == 1


async def test_who_has_been_told_may_speak_and_fall_silent_again() -> None:
    silence, one = Silence(SECONDS), Speaker()
    silence.heard(one)
    await until(lambda: one.told)
    silence.heard(one)
    await until(lambda: one.told == 2)


async def test_who_speaks_or_is_forgotten_is_not() -> None:
    silence, talking, gone, quiet = Silence(SECONDS), Speaker(), Speaker(), Speaker()
    for one in (talking, gone, quiet):
        silence.heard(one)
    silence.forget(gone)
    silence.forget(gone)
    while not quiet.told:
        silence.heard(talking)
        await asyncio.sleep(0)
    assert not talking.told
    assert not gone.told


async def test_one_that_fails_is_no_trouble_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    silence, others = Silence(SECONDS), [Speaker(), Failing(), Speaker(), Failing(), Speaker()]
    with caplog.at_level(logging.CRITICAL):
        for one in others:
            silence.heard(one)
        await until(lambda: all(one.told == 1 for one in others))
