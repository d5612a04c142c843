"""Speech that an operator can rely on: made once, stopped when left, stood in for, in the books."""

import asyncio
import math
import os
import signal
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from service.messages import Allowed
from service.speakers.embedded import Embedded
from service.stores.keys import Grant
from service.turns.recital import Recital
from tests.access import bearer
from tests.serving import Service, serving
from tests.turns.spoken import MORNING, V2, counted, made, say, speech, spoken_records
from tests.upstream import Gate, Header, Raw, Reset, Silent, Status, Step, Upstream, until

PATH = "/v1/audio/speech"
STUDIO = """
[speech]
first_sound_timeout = 1.0
idle_timeout = 1.0

[[speakers]]
name = "Studio"
label = "The studio"
url = "{url}"
"""
LOCAL = STUDIO + "local = true\n"
PRICED = STUDIO + 'key = "STUDIO_KEY"\nprice = 15.0\n'
KEY = "sk-studio-canary"


def tone(seconds: float = 1.0) -> bytes:
    """Samples as OpenAI sends them: 24 000 a second."""
    count = int(seconds * 24_000)
    return struct.pack(f"<{count}h", *(int(8000 * math.sin(index / 10)) for index in range(count)))


def sentences(count: int) -> str:
    return " ".join(f"This is the sentence with the number {number}." for number in range(1, count + 1))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """The voice on this machine alone."""
    async with serving(tmp_path) as service:
        yield service


@asynccontextmanager
async def studio(
    folder: Path, upstream: Upstream, row: str = LOCAL, order: str = "Studio,local", **variables: str
) -> AsyncGenerator[Service, None]:
    """With an upstream that speaks, and before the voice on this machine."""
    async with serving(
        folder, row.format(url=upstream.url), CAUSERIE_SPEECH_ORDER=order, **variables
    ) as service:
        yield service


def samples(*steps: Step) -> list[Step]:
    return [Header("Content-Type", "audio/pcm"), *steps]


def asked(upstream: Upstream) -> int:
    """How often the studio was."""
    return len([request for request in upstream.requests if request.path == PATH])


def running(service: Service) -> list[Recital]:
    return [recital for recitals in service.context.speech.running.values() for recital in recitals]


# Once for all


async def test_the_same_text_at_the_same_moment_is_made_once(service: Service) -> None:
    answers = await asyncio.gather(*(say(service, sentences(10)) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.rest for answer in answers}) == 1
    assert answers[0].seconds > 10
    length = len(sentences(10))
    assert await made(service) == {"made": length, "shared": 7 * length}
    records = await spoken_records(service, 8)
    assert sorted(record["attempts"] for record in records) == [0] * 7 + [1]


async def test_who_comes_late_hears_it_from_the_beginning(service: Service) -> None:
    url, parameters = f"{service.url}{V2}/synthesize/local", {"text": sentences(40)}
    async with service.http.get(url, params=parameters) as first:
        beginning = await first.content.readexactly(2000)
        late = await say(service, sentences(40))
        assert (beginning + await first.read())[512:] == late.rest
    assert set(await made(service)) == {"made", "shared"}


async def test_subtitles_wait_for_the_sound_that_is_being_made(service: Service) -> None:
    sound, titles = await asyncio.gather(
        say(service, sentences(10), format="wav"), say(service, sentences(10), format="vtt")
    )
    assert titles.body.count(b"-->") == 10
    assert sound.seconds > 10
    assert set(await made(service)) == {"made", "shared"}


async def test_everybody_hears_what_was_made_for_him(tmp_path: Path) -> None:
    for shared, sources in (("false", {"made"}), ("true", {"made", "kept"})):
        folder = tmp_path / shared
        folder.mkdir()
        async with serving(folder, CAUSERIE_SPEECH_SHARED_CACHE=shared) as service:
            ada, bob = await say(service, user="ada"), await say(service, user="bob")
            assert ada.seconds == pytest.approx(bob.seconds, abs=0.3)
            assert set(await made(service)) == sources
            assert (
                bob.headers["cache-control"]
                == {
                    "false": "private, max-age=604800",
                    "true": "max-age=604800",
                }[shared]
            )
            names = {path.name for path in (folder / "state/voices").iterdir()}
            assert len(names) == {"false": 4, "true": 2}[shared]
            assert not [name for name in names if "ada" in name or "local" in name]


async def test_what_is_kept_outlives_a_restart_and_has_a_bound(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        first = await say(service)
    async with serving(tmp_path) as service:
        assert (await say(service)).rest == first.rest
        assert set(await made(service)) == {"kept"}
    async with serving(tmp_path, CAUSERIE_SPEECH_CACHE_SIZE="0") as service:
        for _ in range(2):
            assert (await say(service)).seconds == pytest.approx(first.seconds, abs=0.1)
        assert set(await made(service)) == {"made"}
        assert list((tmp_path / "state/voices").iterdir()) == []


async def test_what_was_spoken_for_somebody_is_forgotten_with_him(service: Service, tmp_path: Path) -> None:
    await say(service, user="ada")
    await say(service, user="bob")
    async with service.http.delete(f"{service.url}{V2}/persons/ada") as answer:
        assert answer.status == 200
    assert len(list((tmp_path / "state/voices").iterdir())) == 2
    await say(service, user="bob")
    assert (await made(service))["kept"] == len(MORNING)


# Who leaves


async def test_who_leaves_stops_the_work(service: Service, tmp_path: Path) -> None:
    url = f"{service.url}{PATH}"
    async with service.http.post(url, json={"input": sentences(800)}) as answer:
        await answer.content.readexactly(1000)
        answer.close()
    await until(lambda: not running(service), 1)
    assert list((tmp_path / "state/voices").iterdir()) == []
    (record,) = await spoken_records(service, 1)
    assert (record["ending"], record["characters"]) == ("abandoned", len(sentences(800)))
    assert 0 < record["seconds"] < 600
    assert (await say(service)).status == 200


async def test_who_leaves_takes_it_from_nobody_else(service: Service) -> None:
    url, text = f"{service.url}{PATH}", sentences(40)
    async with service.http.post(url, json={"input": text}) as leaving:
        await leaving.content.readexactly(1000)
        staying = asyncio.ensure_future(speech(service, text))  # noqa: TID251
        await until(lambda: [recital.listeners for recital in running(service)] == [2])
        leaving.close()
        assert (await staying).seconds > 60
    endings = {record["ending"] for record in await spoken_records(service, 2)}
    assert endings == {"done", "abandoned"}


async def test_of_twenty_at_once_those_who_stay_hear_everything(service: Service) -> None:
    texts = [f"{number}. {sentences(30)}" for number in range(20)]

    async def left(text: str) -> None:
        async with service.http.post(f"{service.url}{PATH}", json={"input": text}) as answer:
            await answer.content.readexactly(500)
            answer.close()

    leaving = [left(text) for text in texts[::2]]
    *answers, _ = await asyncio.gather(*(speech(service, text) for text in texts[1::2]), *leaving)
    heard = [answer for answer in answers if answer is not None]
    assert len(heard) == 10
    assert all(answer.status == 200 and answer.seconds > 45 for answer in heard)
    await until(lambda: not running(service), 1)
    records = await spoken_records(service, 20)
    endings = [record["ending"] for record in records]
    assert (endings.count("done"), endings.count("abandoned")) == (10, 10)
    assert {record["characters"] for record in records} == {len(text) for text in texts}


async def test_a_reader_that_does_not_read_loses_his_connection_and_nobody_elses(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_STREAM_WRITE_TIMEOUT="0.3") as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
        body = b'{"input": "%b", "response_format": "wav"}' % sentences(300).encode()
        head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % (
            PATH.encode(),
            len(body),
        )
        writer.write(head + body)
        await reader.readexactly(100)
        assert (await spoken_records(service, 1))[0]["ending"] == "abandoned"
        assert not running(service)
        writer.transport.abort()


# What fails


async def test_an_engine_that_dies_costs_one_answer_and_that_is_seen(service: Service) -> None:
    async with service.http.post(f"{service.url}{PATH}", json={"input": sentences(400)}) as answer:
        await answer.content.readexactly(1000)
        local = next(iter(service.context.speech.company))
        assert isinstance(local, Embedded)
        while running(service):  # one that dies between two sentences is replaced, and nobody hears it
            for pid in local.workers.pids:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    (record,) = await spoken_records(service, 1)
    assert (record["ending"], record["error"]) == ("failed", "Crashed")
    assert (await say(service)).seconds > 2
    assert (await made(service)).get("kept") is None


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([Status(403)], "speaker_refused"),
        ([Status(503, headers={"Retry-After": "30"})], "speaker_overloaded"),
        ([Status(500)], "speaker_failed"),
        (samples(Status(200, b"")), "speaker_mute"),
        ([Reset()], "speaker_unreachable"),
        ([Silent()], "speaker_unreachable"),
        (samples(Raw(b""), Silent()), "speaker_unreachable"),
        (samples(Raw(b""), Reset()), "speaker_cut_off"),
    ],
    ids=["403", "503", "500", "nothing", "reset", "silence", "silence after the head", "cut before a sound"],
)
async def test_before_the_first_sound_another_speaker_stands_in(
    steps: list[Step], error: str, tmp_path: Path, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script_at(PATH, *steps)
    async with studio(tmp_path, upstream, LOCAL) as service:
        async with asyncio.timeout(5):
            answer = await say(service)
        assert (answer.status, answer.headers["x-speaker"]) == (200, "local")
        assert answer.headers["x-fallback-from"] == "Studio"
        assert answer.headers["cache-control"] == "private, max-age=60"
        assert answer.seconds > 2
        assert "Studio did not speak" in caplog.text
        attempts = await counted(service, "llm_attempts")
        assert attempts[f'outcome="{error}",provider="speaker:Studio"'] == 1
        assert await counted(service, "speech_fallbacks") == {'by="local",speaker="Studio"': 1}
        # It is left out for a while: nobody waits for it again.
        assert (await say(service, "Another text.")).headers["x-fallback-from"] == "Studio"
        assert asked(upstream) == (2 if error == "speaker_mute" else 1)
        first, second = (await spoken_records(service, 2))[::-1]
        assert (first["provider"], first["attempts"], second["attempts"]) == ("local", 2, asked(upstream))


async def test_a_speaker_that_has_recovered_is_asked_again(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, Status(503))
    row = LOCAL.replace("[speech]", "[speech]\ncool_down = 0.2")
    async with studio(tmp_path, upstream, row) as service:
        assert (await say(service)).headers["x-speaker"] == "local"
        upstream.script_at(PATH, *samples(Status(200, tone())))
        await asyncio.sleep(0.25)
        answer = await say(service)
        assert (answer.headers["x-speaker"], "x-fallback-from" in answer.headers) == ("Studio", False)
        assert answer.seconds == pytest.approx(1, abs=0.1)
        # While it was away it had spoken nothing; from now on its recording is the one that is played.
        assert (await say(service)).headers["x-speaker"] == "Studio"


@pytest.mark.parametrize("step", [Reset(), Silent()], ids=["reset", "silence"])
async def test_what_fails_in_the_middle_is_no_whole(step: Step, tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, *samples(Raw(tone(5)), step))
    async with studio(tmp_path, upstream, LOCAL) as service:
        async with service.http.get(f"{service.url}{V2}/synthesize/Studio?text=Hello") as answer:
            assert (answer.status, answer.headers["X-Speaker"]) == (200, "Studio")
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        (record,) = await spoken_records(service, 1)
        assert (record["ending"], record["error"]) == ("failed", "CutOff")
        assert 0 < record["seconds"] <= 5
        assert list((tmp_path / "state/voices").iterdir()) == []


async def test_where_nobody_can_it_is_told_what_everybody_said(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, Status(503))
    async with studio(tmp_path, upstream, order="Studio") as service:
        answer = await say(service)
        assert answer.status == 503
        assert b"The studio cannot speak now" in answer.body
        (record,) = await spoken_records(service, 1)
        assert (record["ending"], record["error"], record["cost_usd"]) == ("failed", "Overloaded", 0)


async def test_who_has_chosen_a_speaker_on_this_machine_stays_on_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    row = LOCAL.replace("local = true", 'key = "STUDIO_KEY"')
    async with studio(tmp_path, upstream, row, STUDIO_KEY=KEY) as service:
        for query in ({"speaker": "local"}, {"voice": "it-IT"}):
            assert (await say(service, **query)).headers["x-speaker"] == "local"
        assert (await say(service, "Доброе утро, Ада. Как дела?", speaker="local")).status == 503
        assert not asked(upstream)


# A row


async def test_a_row_speaks(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, *samples(Status(200, tone(2))))
    row = PRICED + 'model = "sonic-1"\nvoices = ["nova", "sol"]\nlanguages = ["en", "ru"]\n'
    async with studio(tmp_path, upstream, row, STUDIO_KEY=KEY) as service:
        answer = await speech(service, "Good morning, **Ada**.", voice="SOL", speed=1.5)
        assert (answer.status, answer.headers["x-voice"]) == (200, "sol")
        assert answer.seconds == pytest.approx(2, abs=0.1)
        request = upstream.requests[-1]
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.body == {
            "model": "sonic-1",
            "input": "Good morning, Ada.",
            "voice": "sol",
            "response_format": "pcm",
            "speed": 1.5,
        }
        assert (await say(service, "Доброе утро, Ада. Как дела?")).headers["x-voice"] == "nova"
        german = await say(service, "Guten Morgen, liebe Ada. Wie geht es dir?")
        assert (german.headers["x-speaker"], "x-fallback-from" in german.headers) == ("local", False)
        listed = (await service.get("/v1/audio/voices?speaker=Studio"))["voices"]
        assert [voice["id"] for voice in listed] == ["nova", "sol"]


async def test_what_a_row_takes_is_in_the_books(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, *samples(Status(200, tone(2))))
    async with studio(tmp_path, upstream, PRICED, STUDIO_KEY=KEY) as service:
        for _ in range(2):
            assert (await say(service, voice="onyx")).headers["x-voice"] == "onyx"
        await say(service, speaker="local")
        local, kept, first = await spoken_records(service, 3)
        assert (first["provider"], first["model"], first["ending"]) == ("Studio", "onyx", "done")
        assert (first["characters"], first["seconds"]) == (len(MORNING), pytest.approx(2, abs=0.05))
        assert (first["cost_usd"], first["price"]) == (pytest.approx(len(MORNING) * 15e-6), "settings")
        assert (kept["cost_usd"], kept["price"], kept["attempts"]) == (0, None, 0)
        assert (kept["characters"], kept["seconds"]) == (first["characters"], first["seconds"])
        assert (local["cost_usd"], local["price"], local["kind"]) == (0, "local", "speech")
        stats = (await service.get(f"{V2}/stats"))["totals"]
        assert (stats["requests"], stats["total_tokens"], stats["unpriced"]) == (3, 0, 0)
        assert stats["cost_usd"] == pytest.approx(first["cost_usd"])


async def test_who_leaves_before_the_first_sound_has_been_charged_for_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script_at(PATH, Silent())
    row = PRICED.replace("first_sound_timeout = 1.0", "first_sound_timeout = 60.0")
    async with studio(tmp_path, upstream, row, STUDIO_KEY=KEY) as service:
        with pytest.raises(TimeoutError):
            await service.http.post(
                f"{service.url}{PATH}", json={"input": MORNING}, timeout=aiohttp.ClientTimeout(total=0.3)
            )
        await until(lambda: upstream.aborted)
        (record,) = await spoken_records(service, 1)
        assert (record["ending"], record["provider"], record["attempts"]) == ("abandoned", "Studio", 1)
        assert record["cost_usd"] == pytest.approx(len(MORNING) * 15e-6)


async def test_a_row_without_a_price_is_counted_as_such(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, *samples(Status(200, tone())))
    row = PRICED.replace("price = 15.0\n", "")
    async with studio(tmp_path, upstream, row, STUDIO_KEY=KEY) as service:
        await say(service)
        (record,) = await spoken_records(service, 1)
        assert (record["cost_usd"], record["price"]) == (None, "unpriced")


async def test_a_budget_holds_for_speech_too(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, *samples(Status(200, tone())))
    row = PRICED.replace("[speech]", "limits.budget_day = 0.002\n[speech]")
    async with studio(tmp_path, upstream, row, STUDIO_KEY=KEY) as service:
        for _ in range(2):
            assert (await say(service, sentences(2))).status == 200
        answer = await say(service, sentences(3))
        assert answer.status == 429
        assert b"insufficient_quota" in answer.body
        assert asked(upstream) == 1


async def test_a_key_of_the_row_is_needed_and_never_told(tmp_path: Path, upstream: Upstream) -> None:
    async with studio(tmp_path, upstream, PRICED, "Studio") as service:
        answer = await say(service)
        assert answer.status == 503
        assert b"STUDIO_KEY" in answer.body
    upstream.script_at(PATH, Status(401, {"error": {"message": f"Wrong key {KEY}"}}))
    async with studio(tmp_path, upstream, PRICED, "Studio", STUDIO_KEY=KEY) as service:
        answer = await say(service)
        assert (answer.status, KEY.encode() in answer.body) == (503, False)


async def test_a_key_that_is_not_for_a_row_does_not_reach_it(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at(PATH, *samples(Status(200, tone())))
    async with studio(tmp_path, upstream, PRICED, STUDIO_KEY=KEY) as service:
        grant = Grant(allowed=Allowed(providers=frozenset({"OpenAI"})))
        _, text = await service.context.keys.create("ada", "user", grant=grant)
        url = f"{service.url}{V2}/synthesize"
        async with service.http.get(f"{url}/default?text=Hello+Ada", headers=bearer(text)) as answer:
            assert answer.headers["X-Speaker"] == "local"
        assert not asked(upstream)


# Limits


async def test_each_request_counts_for_the_limits(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_USER_LIMITS_REQUESTS_PER_MINUTE="2") as service:
        answers = [await say(service, user="ada") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
        assert "retry-after" in answers[2].headers
        assert (await say(service, user="bob")).status == 200
        assert len(await spoken_records(service, 3)) == 3


async def test_so_many_are_spoken_at_once_and_a_place_is_free_again(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_LIMITS_TURNS_AT_ONCE="1") as service:
        async with service.http.post(f"{service.url}{PATH}", json={"input": sentences(800)}) as answer:
            await answer.content.readexactly(1000)
            assert (await say(service)).status == 429
            answer.close()
        await spoken_records(service, 1)
        assert (await say(service)).status == 200


async def test_a_stop_of_the_service_waits_for_nobody_who_listens(tmp_path: Path, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script_at(PATH, *samples(Raw(tone()), Gate(gate)))
    row = LOCAL.replace("idle_timeout = 1.0", "idle_timeout = 60.0")
    async with aiohttp.ClientSession() as http:
        async with studio(tmp_path, upstream, row, CAUSERIE_SERVER_SHUTDOWN_TIMEOUT="0.2") as service:
            answer = await http.get(f"{service.url}{V2}/synthesize/Studio?text=Hello+Ada")
            assert answer.status == 200
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 5
        with pytest.raises((aiohttp.ClientPayloadError, ConnectionError)):
            await answer.read()
    assert list((tmp_path / "state/voices").iterdir()) == []
