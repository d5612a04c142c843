"""However turns end, each is in the books once, and what they say agrees with what the upstream bills."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp
import pytest
from sqlalchemy import select

from service.stores.schema import records
from tests.postgresql import Server, stopped
from tests.process import address, started
from tests.serving import CONVERSATION, Json
from tests.stores.opened import opened
from tests.upstream import (
    Answer,
    Cut,
    Done,
    ErrorChunk,
    Finish,
    Request,
    Say,
    Silent,
    Status,
    Step,
    Upstream,
    Usage,
    step,
)

TURNS = int(os.environ.get("TURNS", "400"))
KILLS = 2
NAMES = ("Patient", "Hasty")
PROMPT_WORDS = 150
CLIENTS = 25
JOURNALLED = 0.6
"""Seconds after which what was said outlives a kill, and after which refusals are written."""
AWAY = 1.0
"""Seconds for which the server of the database is away."""
CLOSE = 0.1
"""How far an estimate may be from the bill."""
PRICES = 'prices = { "*" = { prompt = 1, completion = 3 } }\n'
ROUTING = "[routing]\nfailures = 1_000_000\n"
ROW = """
[[providers]]
name = "{name}"
url = "{url}"
key = "UPSTREAM_KEY"
idle_timeout = {patience}
first_token_timeout = {patience}
"""


@dataclass(frozen=True)
class Fate:
    """What becomes of a turn: what the upstream does after its words, what the client does, how it ends."""

    ending: str
    after: Sequence[Step] = ()
    instead: Sequence[Step] = ()
    reported: bool = False
    client: str = "reads"
    provider: str = "Patient"


FATES = {
    "done": Fate("done", (Finish(), Done()), reported=True),
    "done without a count": Fate("done", (Finish(), Done())),
    "stopped": Fate("stopped", (Silent(),), client="stops"),
    "stopped when it was counted": Fate("stopped", (Silent(),), client="stops", reported=True),
    "abandoned": Fate("abandoned", (Silent(),), client="leaves"),
    "failed before its first word": Fate("failed", instead=(Status(500),)),
    "failed after it": Fate("failed", (Cut(),)),
    "failed when it was counted": Fate("failed", (ErrorChunk(),), reported=True),
    "timed out": Fate("timeout", (Silent(),), provider="Hasty"),
    "timed out before its first word": Fate("timeout", instead=(Silent(),), provider="Hasty"),
    "refused": Fate("refused"),
    "killed": Fate("interrupted", (Silent(),), client="stays"),
}


class Client(Protocol):
    """Does something with the service at this address."""

    async def ask(self, http: aiohttp.ClientSession, url: str) -> None: ...


@dataclass
class Told:
    """A turn as its client knows it; `word` stands in its prompt and nowhere else.

    `sent_away` is how often he was told to come back, as nothing could be written.
    """

    word: str
    fate: Fate
    length: int
    turn: str = ""
    sent_away: int = 0

    def __post_init__(self) -> None:
        self.all_read = asyncio.Event()

    async def ask(self, http: aiohttp.ClientSession, url: str) -> None:
        body = {
            "prompt": self.word + " abc" * PROMPT_WORDS,
            "model": "none" if self.fate.ending == "refused" else "small",
            "provider": self.fate.provider,
        }
        for _ in range(1_000):
            async with http.post(url + CONVERSATION, json=body) as answer:
                if answer.status != 507:
                    return await self._read(answer, http, url)
                self.sent_away += 1
            await asyncio.sleep(0.05)
        raise TimeoutError("Nothing can be written any more.")

    async def _read(self, answer: aiohttp.ClientResponse, http: aiohttp.ClientSession, url: str) -> None:
        if self.fate.ending == "refused":
            assert answer.status == 404
            return
        self.turn = answer.headers["X-Turn-Id"]
        if self.fate.client == "reads":
            await answer.read()
            return
        await self._read_words(answer)
        self.all_read.set()
        if self.fate.client == "stops":
            async with http.post(f"{url}/backend-api/v2/turns/{self.turn}/stop") as stopped:
                assert stopped.status == 200
        elif self.fate.client == "stays":
            with suppress(aiohttp.ClientError):
                await answer.read()

    def says(self) -> list[Step]:
        """The count comes before the last word: who has read that one knows that it has come."""
        count = [Usage(PROMPT_WORDS + 1, self.length)] if self.fate.reported else []
        return [*[Say(" abc")] * (self.length - 1), *count, Say(" abc")]

    async def _read_words(self, answer: aiohttp.ClientResponse) -> None:
        read = b""
        while read.count(b"event: content") < self.length:
            read += await answer.content.readany()


@dataclass
class Restart:
    """Who takes the database's server away for a moment, as a crash does, while the others ask."""

    server: Server

    async def ask(self, http: aiohttp.ClientSession, url: str) -> None:
        async with stopped(self.server):
            await asyncio.sleep(AWAY)
        for _ in range(1_000):
            async with http.get(f"{url}/health/ready") as ready:
                if ready.status == 200:
                    return
            await asyncio.sleep(0.02)
        raise TimeoutError("The service does not recover.")


def planned(plans: dict[str, Told]) -> Step:
    """Does to each request what its turn is to meet."""

    @step
    async def act(answer: Answer) -> None:
        told = plans[word_of(answer.request)]
        for each in told.fate.instead or (*told.says(), *told.fate.after):
            await each(answer)
            if answer.over:
                return

    return act()


def word_of(request: Request) -> str:
    """The first word of its prompt."""
    return str(request.body["messages"][-1]["content"]).split()[0]


class Place(NamedTuple):
    """An empty database, and who serves it, where somebody does."""

    url: str
    server: Server | None = None


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place, None]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/state/causerie.db")
        return
    server: Server = request.getfixturevalue("postgresql")
    async with server.database() as url:
        yield Place(url, server)


async def text(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as answer:
        return await answer.text()


async def ask_all(clients: Iterator[Client], http: aiohttp.ClientSession, url: str) -> None:
    for client in clients:
        await client.ask(http, url)


def leaving(turns: Sequence[Told], place: Place) -> Iterator[Client]:
    """Whoever is gone before the service is killed; in their midst the database is."""
    told: list[Client] = [told for told in turns if told.fate.client != "stays"]
    middle = len(told) // 2
    return iter([*told[:middle], *([Restart(place.server)] if place.server else []), *told[middle:]])


async def live(directory: Path, settings: dict[str, str], turns: Sequence[Told], place: Place) -> None:
    """A life of the service: it is asked all of them, some at a time, and killed when it can do no more."""
    staying = [told for told in turns if told.fate.client == "stays"]
    others = leaving(turns, place)
    async with (
        started(directory, **settings) as process,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.TaskGroup() as group,
    ):
        url = await address(process)
        for _ in range(500):  # without its list of models nothing is refused
            if all(["large" in await text(http, f"{url}/backend-api/v2/models/{name}") for name in NAMES]):
                break
            await asyncio.sleep(0.01)
        for told in staying:
            group.create_task(told.ask(http, url))
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(ask_all(others, http, url))
        for told in staying:
            await told.all_read.wait()
        for _ in range(500):
            if f"llm_streams_active {len(staying):.1f}\n" in await text(http, f"{url}/metrics"):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(JOURNALLED)
        process.kill()


async def test_every_turn_is_in_the_books_once_and_they_add_up(
    tmp_path: Path, upstream: Upstream, place: Place
) -> None:
    chance = random.Random(5)
    fates = [chance.choice(list(FATES.values())) for _ in range(TURNS)]
    plans = {f"turn{n:06}": Told(f"turn{n:06}", fate, chance.randint(1, 30)) for n, fate in enumerate(fates)}
    turns = list(plans.values())
    upstream.script(planned(plans))
    settings = written(tmp_path, upstream, place.url)
    for life in range(KILLS):
        await live(tmp_path, settings, turns[life::KILLS], place)
    async with started(tmp_path, **settings) as process:
        await address(process)
        process.terminate()
        await process.wait()
    async with opened(place.url) as database:
        rows = [dict(row) for row in await database.read(select(records))]
    assert any(told.sent_away for told in turns) == bool(place.server), "the restart was felt"
    check_rows(rows, turns)
    check_sums(rows, turns, upstream)


def written(directory: Path, upstream: Upstream, url: str) -> dict[str, str]:
    file = directory / "operator.toml"
    patience = {"Patient": 300, "Hasty": 1}
    rows = [ROW.format(name=name, url=upstream.url, patience=patience[name]) + PRICES for name in NAMES]
    file.write_text("".join([ROUTING, *rows]))
    return {
        "CAUSERIE_CONFIG": str(file),
        "CAUSERIE_SCRIPTED_ENABLED": "false",
        "CAUSERIE_DATABASE_URL": url,
        "UPSTREAM_KEY": "secret",
    }


def check_rows(rows: list[Json], turns: Sequence[Told]) -> None:
    """One for each turn, with its ending; those of who was refused are added up, by their reason."""
    refused: Counter[str] = Counter()
    for row in rows:
        if row["ending"] == "refused":
            refused[row["error"]] += row["times"]
    sent_away = refused.pop("StorageFull", 0)
    assert sent_away == sum(told.sent_away for told in turns)
    assert refused.total() == sum(told.fate.ending == "refused" for told in turns)
    begun = {told.turn: told for told in turns if told.turn}
    settled = [row for row in rows if row["ending"] != "refused"]
    assert Counter(row["id"] for row in settled) == Counter(begun.keys())
    assert {row["id"]: row["ending"] for row in settled} == {
        turn: told.fate.ending for turn, told in begun.items()
    }


def check_sums(rows: list[Json], turns: Sequence[Told], upstream: Upstream) -> None:
    """Equal to the bill where the upstream has told it; near it, and marked, where it has not."""
    asked = {
        word_of(request): request for request in upstream.requests if request.path.endswith("completions")
    }
    nothing = Request("POST", "", {}, None, 0)  # of who has timed out before he could ask
    billed = {told.turn: asked.get(told.word, nothing) for told in turns if told.turn}
    reported = {told.turn for told in turns if told.fate.reported}
    counted = [row for row in rows if row["usage_source"] == "provider"]
    assert {row["id"] for row in counted} == reported
    for row in counted:
        bill = billed[row["id"]]
        assert (row["prompt_tokens"], row["completion_tokens"]) == (
            bill.prompt_tokens,
            bill.completion_tokens,
        )
    estimated = [row for row in rows if row["usage_source"] == "estimate"]
    assert {row["id"] for row in estimated} == billed.keys() - reported
    for kind in ("prompt_tokens", "completion_tokens"):
        bill = sum(getattr(billed[row["id"]], kind) for row in estimated)
        assert sum(row[kind] for row in estimated) == pytest.approx(bill, rel=CLOSE)
    for row in [*counted, *estimated]:
        assert row["cost"] == row["prompt_tokens"] * 1_000 + row["completion_tokens"] * 3_000
