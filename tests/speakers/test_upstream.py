"""Somebody elsewhere who speaks, as OpenAI's API has it: a loopback server in his place."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from service.settings import SpeakerRow
from service.speakers.failures import CutOff, Mute, Overloaded, Refused, SpeakerError, Unreachable
from service.speakers.speaker import Manner, Mark
from service.speakers.upstream import Upstream

PLAIN = Manner()
SECOND = bytes(48_000)


class Studio:
    """Says a second of silence; `answer` is what it does instead."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.status, self.headers, self.said = 200, {"Content-Type": "audio/pcm"}, SECOND
        self.cut = False
        self.gate: asyncio.Event | None = None
        self.left = asyncio.Event()
        self.url = ""

    async def speech(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(json.loads(await request.read()))
        self.keys.append(request.headers.get("Authorization"))
        answer = web.StreamResponse(status=self.status, headers=self.headers)
        await answer.prepare(request)
        await answer.write(self.said[:10_000])
        try:
            if self.gate:
                await self.gate.wait()
        finally:
            self.left.set()
        if self.cut and request.transport:
            request.transport.abort()
        await answer.write(self.said[10_000:])
        return answer


@pytest.fixture
async def studio() -> AsyncGenerator[Studio, None]:
    studio = Studio()
    app = web.Application()
    app.add_routes([web.post("/v1/audio/speech", studio.speech)])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    studio.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield studio
    await runner.cleanup()


def speaker(url: str, key: str | None = "sk-secret") -> Upstream:
    row = SpeakerRow(
        name="Studio", url=url, key="STUDIO_KEY", local=True, model="tts-9", languages=("en", "de")
    )
    return Upstream(row, key)


async def heard(studio: Upstream, text: str, manner: Manner = PLAIN) -> tuple[bytes, list[Mark]]:
    voice = studio.default("en")
    assert voice
    data, marks = b"", list[Mark]()
    try:
        async with aclosing(studio.speak(text, voice, manner)) as sounds:
            async for sound in sounds:
                data += sound.data
                marks += sound.marks
    finally:
        await studio.close()
    return data, marks


async def failure(studio: Studio) -> SpeakerError:
    with pytest.raises(SpeakerError) as caught:
        await heard(speaker(studio.url), "Hello.")
    return caught.value


async def test_it_is_asked_as_openai_is(studio: Studio) -> None:
    data, marks = await heard(speaker(studio.url), "Hello there. How are you?", Manner(rate=1.5))
    assert studio.asked == [
        {
            "model": "tts-9",
            "input": "Hello there. How are you?",
            "voice": "alloy",
            "response_format": "pcm",
            "speed": 1.5,
        }
    ]
    assert studio.keys == ["Bearer sk-secret"]
    assert data == SECOND
    assert [mark.text for mark in marks if mark.kind == "sentence"] == ["Hello there.", "How are you?"]
    assert max(mark.offset + mark.duration for mark in marks) <= 1.001


async def test_a_long_text_goes_out_in_requests_that_are_taken(studio: Studio) -> None:
    text = "This is one of many sentences. " * 400
    data, marks = await heard(speaker(studio.url), text)
    assert len(studio.asked) > 2
    assert max(len(asked["input"]) for asked in studio.asked) <= 4096
    assert " ".join(asked["input"] for asked in studio.asked) == text.strip()
    assert len(data) == len(studio.asked) * len(SECOND)
    sentences = [mark for mark in marks if mark.kind == "sentence"]
    assert len(sentences) == 400
    assert sentences == sorted(sentences, key=lambda mark: mark.offset)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Refused),
        (403, Refused),
        (429, Overloaded),
        (503, Overloaded),
        (500, SpeakerError),
        (302, SpeakerError),
    ],
)
async def test_what_it_refuses_is_told_by_its_kind(
    studio: Studio, status: int, kind: type[SpeakerError]
) -> None:
    studio.status, studio.said = status, b'{"error": {"message": "no, sk-secret"}}'
    studio.headers = {"Content-Type": "application/json", "Retry-After": "9", "Location": "/v1/elsewhere"}
    error = await failure(studio)
    assert type(error) is kind
    assert error.elsewhere
    assert "sk-secret" not in error.message
    assert error.retry_after == (9 if kind is Overloaded else None)


async def test_a_cut_in_the_middle(studio: Studio) -> None:
    studio.cut = True
    assert type(await failure(studio)) is CutOff


async def test_what_is_no_sound_is_not_played_as_noise(studio: Studio) -> None:
    studio.headers = {"Content-Type": "application/json"}
    assert "application/json" in (await failure(studio)).message
    studio.headers, studio.said = {"Content-Type": "audio/pcm"}, b""
    assert type(await failure(studio)) is Mute


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            await heard(speaker(f"http://127.0.0.1:{taken.getsockname()[1]}/v1"), "Hello.")


async def test_who_stops_listening_hangs_up(studio: Studio) -> None:
    studio.gate = asyncio.Event()
    asked = speaker(studio.url)
    voice = asked.default("de-AT")
    assert voice
    async with aclosing(asked.speak("Hallo.", voice, Manner())) as sounds:
        assert (await anext(sounds)).data
    await asyncio.wait_for(studio.left.wait(), 1)
    await asked.close()


async def test_it_speaks_the_languages_of_its_row() -> None:
    asked = speaker("http://127.0.0.1:9/v1")
    assert [bool(asked.default(language)) for language in ("en-GB", "de", "ru")] == [True, True, False]
    assert "nova" in [voice.name for voice in await asked.voices()]
    await asked.close()
