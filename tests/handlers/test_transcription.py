"""What is said in a recording, written down by the upstream."""

import asyncio
import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import openai
import pytest

from tests.conftest import ROW
from tests.serving import Json, Service, serving
from tests.upstream import Answer, Done, Gate, Status, Upstream, failure, step, until

PATH = "/v1/audio/transcriptions"
SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt \r\n--no boundary\r\n\x00\xff"
WORDS = "What is the capital of France?"


def recording(data: bytes = SOUND, name: str = "voice.wav", **fields: str | list[str]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", data, filename=name, content_type="audio/wav")
    for field, texts in fields.items():
        for text in [texts] if isinstance(texts, str) else texts:
            form.add_field(field, text)
    return form


async def sent(service: Service, form: aiohttp.FormData, path: str = PATH) -> tuple[int, str, str]:
    """Status, content type and body."""
    async with service.http.post(service.url + path, data=form) as answer:
        return answer.status, answer.content_type, await answer.text()


async def refusal(service: Service, form: aiohttp.FormData, path: str = PATH) -> tuple[int, str, str]:
    """Status, culprit, and words."""
    async with service.http.post(service.url + path, data=form) as answer:
        error = (await answer.json())["error"]
        return answer.status, error["param"], error["message"]


@pytest.mark.parametrize("path", [PATH, "/v1/audio/translations"])
async def test_the_recording_reaches_the_upstream_as_it_is(
    path: str, service: Service, upstream: Upstream
) -> None:
    form = recording(model="small", language="en", temperature="0.5", prompt="Élysée")
    form.add_field("timestamp_granularities[]", "word")
    form.add_field("timestamp_granularities[]", "segment")
    status, kind, text = await sent(service, form, path)
    assert (status, kind) == (200, "application/json")
    assert WORDS in text
    request = upstream.requests[-1]
    assert request.path == path
    assert request.body == {
        "file": [("voice.wav", "audio/wav", SOUND)],
        "model": ["small"],
        "language": ["en"],
        "temperature": ["0.5"],
        "prompt": ["Élysée"],
        "timestamp_granularities[]": ["word", "segment"],
    }


@pytest.mark.parametrize(
    ("format", "kind", "beginning"),
    [
        ("json", "application/json", "{"),
        ("verbose_json", "application/json", "{"),
        ("text", "text/plain", WORDS),
        ("srt", "application/x-subrip", "1\n00:00:00,000 -->"),
        ("vtt", "text/vtt", "WEBVTT\n\n"),
    ],
)
async def test_every_format_is_passed_on(format: str, kind: str, beginning: str, service: Service) -> None:
    status, found, text = await sent(service, recording(model="small", response_format=format))
    assert (status, found) == (200, kind)
    assert text.startswith(beginning)
    assert WORDS in text


async def last(service: Service, count: int = 1) -> Any:
    """The last record, once there are so many."""
    for _ in range(200):
        found = await service.get("/backend-api/v2/ledger?kind=transcription")
        if len(found["data"]) >= count:
            return found["data"][0] if count else found["data"]
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_it_is_in_the_ledger(service: Service, upstream: Upstream) -> None:
    for count, (format, seconds) in enumerate([("json", 4.0), ("verbose_json", 4.0), ("text", None)], 1):
        await sent(service, recording(model="small", response_format=format))
        record = await last(service, count)
        assert (record["provider"], record["model"], record["ending"]) == ("Upstream", "small", "done")
        assert (record["bytes"], record["seconds"], record["attempts"]) == (len(SOUND), seconds, 1)
        assert (record["cost_usd"], record["price"]) == (0, "local")
    upstream.script_at(PATH, Status(500, failure("It broke.")))
    status, _, text = await sent(service, recording(model="small"))
    assert (status, "It broke." in text) == (502, True)
    assert ((await last(service, 4))["ending"], (await last(service))["error"]) == ("failed", "ProviderError")


DELTA = {"type": "transcript.text.delta", "delta": "What is "}
DONE = {"type": "transcript.text.done", "text": WORDS, "usage": {"type": "duration", "seconds": 4}}


@step
async def Dictate(answer: Answer, *events: Json | asyncio.Event | None) -> None:
    """A stream of these events; one of asyncio's is waited for, and None cuts it off."""
    answer.headers["Content-Type"] = "text/event-stream"
    for event in events:
        if isinstance(event, asyncio.Event):
            await event.wait()
        elif event is None:
            answer.writer.transport.abort()
            answer.over = True
        else:
            await answer.write(b"data: %b\n\n" % json.dumps(event).encode())


async def test_openai_s_client_reads_it_as_it_is_understood(service: Service, upstream: Upstream) -> None:
    heard = asyncio.Event()
    upstream.script_at(PATH, Dictate(DELTA, heard, DONE), Done())
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.audio.transcriptions.create(
            model="small", file=("voice.wav", SOUND), stream=True, response_format="json"
        )
        said = [(await anext(stream)).type]
        heard.set()  # so the first one did not wait for the others
        said += [event.type async for event in stream]
    assert said == ["transcript.text.delta", "transcript.text.done"]
    assert upstream.requests[-1].body["stream"] == ["true"]
    record = await last(service)
    assert (record["provider"], record["ending"], record["seconds"]) == ("Upstream", "done", 4.0)


async def test_who_knows_no_streams_is_heard_at_once(service: Service, upstream: Upstream) -> None:
    whole = {"text": WORDS, "usage": {"type": "duration", "seconds": 4}}
    upstream.script_at(PATH, Status(200, whole, {"Content-Type": "application/json"}))
    status, kind, text = await sent(service, recording(model="small", stream="true"))
    assert (status, kind) == (200, "text/event-stream")
    event = json.loads(text.removeprefix("data: "))
    assert (event["type"], event["text"]) == ("transcript.text.done", WORDS)
    assert (await last(service))["seconds"] == 4.0


async def test_a_stream_that_breaks_off_is_cut(service: Service, upstream: Upstream) -> None:
    upstream.script_at(PATH, Dictate(DELTA, None))
    with pytest.raises(aiohttp.ClientError):
        await sent(service, recording(model="small", stream="true"))
    assert ((await last(service))["ending"], (await last(service))["error"]) == ("failed", "ProviderError")
    upstream.script_at(PATH, Status(500, failure("It broke.")))
    assert (await sent(service, recording(model="small", stream="true")))[0] == 502


async def test_who_leaves_a_stream_ends_it(service: Service, upstream: Upstream) -> None:
    upstream.script_at(PATH, Dictate(DELTA, asyncio.Event()))
    async with service.http.post(service.url + PATH, data=recording(model="small", stream="true")) as answer:
        await answer.content.readline()
    await until(lambda: upstream.aborted)
    assert (await last(service))["ending"] == "abandoned"


async def test_a_client_that_leaves_is_noticed(service: Service, upstream: Upstream) -> None:
    upstream.script_at(PATH, Gate(asyncio.Event()))
    left = aiohttp.ClientTimeout(total=0.2)
    with pytest.raises(TimeoutError):
        await service.http.post(service.url + PATH, data=recording(model="small"), timeout=left)
    await until(lambda: upstream.aborted)
    assert (await last(service))["ending"] == "abandoned"


async def test_what_is_wrong_with_a_form_is_told(service: Service, upstream: Upstream) -> None:
    asked = len(upstream.requests)
    empty = aiohttp.FormData(default_to_multipart=True)
    empty.add_field("model", "small")
    assert await refusal(service, empty) == (400, "file", ANY)
    status, param, words = await refusal(service, recording(response_format="exe"))
    assert (status, param) == (400, "response_format")
    assert "json, text, srt, verbose_json, vtt" in words
    assert (await refusal(service, recording(stream="true", response_format="srt")))[:2] == (
        400,
        "response_format",
    )
    assert (await refusal(service, recording(stream="true"), "/v1/audio/translations"))[:2] == (501, "stream")
    assert (await refusal(service, recording(model="nobody's")))[:2] == (404, "model")
    assert (await refusal(service, recording(provider="Nobody")))[:2] == (404, "provider")
    assert (await refusal(service, recording(prompt="x" * 70_000)))[:2] == (400, "prompt")
    assert (await refusal(service, recording(many=["x"] * 40)))[0] == 400
    async with service.http.post(service.url + PATH, json={"file": "x"}) as answer:
        assert answer.status == 415
    assert len(upstream.requests) == asked
    assert await last(service, 0) == []


async def test_a_recording_over_the_limit_is_refused_with_the_limit(
    tmp_path: Path, upstream: Upstream
) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_SPEECH_RECORDING_LIMIT="1000") as service:
        status, _, words = await refusal(service, recording(b"x" * 1001, model="small"))
        assert status == 413
        assert "1000 bytes (speech.recording_limit)" in words
        assert (await sent(service, recording(b"x" * 1000, model="small")))[0] == 200


async def test_limits_hold_for_recordings_too(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_LIMITS_REQUESTS_PER_MINUTE="1") as service:
        assert (await sent(service, recording(model="small")))[0] == 200
        assert (await refusal(service, recording(model="small")))[0] == 429


async def test_a_name_that_would_break_the_form_does_not(service: Service, upstream: Upstream) -> None:
    await sent(service, recording(name='..%2f"\u00e9%0d%0aX-Evil: 1; name=x.wav', model="small"))
    ((name, _, data),) = upstream.requests[-1].body["file"]
    assert data == SOUND
    assert not set(name) & set('"\r\n/')


async def test_nobody_who_can_is_a_503(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        assert (await refusal(service, recording()))[0] == 503
