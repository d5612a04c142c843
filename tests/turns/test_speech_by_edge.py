"""Speech by edge, and by whoever stands in for it: over a server that speaks its protocol."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import edge_tts.communicate
import pytest

from tests.edge_server import EdgeServer, edge_server
from tests.serving import Service, serving
from tests.turns.spoken import MORNING, V2, counted, made, say, speech, spoken_records
from tests.upstream import until

RUSSIAN = "Доброе утро, Ада. Сегодня хорошая погода, и чайник уже стоит на плите."
ORDER = {"CAUSERIE_SPEECH_ORDER": "edge,local", "CAUSERIE_SPEECH_FIRST_SOUND_TIMEOUT": "1"}


@pytest.fixture
async def edge(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[EdgeServer, None]:
    async with edge_server(monkeypatch) as server:
        yield server


@pytest.fixture
async def service(edge: EdgeServer, tmp_path: Path) -> AsyncGenerator[Service, None]:
    async with serving(tmp_path, **ORDER) as service:
        yield service


async def test_edge_is_asked_first(service: Service, edge: EdgeServer) -> None:
    english, russian = await say(service), await say(service, RUSSIAN)
    assert (english.headers["x-speaker"], english.headers["x-voice"][:2]) == ("edge", "en")
    assert (russian.headers["x-speaker"], russian.headers["x-voice"][:2]) == ("edge", "ru")
    assert "x-fallback-from" not in english.headers
    assert english.seconds == pytest.approx(0.288 * len(MORNING.split()), abs=0.2)
    assert edge.texts == [MORNING, RUSSIAN]
    assert (await say(service)).headers["content-length"] == str(len(english.body))
    assert len(edge.texts) == 2
    russian_record, english_record = (await spoken_records(service, 3))[1:]
    assert (english_record["provider"], english_record["price"]) == ("edge", "local")
    assert english_record["seconds"] == pytest.approx(english.seconds, abs=0.1)
    assert russian_record["characters"] == len(RUSSIAN)


async def test_openais_voices_are_others_of_edges_by_gender(service: Service) -> None:
    alloy, onyx = [(await speech(service, voice=name)).headers["x-voice"] for name in ("alloy", "onyx")]
    assert (alloy, onyx) == ("en-US-EmmaMultilingualNeural", "en-US-AndrewNeural")


async def test_the_manner_reaches_edge(service: Service, edge: EdgeServer) -> None:
    await say(service, rate="+20%", volume="0.5", pitch="1.1")
    assert "rate='+20%'" in edge.prosody[0]
    assert "volume='-50%'" in edge.prosody[0]


@pytest.mark.parametrize(
    ("refusals", "error"), [([403, 403], "speaker_refused"), ([503], "speaker_overloaded")]
)
async def test_where_edge_refuses_the_voice_of_the_language_speaks(
    refusals: list[int], error: str, service: Service, edge: EdgeServer
) -> None:
    edge.refusals = refusals
    async with asyncio.timeout(5):
        answer = await say(service, "Guten Morgen, Ada. Das ist ein schöner Tag.")
    assert (answer.status, answer.headers["x-voice"]) == (200, "de-DE")
    assert answer.headers["x-fallback-from"] == "edge"
    attempts = await counted(service, "llm_attempts")
    assert attempts[f'outcome="{error}",provider="speaker:edge"'] == 1


async def test_where_edge_cannot_be_reached_only_the_first_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edge: EdgeServer
) -> None:
    edge.silent = True
    async with serving(tmp_path, **ORDER) as service:
        clock = asyncio.get_running_loop().time
        began = clock()
        assert (await say(service)).headers["x-fallback-from"] == "edge"
        waited = clock() - began
        assert waited < 5
        began = clock()
        for number in range(5):
            answer = await say(service, f"Good morning, number {number}.")
            assert answer.headers["x-fallback-from"] == "edge"
        assert clock() - began < waited * 5
        assert len(edge.texts) == 1
        state = await service.http.get(f"{service.url}/metrics")
        assert 'provider_circuit_state{provider="speaker:edge"} 2.0' in await state.text()
    monkeypatch.setattr(edge_tts.communicate, "WSS_URL", "ws://127.0.0.1:9/speech?x=y")
    async with serving(tmp_path, **ORDER, CAUSERIE_SPEECH_CACHE_SIZE="0") as service:
        async with asyncio.timeout(5):
            assert (await say(service)).headers["x-fallback-from"] == "edge"


async def test_where_nobody_else_speaks_it_the_reason_is_told(service: Service, edge: EdgeServer) -> None:
    edge.refusals = [503]
    answer = await say(service, RUSSIAN)
    assert answer.status == 503
    assert b"Microsoft Edge" in answer.body
    assert b"Nobody else here can speak ru now" in answer.body
    assert (await say(service, RUSSIAN)).status == 200, "it is the only one, so it is asked again"


async def test_what_edge_breaks_off_is_no_whole(service: Service, edge: EdgeServer, tmp_path: Path) -> None:
    edge.cut_after = 2
    url = f"{service.url}{V2}/synthesize/edge"
    async with service.http.get(url, params={"text": MORNING * 5}) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    (record,) = await spoken_records(service, 1)
    assert (record["ending"], record["error"]) == ("failed", "CutOff")
    assert list((tmp_path / "state/voices").iterdir()) == []


async def test_who_leaves_closes_the_connection_to_edge(service: Service, edge: EdgeServer) -> None:
    edge.gate, edge.gated_from = asyncio.Event(), 2
    async with service.http.post(f"{service.url}/v1/audio/speech", json={"input": MORNING * 5}) as answer:
        await answer.content.readexactly(100)
        assert edge.open == 1
        answer.close()
    await until(lambda: not edge.open, 1)
    assert (await spoken_records(service, 1))[0]["ending"] == "abandoned"


async def test_the_first_sentence_sounds_while_the_next_is_made(service: Service, edge: EdgeServer) -> None:
    edge.gate, edge.gated_from = asyncio.Event(), 2
    async with service.http.get(f"{service.url}{V2}/synthesize/edge", params={"text": MORNING * 5}) as answer:
        assert len(await answer.content.readexactly(1000)) == 1000
        edge.gate.set()
        assert len(await answer.read()) > 5000


async def test_more_than_edge_may_speak_at_once_are_spoken_all_the_same(
    service: Service, edge: EdgeServer
) -> None:
    answers = await asyncio.gather(*(say(service, f"Good morning, number {number}.") for number in range(12)))
    assert {answer.status for answer in answers} == {200}
    assert edge.most_open <= 3
    assert (await made(service))["made"] == sum(len(f"Good morning, number {n}.") for n in range(12))


async def test_who_finds_no_place_at_edge_does_not_take_it_for_ill(
    service: Service, edge: EdgeServer
) -> None:
    edge.gate, edge.gated_from = asyncio.Event(), 1
    held = [
        asyncio.ensure_future(say(service, f"Held, number {number}."))  # noqa: TID251
        for number in range(3)
    ]
    await until(lambda: edge.open == 3)
    assert (await say(service, "No place for this.")).headers["x-fallback-from"] == "edge"
    edge.gate.set()
    await asyncio.gather(*held)
    assert (await say(service, "Is there a place now?")).headers["x-speaker"] == "edge"


async def test_the_voices_of_both_are_listed(service: Service) -> None:
    found = (await service.get("/v1/audio/voices"))["voices"]
    assert {voice["speaker"] for voice in found} == {"edge", "local"}
    assert found[0]["speaker"] == "edge"
    named = await service.get("/v1/audio/voices?speaker=edge&language=ru")
    assert [voice["id"] for voice in named["voices"]] == ["ru-RU-DmitryNeural"]
    assert (await say(service, RUSSIAN, voice="ru-ru-dmitryneural")).headers[
        "x-voice"
    ] == "ru-RU-DmitryNeural"


@pytest.mark.parametrize("format", ["srt", "vtt"])
async def test_subtitles_have_the_times_that_edge_tells(format: str, service: Service) -> None:
    titles = await say(service, "Good morning, Ada. The kettle is on.", format=format)
    text = titles.body.decode().replace(",", ".") if format == "srt" else titles.body.decode()
    assert "00:00:00.000 --> 00:00:00.864" in text
    if format == "vtt":
        assert "Good <00:00:00.288>morning, <00:00:00.576>Ada." in text
