"""Edge's voices, from a server that speaks its protocol."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise
from time import monotonic

import edge_tts.communicate
import edge_tts.voices
import pytest

from service.speakers.edge import Edge
from service.speakers.edge_voices import KNOWN
from service.speakers.failures import (
    CutOff,
    Mute,
    NothingToSay,
    Overloaded,
    Refused,
    SpeakerError,
    Unreachable,
    VoiceNotFound,
)
from service.speakers.mpeg import Frames
from service.speakers.speaker import Manner, Mark, Voice
from service.tasks import Tasks
from tests.edge_server import VOICES, EdgeServer, edge_server

EMMA, PLAIN = KNOWN[0], Manner()


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[EdgeServer, None]:
    async with edge_server(monkeypatch) as server:
        yield server


@pytest.fixture
async def edge(server: EdgeServer, tasks: Tasks) -> Edge:
    edge = Edge(at_once=2, patience=2, idle=2)
    await edge.open(tasks)
    return edge


async def heard(
    edge: Edge, text: str, voice: Voice = EMMA, manner: Manner = PLAIN
) -> tuple[bytes, list[Mark]]:
    data, marks = b"", list[Mark]()
    async with aclosing(edge.speak(text, voice, manner)) as sounds:
        async for sound in sounds:
            data += sound.data
            marks += sound.marks
    return data, marks


async def failure(edge: Edge, text: str = "Hello there.") -> SpeakerError:
    with pytest.raises(SpeakerError) as caught:
        await heard(edge, text)
    return caught.value


def seconds(data: bytes) -> float:
    frames = Frames()
    frames.feed(data)
    return frames.seconds


async def test_its_voices_are_listed_once(edge: Edge, server: EdgeServer) -> None:
    voices = await edge.voices()
    assert [(voice.name, voice.language) for voice in voices] == [(name, tag) for name, tag, _ in VOICES]
    assert {voice.gender for voice in voices} == {"female", "male"}
    assert await edge.voices() == voices
    assert server.listings == 1


async def test_a_listed_voice_is_found_in_any_capitals_and_an_unknown_one_is_told_the_nearest(
    edge: Edge,
) -> None:
    assert (await edge.voice("en-us-andrewneural")).name == "en-US-AndrewNeural"
    with pytest.raises(VoiceNotFound, match="en-US-AndrewNeural"):
        await edge.voice("en-US-AndreNeural")


async def test_a_default_voice_needs_no_list(edge: Edge, server: EdgeServer) -> None:
    defaults = {tag: edge.default(tag) for tag in ("ru", "de-AT", "pt", "EN_gb", "tlh")}
    assert {tag: voice and voice.language for tag, voice in defaults.items()} == {
        "ru": "ru-RU",
        "de-AT": "de-AT",
        "pt": "pt-BR",
        "EN_gb": "en-GB",
        "tlh": None,
    }
    assert (await edge.voice("ru-RU-SvetlanaNeural")).name == "ru-RU-SvetlanaNeural"
    assert server.listings == 0


async def test_without_a_list_known_voices_remain(edge: Edge, server: EdgeServer) -> None:
    server.refusals = [503]
    assert await edge.voices() == KNOWN
    assert (await edge.voice("xx-XX-NewNeural")).language == "xx-XX"


async def test_sound_and_times_of_sentences_and_words(edge: Edge) -> None:
    data, marks = await heard(edge, "One two three. Four & five <six>.")
    assert seconds(data) == pytest.approx(6 * 0.288, abs=0.1)
    words = [mark for mark in marks if mark.kind == "word"]
    sentences = [mark for mark in marks if mark.kind == "sentence"]
    assert [word.text for word in words] == ["One", "two", "three", "Four", "five", "six"]
    assert [sentence.text for sentence in sentences] == ["One two three.", "Four & five <six>."]
    assert sentences[1].offset == pytest.approx(3 * 0.288, abs=0.01)
    assert sentences[1].duration == pytest.approx(3 * 0.288, abs=0.01)


async def test_rate_volume_and_pitch_go_out(edge: Edge, server: EdgeServer) -> None:
    await heard(edge, "Hello.", manner=Manner(1.25, 0.5, 0.9))
    assert server.prosody == ["pitch='-20Hz' rate='+25%' volume='-50%'"]


async def test_a_long_text_is_one_sound_with_rising_times(edge: Edge, server: EdgeServer) -> None:
    text = " ".join(f"Это предложение номер {number}." for number in range(200))
    data, marks = await heard(edge, text)
    assert len(server.texts) > 1
    assert " ".join(server.texts) == text
    assert seconds(data) == pytest.approx(800 * 0.288, rel=0.01)
    sentences = [mark for mark in marks if mark.kind == "sentence"]
    assert len(sentences) == 200
    assert all(one.offset + one.duration <= two.offset + 0.05 for one, two in pairwise(sentences))
    assert sentences[-1].offset + sentences[-1].duration <= seconds(data)


async def test_a_wrong_clock_costs_one_refusal_and_is_put_right(edge: Edge, server: EdgeServer) -> None:
    server.ahead = 3600
    for _ in range(3):
        data, _ = await heard(edge, "Hello there.")
        assert data
    assert server.refused == 1


async def test_two_refusals_are_a_refusal(edge: Edge, server: EdgeServer) -> None:
    server.refusals = [403, 403]
    error = await failure(edge)
    assert type(error) is Refused
    assert error.status == 503
    assert error.elsewhere
    assert "upgrade" in error.message


async def test_one_that_has_too_much_to_do_says_when_to_come_back(edge: Edge, server: EdgeServer) -> None:
    server.refusals = [503]
    error = await failure(edge)
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


async def test_a_cut_in_the_middle_is_told_though_edge_tts_takes_it_for_the_end(
    edge: Edge, server: EdgeServer
) -> None:
    server.cut_after = 3
    data = b""
    with pytest.raises(CutOff):
        async with aclosing(edge.speak("One two three four five six.", EMMA, Manner())) as sounds:
            async for sound in sounds:
                data += sound.data
    assert len(data) == 3 * 720


async def test_silence_is_given_up_in_time(edge: Edge, server: EdgeServer) -> None:
    server.silent = True
    began = monotonic()
    assert type(await failure(edge)) is Unreachable
    assert monotonic() - began < 5
    assert await left(server)


async def test_silence_in_the_middle_is_a_cut(server: EdgeServer, tasks: Tasks) -> None:
    edge = Edge(patience=5, idle=0.5)
    server.gate, server.gated_from = asyncio.Event(), 3
    with pytest.raises(CutOff):
        await heard(edge, "One two three four.")


async def test_nobody_there_is_told_at_once(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"ws://127.0.0.1:{taken.getsockname()[1]}/?x=y"
        monkeypatch.setattr(edge_tts.communicate, "WSS_URL", nowhere)
        assert type(await failure(edge)) is Unreachable


async def test_what_has_no_sound_is_told(edge: Edge, server: EdgeServer) -> None:
    with pytest.raises(NothingToSay):
        await heard(edge, "… — !")
    assert server.texts == []
    server.mute = True
    assert type(await failure(edge, "Привет.")) is Mute


async def test_more_than_it_may_speak_at_once_wait_and_are_heard(edge: Edge, server: EdgeServer) -> None:
    spoken = await asyncio.gather(*(heard(edge, f"Text number {number}.") for number in range(7)))
    assert all(data for data, _ in spoken)
    assert server.most_open == 2


async def test_who_waits_too_long_for_a_turn_is_told_so(server: EdgeServer, tasks: Tasks) -> None:
    edge = Edge(at_once=1, patience=0.3)
    server.gate = asyncio.Event()
    async with aclosing(edge.speak("One two three.", EMMA, Manner())) as sounds:
        server.gate.set()
        await anext(sounds)
        assert isinstance(await failure(edge), Overloaded)


async def test_who_stops_listening_stops_the_work(edge: Edge, server: EdgeServer) -> None:
    server.gate = asyncio.Event()
    async with aclosing(edge.speak("One two three.", EMMA, Manner())) as sounds:
        await anext(sounds)
        assert server.open == 1
    assert await left(server)
    server.gate.set()
    assert (await heard(edge, "Again."))[0]


async def left(server: EdgeServer) -> bool:
    """Whether all have hung up within a second."""
    for _ in range(100):
        if not server.open:
            return True
        await asyncio.sleep(0.01)
    return False
