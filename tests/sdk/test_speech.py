"""OpenAI's SDK for Python, unmodified: what it has spoken, and what it has written down."""

import base64
import json
from pathlib import Path

import openai as sdk
import pytest
from openai import AsyncOpenAI

from tests.serving import Service
from tests.turns.spoken import MORNING, Answer, spoken_records
from tests.turns.test_speech import sentences
from tests.upstream import Upstream

WORDS = "What is the capital of France?"


async def test_a_text_is_spoken(openai: AsyncOpenAI, tmp_path: Path) -> None:
    for format in ("mp3", "opus", "flac", "wav"):
        spoken = await openai.audio.speech.create(
            model="tts-1", voice="alloy", input=MORNING, response_format=format, instructions="Calmly."
        )
        assert Answer(200, {}, spoken.content).seconds > 2
    spoken.write_to_file(tmp_path / "speech.wav")
    assert (tmp_path / "speech.wav").read_bytes().startswith(b"RIFF")


async def test_it_comes_as_it_is_made(openai: AsyncOpenAI, service: Service) -> None:
    async with openai.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="nova", input=sentences(40), response_format="pcm", speed=1.5
    ) as response:
        assert response.headers["x-speaker"] == "local"
        pieces = [piece async for piece in response.iter_bytes(4096)]
    assert len(pieces) > 20
    assert sum(map(len, pieces)) / 48_000 > 40
    (record,) = await spoken_records(service, 1)
    assert (record["wire"], record["ending"], record["model_asked"]) == ("openai", "done", "nova")


async def test_it_comes_as_events(openai: AsyncOpenAI) -> None:
    async with openai.audio.speech.with_streaming_response.create(
        model="tts-1", voice="onyx", input=MORNING, stream_format="sse"
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) async for line in response.iter_lines() if line.startswith("data: ")]
    *deltas, done = events
    sound = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    assert Answer(200, {}, sound).seconds > 2
    assert (done["type"], done["usage"]["total_tokens"] > 0) == ("speech.audio.done", True)


async def test_who_leaves_the_stream_stops_it(openai: AsyncOpenAI, service: Service) -> None:
    async with openai.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=sentences(600)
    ) as response:
        async for _ in response.iter_bytes(1000):
            break
    assert (await spoken_records(service, 1))[0]["ending"] == "abandoned"


async def test_errors_are_the_sdks_own(openai: AsyncOpenAI) -> None:
    with pytest.raises(sdk.BadRequestError, match="no letter"):
        await openai.audio.speech.create(model="tts-1", voice="alloy", input="🎉")
    with pytest.raises(sdk.BadRequestError, match="GET /v1/audio/voices"):
        await openai.audio.speech.create(model="tts-1", voice="nobody", input=MORNING)
    with pytest.raises(sdk.NotFoundError, match="There are local"):
        await openai.audio.speech.create(model="gpt-9", voice="alloy", input=MORNING)
    with pytest.raises(sdk.InternalServerError, match=r"speech\.order"):
        await openai.audio.speech.create(
            model="tts-1", voice="alloy", input="Доброе утро, Ада. Как твои дела?"
        )


async def test_a_recording_is_written_down(openai: AsyncOpenAI, upstream: Upstream) -> None:
    spoken = await openai.audio.speech.create(model="tts-1", voice="alloy", input=WORDS)
    file = ("question.mp3", spoken.content, "audio/mpeg")
    answer = await openai.audio.transcriptions.create(model="small", file=file)
    assert answer.text == WORDS
    assert upstream.requests[-1].body["file"] == [("question.mp3", "audio/mpeg", spoken.content)]
    verbose = await openai.audio.transcriptions.create(
        model="small", file=file, response_format="verbose_json", timestamp_granularities=["segment", "word"]
    )
    assert (verbose.text, verbose.duration) == (WORDS, 4.0)
    assert verbose.segments
    assert upstream.requests[-1].body["timestamp_granularities[]"] == ["segment", "word"]
    assert "-->" in await openai.audio.transcriptions.create(model="small", file=file, response_format="srt")
    with pytest.warns(DeprecationWarning):
        translated = await openai.audio.translations.create(model="small", file=file)
    assert translated.text == WORDS
