"""The voices of this machine, for real: what they say, how, and what becomes of their children."""

import asyncio
import os
import re
import signal
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest

from service.speakers.embedded import Embedded, installed
from service.speakers.encoding import CONTENT_TYPES, Encoders
from service.speakers.failures import Crashed, Mute, NothingToSay, VoiceNotFound
from service.speakers.speaker import Manner
from tests.speakers.hearing import TEXT, duration, heard
from tests.upstream import until

LONG = f"{TEXT} " * 8
FASTEST, SLOWEST = 30, 10  # characters a second


def rms(data: bytes) -> float:
    samples = memoryview(data[44:]).cast("h")
    mean = sum(sample * sample for sample in samples) / len(samples)
    return float(mean**0.5)


async def test_those_that_are_installed_are_offered() -> None:
    offered = {speaker.name: [voice.language for voice in await speaker.voices()] for speaker in installed()}
    assert offered == {"local": ["en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT"], "hibari": ["en-US"]}


async def test_a_voice_is_found_by_language_and_by_name(local: Embedded) -> None:
    tags = ("en", "en-GB", "en-AU", "de-AT", "fr", "ru")
    found = [voice and voice.name for voice in map(local.default, tags)]
    assert found == ["en-US", "en-GB", "en-US", "de-DE", "fr-FR", None]
    assert (await local.voice("DE-de")).engine == "local"
    with pytest.raises(VoiceNotFound, match="de-DE"):
        await local.voice("de-DX")


@pytest.mark.parametrize("format", CONTENT_TYPES)
async def test_three_thousand_characters_open_in_every_format(
    local: Embedded, encoders: Encoders, format: str
) -> None:
    spoken = await heard(local, encoders, LONG, format)
    assert len(LONG) > 3000
    assert SLOWEST < len(LONG) / spoken.seconds < FASTEST
    assert duration(spoken.kept, format) == pytest.approx(spoken.seconds, abs=0.01)


async def test_times_rise_and_stay_within_the_sound(local: Embedded, encoders: Encoders) -> None:
    spoken = await heard(local, encoders, LONG)
    for kind in ("sentence", "word"):
        marks = [mark for mark in spoken.marks if mark.kind == kind]
        assert all(one.offset + one.duration <= two.offset + 0.001 for one, two in pairwise(marks))
        assert marks[-1].offset + marks[-1].duration <= spoken.seconds + 0.001
    words = [mark.text for mark in spoken.marks if mark.kind == "word"]
    assert words == LONG.split()


async def test_each_language_speaks(local: Embedded, encoders: Encoders) -> None:
    texts = {
        "en-GB": "Good morning, how are you today?",
        "de": "Guten Morgen, wie geht es Ihnen heute?",
        "es": "Buenos días, ¿cómo está usted hoy?",
        "fr": "Bonjour, comment allez-vous aujourd'hui ?",
        "it": "Buongiorno, come sta oggi?",
    }
    for language, text in texts.items():
        spoken = await heard(local, encoders, text, voice=local.default(language))
        assert 1 < spoken.seconds < 5
        assert rms(spoken.streamed) > 500


async def test_rate_and_volume_are_heard(local: Embedded, encoders: Encoders) -> None:
    plain = await heard(local, encoders, TEXT)
    quick = await heard(local, encoders, TEXT, manner=Manner(rate=2.0))
    quiet = await heard(local, encoders, TEXT, manner=Manner(volume=0.2))
    assert plain.seconds * 0.4 < quick.seconds < plain.seconds * 0.65  # pauses stay
    assert rms(quiet.streamed) < rms(plain.streamed) / 2


async def test_commands_to_the_engine_in_a_text_are_words(
    local: Embedded, encoders: Encoders, tmp_path: Path
) -> None:
    stolen, written = tmp_path / "stolen", tmp_path / "written"
    stolen.write_bytes(bytes(400_000))
    text = f"<genfile file='{written}'>Hello</genfile> <play file='{stolen}'/> and <speed level='20'>bye"
    spoken = await heard(local, encoders, text)
    assert not written.exists()
    assert spoken.seconds < len(text) / SLOWEST * 2
    muted = await heard(local, encoders, "<volume level='0'>Hello my dear friend.")
    assert rms(muted.streamed) > 500


@pytest.mark.parametrize(
    "text", ["1" * 400, "a" * 400, "x1" * 200, "http://" + "long/" * 100, "a\x00b\x07c", "½ § € “q” – …!"]
)
async def test_what_the_engine_would_choke_on_is_said_somehow(
    local: Embedded, encoders: Encoders, text: str
) -> None:
    for language in ("en-US", "de-DE"):
        spoken = await heard(local, encoders, text, voice=local.default(language))
        assert spoken.seconds > len(text) / FASTEST / 2


async def test_what_has_no_sound_is_told(local: Embedded, encoders: Encoders) -> None:
    with pytest.raises(NothingToSay):
        await heard(local, encoders, "😀 … !")
    with pytest.raises(Mute, match="language"):
        await heard(local, encoders, "Привет, мир.")


async def test_the_first_sentence_comes_before_the_rest_is_made(local: Embedded) -> None:
    voice = local.default("en")
    assert voice
    async with aclosing(local.speak(LONG * 20, voice, Manner())) as sounds:
        await anext(sounds)
        began = monotonic()
        await anext(sounds)
        second = monotonic() - began
    assert second < 1


async def test_a_crash_costs_one_answer(local: Embedded, encoders: Encoders) -> None:
    """Each of the engine's children is killed at work; one answer of many fails for each."""
    speaking = [asyncio.ensure_future(heard(local, encoders, LONG)) for _ in range(8)]  # noqa: TID251
    await until(lambda: len(local.workers.pids) == 2)
    await asyncio.sleep(0.1)
    victims = local.workers.pids
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    results = await asyncio.gather(*speaking, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    assert len(failed) <= len(victims)
    assert all(isinstance(error, Crashed) and error.elsewhere and not error.outage for error in failed)
    assert (await heard(local, encoders, TEXT)).seconds > 10


async def test_a_child_that_hangs_is_ended_and_another_speaks(local: Embedded, encoders: Encoders) -> None:
    await heard(local, encoders, TEXT)
    (pid, *_) = local.workers.pids
    local.workers._deadline = 0.5
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(Crashed, match="longer"):
        await heard(local, encoders, TEXT)
    local.workers._deadline = 20
    assert (await heard(local, encoders, TEXT)).seconds > 10
    assert pid not in local.workers.pids


async def test_a_child_that_dies_while_it_waits_costs_nothing(local: Embedded, encoders: Encoders) -> None:
    await heard(local, encoders, TEXT)
    for pid in local.workers.pids:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not local.workers.pids)
    assert (await heard(local, encoders, TEXT)).seconds > 10


async def test_idle_children_end(local: Embedded, encoders: Encoders) -> None:
    local.workers._idle = 0.2
    await heard(local, encoders, TEXT)
    assert local.workers.pids
    await until(lambda: not local.workers.pids)
    assert (await heard(local, encoders, TEXT)).seconds > 10


async def test_twenty_at_once_share_and_those_who_leave_take_no_more(local: Embedded) -> None:
    voice = local.default("en")
    assert voice
    finished: list[int] = []
    counts = [0] * 20

    async def listen(number: int) -> None:
        async with aclosing(local.speak(LONG, voice, Manner())) as sounds:
            async for _ in sounds:
                counts[number] += 1
                if number % 2 and counts[number] == 3:
                    return
        finished.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(listen(number))
        while min(counts) < 3:
            await asyncio.sleep(0.005)
            assert max(counts) - min(counts) <= 3, "somebody gets more than his share"
    assert sorted(finished) == list(range(0, 20, 2))


async def test_the_work_stops_when_all_have_left(local: Embedded) -> None:
    voice = local.default("en")
    assert voice
    speakers = [local.speak(LONG * 10, voice, Manner()) for _ in range(20)]
    await asyncio.gather(*(anext(sounds) for sounds in speakers))
    waiting = [asyncio.ensure_future(anext(sounds)) for sounds in speakers]  # noqa: TID251
    await asyncio.sleep(0.02)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.gather(*(sounds.aclose() for sounds in speakers))
    (pid, *_) = local.workers.pids
    await until(lambda: not busy(pid))


def busy(pid: int) -> bool:
    """Whether it takes time: not while it waits for a job."""
    state = re.search(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert state
    return state[1] == "R"


@pytest.mark.slow
async def test_hibari_speaks(hibari: Embedded, encoders: Encoders) -> None:
    spoken = await heard(hibari, encoders, LONG, "flac")
    assert SLOWEST < len(LONG) / spoken.seconds < FASTEST
    assert duration(spoken.kept, "flac") == pytest.approx(spoken.seconds, abs=0.01)
    again = await heard(hibari, encoders, LONG, "flac")
    assert again.kept == spoken.kept
