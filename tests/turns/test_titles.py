"""A new conversation gets a title after its first answer; it costs nobody time, nor money unasked."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.schema import records
from service.turns.titles import LONGEST, shortened, tidy
from tests.conftest import ROW
from tests.serving import Json, Service, events, kinds, serving, text
from tests.upstream import Done, Finish, Gate, Say, Silent, Status, Step, Upstream, Usage, until

ANSWER = (Say("Boil it for "), Say("ten minutes."), Usage(), Finish(), Done())
TITLE = (Say('**Title: "Boiling an egg".**'), Usage(), Finish(), Done())


@pytest.fixture
async def titling(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Service, None]:
    async with serving(
        tmp_path,
        ROW.format(url=upstream.url),
        CAUSERIE_CHATS_TITLES="local",
        CAUSERIE_CHATS_TITLE_TIMEOUT="0.5",
    ) as service:
        yield service


def title(answer: list[Json]) -> list[str]:
    return [event["title"] for event in answer if event["type"] == "title"]


async def books(service: Service, count: int) -> dict[str, Json]:
    """The ledger's rows by their kinds, once all are settled."""
    rows: list[Json] = []

    async def settled() -> bool:
        nonlocal rows
        rows = [dict(row) for row in await service.context.database.read(select(records))]
        return len(rows) == count and all(row["ending"] for row in rows)

    for _ in range(1000):
        if await settled():
            break
        await asyncio.sleep(0.01)
    assert len(rows) == count
    return {row["kind"]: row for row in rows}


async def test_the_model_that_answered_gives_the_title(titling: Service, upstream: Upstream) -> None:
    upstream.enqueue(ANSWER, TITLE)
    answer = await titling.ask("How long does an egg take?", conversation_id="c1", model="small")
    assert kinds(answer) == ["provider", "content", "finish", "title", "usage"]
    assert (title(answer), text(answer)) == (["Boiling an egg"], "Boil it for ten minutes.")
    asked = upstream.requests[-1].body["messages"][-1]["content"]
    assert "How long does an egg take?" in asked
    assert "Boil it for ten minutes." in asked


async def test_it_is_in_the_books_under_its_own_kind(titling: Service, upstream: Upstream) -> None:
    upstream.enqueue(ANSWER, TITLE)
    await titling.ask(conversation_id="c1")
    kept = await books(titling, 2)
    for kind, bill in zip(("turn", "title"), upstream.bill, strict=True):
        assert (kept[kind]["prompt_tokens"], kept[kind]["completion_tokens"]) == bill
        assert kept[kind]["ending"] == "done"
    assert kept["title"]["request_id"] == kept["turn"]["request_id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"conversation_id": None},
        {"conversation_id": "c1", "action": "variant"},
        {
            "conversation_id": "c1",
            "messages": [
                {"role": "user", "content": "One"},
                {"role": "assistant", "content": "Two"},
                {"role": "user", "content": "Three"},
            ],
        },
    ],
)
async def test_only_what_begins_a_kept_conversation_gets_one(
    titling: Service, upstream: Upstream, body: Json
) -> None:
    assert title(await titling.ask(**body)) == []
    assert len(upstream.bill) == 1


@pytest.mark.parametrize(
    "failing",
    [
        (Status(500),),
        (Finish(), Done()),
        (Say(" **\n"), Finish(), Done()),
        (Gate(asyncio.Event()),),
        (Say("Half a ti"), Gate(asyncio.Event())),
    ],
    ids=["refused", "empty", "nothing but marks", "silent", "too slow"],
)
async def test_without_one_in_time_it_is_the_question(
    titling: Service, upstream: Upstream, failing: tuple[Step, ...]
) -> None:
    upstream.enqueue(ANSWER, failing)
    answer = await titling.ask("How long does\nan egg take?", conversation_id="c1", provider="Upstream")
    assert title(answer) == ["How long does an egg take?"]
    assert kinds(answer)[-1] == "usage"
    assert (await books(titling, 2))["turn"]["ending"] == "done"


async def test_an_answer_that_failed_gets_none(titling: Service, upstream: Upstream) -> None:
    upstream.enqueue((Status(400),))
    assert kinds(await titling.ask(conversation_id="c1", provider="Upstream")) == ["provider", "error"]
    assert len(upstream.bill) == 1


async def test_who_leaves_before_the_title_had_the_whole_answer(tmp_path: Path, upstream: Upstream) -> None:
    upstream.enqueue(ANSWER, (Silent(),))
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_CHATS_TITLES="local") as service:
        async with service.asking(conversation_id="c1") as answer:
            id = answer.headers["X-Turn-Id"]
            await answer.content.readuntil(b'"finish"')
            await until(
                lambda: len(upstream.requests) > 1 and upstream.requests[-1].path.endswith("completions")
            )
        kept = await books(service, 2)
        assert (kept["turn"]["ending"], kept["title"]["ending"]) == ("done", "stopped")
        await until(lambda: upstream.aborted)
        async with service.http.get(f"{service.url}/backend-api/v2/turns/{id}") as again:
            assert title(events(await again.read())) == ["Hello"]


async def test_nobody_pays_for_a_title_unasked(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url).replace("local = true", 'key = "UPSTREAM_KEY"')
    for mode, expected in (("local", []), ("always", ["Boiling an egg"]), ("off", [])):
        upstream.enqueue(ANSWER, *([TITLE] if expected else []))
        (directory := tmp_path / mode).mkdir()
        async with serving(directory, row, UPSTREAM_KEY="k", CAUSERIE_CHATS_TITLES=mode) as service:
            answer = await service.ask(conversation_id="c1", provider="Upstream")
            assert (text(answer), title(answer)) == ("Boil it for ten minutes.", expected)


async def test_one_place_is_enough_for_a_turn_and_its_title(tmp_path: Path, upstream: Upstream) -> None:
    upstream.enqueue(ANSWER, TITLE)
    async with serving(
        tmp_path,
        ROW.format(url=upstream.url),
        CAUSERIE_CHATS_TITLES="local",
        CAUSERIE_LIMITS_TURNS_AT_ONCE="1",
    ) as service:
        assert title(await service.ask(conversation_id="c1")) == ["Boiling an egg"]
        upstream.enqueue(ANSWER, TITLE)
        assert title(await service.ask(conversation_id="c2")) == ["Boiling an egg"]


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Boiling an egg", "Boiling an egg"),
        ("# Boiling an egg\n\nIt is about eggs.", "Boiling an egg"),
        ('Title: "Boiling an egg."', "Boiling an egg"),
        ("Название: «Варка яйца»", "Варка яйца"),
        ("煮鸡蛋", "煮鸡蛋"),
        ("\n \n", ""),
    ],
)
def test_a_title_is_tidy(said: str, title: str) -> None:
    assert tidy(said) == title


def test_a_title_is_short() -> None:
    assert shortened("word " * 30) == "word " * 10 + "word…"
    assert len(shortened("x" * 500)) == LONGEST
