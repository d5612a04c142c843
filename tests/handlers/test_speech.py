"""Texts that are heard, by the voice on this machine."""

import asyncio
import base64
import io
import json
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from service.speakers.encoding import CONTENT_TYPES
from tests.conftest import ROW
from tests.serving import Service, serving
from tests.turns.spoken import MORNING, V2, Answer, made, say, speech, spoken_records
from tests.upstream import Done, Finish, Gate, Say, ToolCall, Upstream, Usage, until

GERMAN = "Guten Morgen, Ada. Das ist ein schöner Tag, und der Kessel ist auf dem Herd."
RUSSIAN = "Доброе утро, Ада. Сегодня хорошая погода, и чайник уже стоит на плите."


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Service]:
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        yield service


def error(answer: Answer) -> tuple[int, str | None, str]:
    """Status, culprit, and words."""
    found = json.loads(answer.body)["error"]
    return answer.status, found["param"], found["message"]


async def test_a_text_is_heard(service: Service) -> None:
    answer = await say(service)
    assert (answer.status, answer.kind) == (200, "audio/mpeg")
    assert 2 < answer.seconds < 8
    assert answer.headers["x-speaker"] == "local"
    assert answer.headers["x-voice"].startswith("en")
    assert "x-fallback-from" not in answer.headers
    assert answer.headers["cache-control"] == "private, max-age=604800"
    assert "x-user" in answer.headers["vary"]


@pytest.mark.parametrize("format", CONTENT_TYPES)
async def test_every_format_is_what_it_says_and_has_the_whole_text(format: str, service: Service) -> None:
    for _ in range(2):
        answer = await say(service, format=format)
        assert (answer.status, answer.headers["content-type"]) == (200, CONTENT_TYPES[format])
        seconds = len(answer.body) / 48_000 if format == "pcm" else answer.seconds
        assert 2 < seconds < 8
    assert await made(service) == {"made": len(MORNING), "kept": len(MORNING)}


async def test_what_was_spoken_is_a_file_from_then_on(service: Service) -> None:
    first, second = await say(service), await say(service)
    assert first.rest == second.rest
    assert (first.headers.get("transfer-encoding"), "content-length" in first.headers) == ("chunked", False)
    assert second.headers["content-length"] == str(len(second.body))
    part = await say(service, range="bytes=100-199")
    assert (part.status, part.body) == (206, second.body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(first.body)}"
    assert part.headers["cache-control"] == "private, max-age=604800"
    assert (await say(service, range="bytes=9999999-")).status == 416
    assert await made(service) == {"made": len(MORNING), "kept": 3 * len(MORNING)}


async def test_a_kept_wav_knows_how_long_it_is(service: Service) -> None:
    streamed, kept = await say(service, format="wav"), await say(service, format="wav")
    assert len(streamed.body) == len(kept.body)
    assert streamed.body[44:] == kept.body[44:]
    assert int.from_bytes(kept.body[4:8], "little") == len(kept.body) - 8
    assert kept.seconds == pytest.approx((len(kept.body) - 44) / 2 / 16_000, abs=0.01)


async def test_a_look_at_the_head_makes_nobody_speak(service: Service) -> None:
    url = f"{service.url}{V2}/synthesize/default?text=Hello"
    async with service.http.head(url) as head:
        assert (head.status, head.content_type) == (200, "audio/mpeg")
        assert head.headers["X-Speaker"] == "local"
    assert await made(service) == {}
    sound = await say(service, "Hello")
    async with service.http.head(url) as head:
        assert head.headers["Content-Length"] == str(len(sound.body))


@pytest.mark.parametrize("name", ["Gemini", "gemini", "default", "OpenaiChat", "tts-1", "local", "LOCAL"])
async def test_names_that_clients_have_written_into_them_are_the_default(name: str, service: Service) -> None:
    assert (await say(service, speaker=name)).headers["x-speaker"] == "local"


async def test_an_unknown_speaker_is_a_404_that_names_the_others(service: Service) -> None:
    status, param, words = error(await say(service, speaker="lokal"))
    assert (status, param) == (404, "provider")
    assert "Did you mean local?" in words
    assert "There are local." in error(await say(service, speaker="Nobody", text=""))[2]


async def test_the_language_is_the_texts_unless_somebody_says_so(service: Service) -> None:
    assert (await say(service, GERMAN)).headers["x-voice"].startswith("de")
    assert (await say(service, GERMAN, language="fr")).headers["x-voice"].startswith("fr")
    assert (await say(service, GERMAN, voice="it-IT")).headers["x-voice"] == "it-IT"
    assert (await say(service, "Hello.", language="en-GB")).headers["x-voice"] == "en-GB"


async def test_a_language_that_nobody_speaks_is_told_with_what_would_help(service: Service) -> None:
    status, _, words = error(await say(service, RUSSIAN))
    assert status == 503
    assert all(word in words for word in ("(ru)", "speech.order", '"edge"'))
    status, param, words = error(await say(service, RUSSIAN, language="ru"))
    assert (status, param) == (400, "language")
    assert "GET /v1/audio/voices" in words


@pytest.mark.parametrize(
    ("query", "param", "words"),
    [
        ({"text": ""}, "text", "no letter"),
        ({"text": " \n "}, "text", "no letter"),
        ({"text": "🤔 🎉 — …"}, "text", "no letter"),
        ({"text": "***\n---\n```\n```"}, "text", "no letter"),
        ({"text": "Hello\0there"}, "text", "U+0000 at place 5"),
        ({"text": "Hello\x1b[1m"}, "text", "U+001B"),
        ({"voice": "en-UK"}, "voice", "en-GB"),
        ({"voice": "x" * 5000}, "voice", "GET /v1/audio/voices lists all"),
        ({"format": "exe"}, "format", "mp3, opus, flac, wav, pcm, srt, vtt"),
        ({"rate": "+1000%"}, "rate", "from -75% to +300%"),
        ({"rate": "9"}, "rate", "a factor from 0.25 to 4"),
        ({"rate": "fast"}, "rate", "a factor from 0.25 to 4"),
        ({"volume": "nan"}, "volume", "a factor from 0 to 2"),
        ({"pitch": "-99%"}, "pitch", "from -50% to +100%"),
        ({"language": "no language"}, "language", "as in de or pt-BR"),
        ({"language": "de", "voice": "en-GB"}, "language", "en-GB speaks en-GB, not de"),
    ],
)
async def test_what_cannot_be_spoken_is_told(
    query: dict[str, str], param: str, words: str, service: Service
) -> None:
    status, culprit, message = error(await say(service, **query))
    assert (status, culprit) == (400, param)
    assert words in message
    assert await made(service) == {}


async def test_a_text_over_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_SPEECH_LONGEST_TEXT="100") as service:
        status, param, words = error(await speech(service, "Once more. " * 10))
        assert (status, param) == (413, "input")
        assert "110 characters, and at most 100" in words
        assert "speech.longest_text" in words
        assert (await speech(service, "Once more. " * 9)).status == 200
        huge = io.BytesIO(json.dumps({"input": "x" * 10_000_000}).encode())
        async with service.http.post(f"{service.url}/v1/audio/speech", data=huge) as answer:
            assert answer.status == 413


async def test_the_rate_is_a_factor_or_a_change(service: Service) -> None:
    usual = (await say(service)).seconds
    for rate in ("2", "2.0", "+100%", " 100%", "100%"):
        assert (await say(service, rate=rate)).seconds < 0.8 * usual
    assert (await say(service, rate="-50%")).seconds > 1.4 * usual
    assert len(await spoken_records(service, 7)) == 7


async def test_markdown_is_not_read_aloud(service: Service) -> None:
    plain = await say(service, "See the guide now.")
    marked = await say(service, "See **the [guide](https://example.org/a/very/long/address?of=it)** now.")
    assert marked.rest == plain.rest


async def test_speech_can_be_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_SPEECH_ENABLED="false") as service:
        status, _, words = error(await say(service))
        assert status == 501
        assert "speech.enabled" in words
        assert (await service.get("/v1/audio/voices"))["voices"] == []


# As OpenAI's clients ask


async def test_openais_request_is_understood(service: Service) -> None:
    for model in ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "local", ""):
        answer = await speech(service, model=model, voice="alloy", instructions="Cheerfully.")
        assert (answer.status, answer.kind, answer.headers["x-speaker"]) == (200, "audio/mpeg", "local")
    faster = await speech(service, model="tts-1", voice={"id": "onyx"}, speed=2.0)
    assert faster.seconds < 0.8 * answer.seconds


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"voice": "nobody"}, "voice"),
        ({"response_format": "exe"}, "response_format"),
        ({"response_format": "aac"}, "response_format"),
        ({"speed": 5}, "$.speed"),
        ({"stream_format": "smoke"}, "$.stream_format"),
        ({"language": "tlh"}, "language"),
        ({"text": "🎉"}, "input"),
        ({"text": "a\0b"}, "input"),
    ],
)
async def test_what_is_wrong_in_openais_request_is_named(
    body: dict[str, str], param: str, service: Service
) -> None:
    status, culprit, _ = error(await speech(service, **body))
    assert (status, culprit) == (400, param)


async def test_an_unknown_model_is_a_404(service: Service) -> None:
    assert error(await speech(service, model="gpt-9"))[0] == 404


async def test_events_hold_the_same_sound(service: Service) -> None:
    for _ in range(2):
        answer = await speech(service, stream_format="sse", response_format="wav")
        assert (answer.status, answer.kind) == (200, "text/event-stream")
        events = [json.loads(data) for data in re.findall(rb"^data: (.*)$", answer.body, re.MULTILINE)]
        *deltas, done = events
        assert {event["type"] for event in deltas} == {"speech.audio.delta"}
        sound = b"".join(base64.b64decode(event["audio"]) for event in deltas)
        assert sound[44:] == (await speech(service, response_format="wav")).body[44:]
        usage = done["usage"]
        assert done["type"] == "speech.audio.done"
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["output_tokens"] > 20 * 2


async def test_the_voices_are_listed(service: Service) -> None:
    found = (await service.get("/v1/audio/voices"))["voices"]
    assert {voice["language"] for voice in found} == {"en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT"}
    assert {voice["speaker"] for voice in found} == {"local"}
    for voice in found:
        assert (await speech(service, "Ada.", voice=voice["id"])).headers["x-voice"] == voice["id"]
    english = (await service.get("/v1/audio/voices?language=en&speaker=local"))["voices"]
    assert {voice["id"] for voice in english} == {"en-US", "en-GB"}
    assert (await service.get("/v1/audio/voices?language=ru"))["voices"] == []


# Subtitles


def seconds(time: str) -> float:
    hours, minutes, rest = time.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


@pytest.mark.parametrize("format", ["srt", "vtt"])
async def test_subtitles_are_another_answer_of_the_same_text(format: str, service: Service) -> None:
    sound, titles = await say(service), await say(service, format=format)
    kinds = {"srt": "application/x-subrip", "vtt": "text/vtt"}
    assert (titles.status, titles.kind) == (200, kinds[format])
    text = titles.body.decode()
    times = [(seconds(a), seconds(b)) for a, b in re.findall(r"(\S+) --> (\S+)", text)]
    assert len(times) == 2
    assert all(start < end for start, end in times)
    assert all(end <= start for (_, end), (start, _) in pairwise(times))
    assert times[-1][1] <= sound.seconds + 0.1
    assert "Good morning, Ada." in re.sub("<.*?>", "", text)
    assert (await speech(service, response_format=format)).body == titles.body
    assert (await made(service))["made"] == len(MORNING)


async def test_subtitles_alone_have_the_text_spoken_once(service: Service) -> None:
    titles, sound = await say(service, format="vtt"), await say(service)
    assert titles.body.startswith(b"WEBVTT\n\n")
    assert sound.headers["content-length"]
    assert await made(service) == {"made": len(MORNING), "kept": len(MORNING)}


# Answers that are heard


async def test_an_answer_says_how_it_can_be_heard(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("The capital "), Say("is **Paris**."), Finish(), Usage(), Done())
    answer = await service.ask(speech=True)
    assert [event["type"] for event in answer][-3:] == ["finish", "synthesize", "usage"]
    event = next(event["synthesize"] for event in answer if event["type"] == "synthesize")
    assert event["provider"] == "local"
    assert list(event["data"]) == ["turn"]
    heard = await say(service, speaker=event["provider"], **event["data"])
    assert heard.rest == (await say(service, "The capital is Paris.")).rest
    told = await service.ask(speech="de-DE")
    data = next(event["synthesize"]["data"] for event in told if event["type"] == "synthesize")
    assert data["voice"] == "de-DE"
    assert (await say(service, **data)).headers["x-voice"] == "de-DE"


async def test_without_being_asked_no_answer_says_so(service: Service, upstream: Upstream) -> None:
    for body in ({}, {"speech": False}, {"speech": None}):
        assert "synthesize" not in str(await service.ask(**body))
    upstream.script(ToolCall("weather", "{}", "call_1"), Finish("tool_calls"), Done())
    assert "synthesize" not in str(await service.ask(speech=True))


async def test_an_answer_that_runs_is_heard_once_it_has_ended(service: Service, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Say("Good morning, "), Gate(gate), Say("Ada."), Finish(), Done())
    async with service.asking() as reading:
        await reading.content.readuntil(b"morning")
        turn = reading.headers["X-Turn-Id"]
        hearing = asyncio.ensure_future(say(service, turn=turn))  # noqa: TID251
        await until(lambda: [turn.readers for turn in service.context.turns.running(None)] == [2])
        gate.set()
        assert (await hearing).rest == (await say(service, "Good morning, Ada.")).rest


async def test_an_answer_is_heard_by_whose_it_is(service: Service, upstream: Upstream) -> None:
    async with service.asking(headers={"x-user": "ada"}) as answer:
        await answer.read()
        turn = answer.headers["X-Turn-Id"]
    assert (await say(service, turn=turn, user="ada")).status == 200
    assert error(await say(service, turn=turn, user="bob"))[0] == 404
    assert error(await say(service, turn="nobody's", user="ada"))[0] == 404
    both = await service.http.get(
        f"{service.url}{V2}/synthesize/local?turn={turn}&text=Hello", headers={"x-user": "ada"}
    )
    assert both.status == 400
    upstream.script(ToolCall("weather", "{}", "call_1"), Finish("tool_calls"), Done())
    async with service.asking(headers={"x-user": "ada"}) as answer:
        await answer.read()
        silent = answer.headers["X-Turn-Id"]
    assert error(await say(service, turn=silent, user="ada"))[0] == 404
