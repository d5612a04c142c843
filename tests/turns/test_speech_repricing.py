"""`ledger reprice` of what was spoken: by its characters, and only whoever had it made."""

from pathlib import Path

from sqlalchemy import select

from service.stores.schema import records
from tests.serving import Json, serving
from tests.test_bookkeeping import HEAD, NOTHING, reprice
from tests.turns.spoken import MORNING, say
from tests.turns.test_speech import KEY, PATH, STUDIO, samples, tone
from tests.upstream import Raw, Upstream

ORDER = {"CAUSERIE_SPEECH_ORDER": "Studio,local", "STUDIO_KEY": KEY}


def settings(upstream: Upstream, price: float | None, *, local: bool = False) -> str:
    costs = "" if price is None else f"price = {price}\n"
    where = "local = true\n" if local else 'key = "STUDIO_KEY"\n'
    return STUDIO.format(url=upstream.url) + where + costs


async def spoken(folder: Path, upstream: Upstream, price: float | None) -> None:
    """Made once for pay, and played again; and once by the voice on this machine."""
    upstream.script_at(PATH, *samples(Raw(tone(0.2))))
    async with serving(folder, settings(upstream, price), **ORDER) as service:
        for speaker in ("Studio", "Studio", "local"):
            answer = await say(service, speaker=speaker)
            assert (answer.status, answer.headers["x-speaker"]) == (200, speaker)


async def costs(folder: Path, upstream: Upstream) -> list[Json]:
    async with serving(folder, settings(upstream, None), **ORDER) as service:
        lines = await service.records()
        rows = await service.context.database.read(select(records).where(records.c.corrects.is_not(None)))
        assert [row["price"] for row in rows] == ["settings"] * len(rows)
        return lines


async def test_speech_is_priced_by_its_characters(tmp_path: Path, upstream: Upstream) -> None:
    await spoken(tmp_path, upstream, None)
    dollars = 15 * len(MORNING) / 1_000_000
    told = await reprice(tmp_path, settings(upstream, 15), "--apply")
    assert (told[0].split(), told[1].split()[0]) == (HEAD.split(), "Studio")
    assert told[1].split()[2:] == ["1", "1", "0.000000", f"{dollars:.6f}"]
    assert told[2] == "1 record was corrected."
    assert await reprice(tmp_path, settings(upstream, 15), "--apply") == [NOTHING.strip()]
    found = [(line["provider"], line["cost_usd"], line["price"]) for line in await costs(tmp_path, upstream)]
    assert found == [("Studio", dollars, "settings"), ("Studio", 0.0, None), ("local", 0.0, "local")]


async def test_another_price_is_the_difference(tmp_path: Path, upstream: Upstream) -> None:
    await spoken(tmp_path, upstream, 15)
    assert await reprice(tmp_path, settings(upstream, 15)) == [NOTHING.strip()]
    await reprice(tmp_path, settings(upstream, 30), "--apply")
    first, *_ = await costs(tmp_path, upstream)
    assert first["cost_usd"] == 30 * len(MORNING) / 1_000_000


async def test_without_a_price_or_a_speaker_it_keeps_what_it_had(tmp_path: Path, upstream: Upstream) -> None:
    await spoken(tmp_path, upstream, 15)
    for today in ("", settings(upstream, None)):
        assert await reprice(tmp_path, today) == [NOTHING.strip()]
