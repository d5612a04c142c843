"""Passages found by their meaning: a second ranking, which its owner pays for, and nobody with his answer."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from service.stores.passages import Passage
from service.stores.schema_passages import passage_vectors, passages
from service.turns import meanings
from service.turns.excerpts import fused
from tests.conftest import ROW
from tests.postgresql import Server
from tests.request import Json
from tests.serving import Service, kinds, serving
from tests.serving import text as text_of
from tests.turns.test_questions import V2, ask, handed, upload
from tests.upstream import Answer, Refusal, Stall, Status, Step, Upstream, step, until

MODEL = "embedder"
SETTING = f"Upstream/{MODEL}"
PATH = "/v1/embeddings"
SAME = ({"automobile", "car"}, {"cat", "кошка"}, {"physician", "doctor"})
"""What means the same to the model."""

PLANTED = {
    37: "An automobile stands at BERTH37.",
    91: "Кошка спит в комнате ROOM91.",
    150: "The physician is called DRFINCH.",
}
LONG = "\n\n".join(
    f"Chapter {number}. {PLANTED.get(number, 'Nothing of note.')} " + "filler " * 150 for number in range(200)
)


def meant(text: str) -> list[float]:
    """Far in the direction of what a text says, and a little in one of its own."""
    words = {word.strip(".,?!") for word in text.casefold().split()}
    digest = hashlib.sha256(text.encode()).digest()
    noise = [(byte - 127.5) / 1_280 for byte in digest]
    return [10.0 * bool(words & same) - 1 for same in SAME] + noise


@step
async def Mean(answer: Answer) -> None:
    """What these texts mean."""
    texts = answer.request.body["input"]
    answer.request.charge()
    data = [{"index": index, "embedding": meant(text)} for index, text in enumerate(texts)]
    answered: Json = {"data": data[::-1], "usage": {"prompt_tokens": answer.request.prompt_tokens}}
    answer.whole = lambda: answered


@pytest.fixture
def upstream_at_work(upstream: Upstream) -> Upstream:
    upstream.script_at(PATH, Mean())
    return upstream


def served(
    folder: Path, upstream: Upstream, model: str = SETTING, **variables: str
) -> AbstractAsyncContextManager[Service]:
    return serving(folder, ROW.format(url=upstream.url), CAUSERIE_FILES_EMBEDDINGS=model, **variables)


@pytest.fixture(params=["sqlite", "postgresql"])
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, upstream_at_work: Upstream
) -> AsyncIterator[Service]:
    if request.param == "sqlite":
        async with served(tmp_path, upstream_at_work) as service:
            yield service
        return
    server: Server = request.getfixturevalue("postgresql")
    async with (
        server.database() as url,
        served(tmp_path, upstream_at_work, CAUSERIE_DATABASE_URL=url) as service,
    ):
        yield service


async def counts(service: Service) -> tuple[int, int]:
    """Passages, and those that are embedded."""
    read = service.context.database.read
    tables = [select(func.count().label("count")).select_from(table) for table in (passages, passage_vectors)]
    first, second = [(await read(table))[0]["count"] for table in tables]
    return first, second


async def embedded(service: Service) -> None:
    """Returns when all passages are embedded."""
    for _ in range(1_000):
        there, known = await counts(service)
        if there == known > 0:
            return
        await until(lambda: True)
    raise TimeoutError


def asked(upstream: Upstream) -> list[int]:
    """How many texts each request for embeddings had."""
    return [len(request.body["input"]) for request in upstream.requests if request.path == PATH]


async def test_other_words_find_the_passage_that_means_it(
    service: Service, upstream_at_work: Upstream
) -> None:
    await upload(service, "a.md", LONG.encode())
    await embedded(service)
    for question, answer in (
        ("Which place has my car?", "BERTH37"),
        ("Чем занят мой cat?", "ROOM91"),
        ("What name has our doctor?", "DRFINCH"),
    ):
        said = await ask(service, question)
        assert answer in handed(upstream_at_work)
        assert "sources" in kinds(said)


async def test_without_the_setting_nobody_is_asked(tmp_path: Path, upstream_at_work: Upstream) -> None:
    async with served(tmp_path, upstream_at_work, "") as service:
        await upload(service, "a.md", LONG.encode())
        await ask(service, "Which place has my car?")
        assert "BERTH37" not in handed(upstream_at_work)
        assert not asked(upstream_at_work) and (await counts(service))[1] == 0


async def test_what_it_takes_is_in_the_ledger_of_whose_it_is(
    tmp_path: Path, upstream_at_work: Upstream
) -> None:
    async with served(tmp_path, upstream_at_work) as service:
        await upload(service, "a.md", LONG.encode())
        await embedded(service)
        await ask(service, "Which place has my car?")
        records = [record for record in await service.records() if record["kind"] == "embedding"]
        assert len(records) == len(asked(upstream_at_work)) > 2
        told = {(record["user"], record["provider"], record["model"], record["ending"]) for record in records}
        assert told == {("ann", "Upstream", MODEL, "done")}
        billed = sum(request.prompt_tokens for request in upstream_at_work.requests if request.path == PATH)
        assert sum(record["prompt_tokens"] for record in records) == billed > 1_000


async def test_a_model_that_does_not_answer_delays_few_questions_and_fails_none(
    tmp_path: Path, upstream_at_work: Upstream
) -> None:
    """One of 300 s would wait so long; after three that failed nobody asks it for a while."""
    patience = {"CAUSERIE_FILES_EMBEDDINGS_TIMEOUT": "0.2", "CAUSERIE_ROUTING_FAILURES": "3"}
    async with served(tmp_path, upstream_at_work, **patience) as service:
        await upload(service, "a.md", LONG.encode())
        await embedded(service)
        before = len(asked(upstream_at_work))
        upstream_at_work.script_at(PATH, Stall())
        for _ in range(5):
            said = await ask(service, "What is called DRFINCH?")
            assert text_of(said) == "Hello from the upstream." and "error" not in kinds(said)
            assert "DRFINCH" in handed(upstream_at_work)
        assert len(asked(upstream_at_work)) - before == 3


@pytest.mark.parametrize(
    "trouble",
    [Status(500), Refusal(401, "No.", "invalid_api_key"), Status(200, b"[]"), Status(200, b'{"data":[]}')],
)
async def test_a_model_that_fails_fails_no_question(
    tmp_path: Path, upstream: Upstream, trouble: Step
) -> None:
    upstream.script_at(PATH, trouble)
    async with served(tmp_path, upstream) as service:
        await upload(service, "a.md", LONG.encode())
        await until(lambda: asked(upstream))
        said = await ask(service, "What is called DRFINCH?")
        assert "error" not in kinds(said) and "DRFINCH" in handed(upstream)
        assert (await counts(service))[1] == 0


@pytest.mark.parametrize(
    ("trouble", "most"),
    [(Refusal(401, "No.", "invalid_api_key"), 1), (Status(500), 3), (Status(200, b"[]"), 3)],
)
async def test_what_does_not_pass_by_itself_is_not_asked_for_again_and_again(
    tmp_path: Path, upstream: Upstream, trouble: Step, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is refused is refused the next time; what may pass is tried until the circuit opens."""
    monkeypatch.setattr(meanings, "PAUSE_SECONDS", 0.01)
    upstream.script_at(PATH, trouble)
    async with served(tmp_path, upstream, CAUSERIE_ROUTING_FAILURES="3") as service:
        await upload(service, "a.md", LONG.encode())
        await until(lambda: len(asked(upstream)) == most)
        await asyncio.sleep(0.3)
        assert len(asked(upstream)) == most
        records = [record for record in await service.records() if record["kind"] == "embedding"]
        assert [record["ending"] for record in records] == ["failed"] * most


async def test_passages_that_it_refuses_are_left_to_their_words(tmp_path: Path, upstream: Upstream) -> None:
    @step
    async def Particular(answer: Answer) -> None:
        """Takes one text at a time, and none about physicians."""
        texts = answer.request.body["input"]
        if len(texts) > 1 or "physician" in texts[0]:
            await Refusal(400, "This input is too long.", "invalid_request_error")(answer)
        else:
            await Mean()(answer)

    upstream.script_at(PATH, Particular())
    async with served(tmp_path, upstream) as service:
        await upload(service, "a.md", LONG.encode())
        await embedded(service)
        await ask(service, "Which place has my car?")
        assert "BERTH37" in handed(upstream)
        await ask(service, "Who is called DRFINCH?")
        assert "DRFINCH" in handed(upstream)


async def test_nothing_of_anybody_else_is_near(service: Service, upstream_at_work: Upstream) -> None:
    await upload(service, "a.md", LONG.encode())
    await upload(service, "b.md", LONG.replace("BERTH37", "TANGERINE").encode(), user="bob")
    await embedded(service)
    await ask(service, "Which place has my car?", user="bob")
    assert "TANGERINE" in handed(upstream_at_work) and "BERTH37" not in handed(upstream_at_work)


async def test_what_was_removed_leaves_no_vector(service: Service) -> None:
    await upload(service, "a.md", LONG.encode())
    await embedded(service)
    url = f"{service.url}{V2}/files/bkt"
    async with service.http.delete(url, headers={"x-user": "ann"}) as answer:
        assert answer.status == 200
    assert await counts(service) == (0, 0)


async def test_what_is_there_already_is_embedded_and_anew_for_another_model(
    tmp_path: Path, upstream_at_work: Upstream
) -> None:
    async with served(tmp_path, upstream_at_work, "") as service:
        await upload(service, "a.md", LONG.encode())
    for model in (SETTING, "Upstream/other"):
        upstream_at_work.requests.clear()
        async with served(tmp_path, upstream_at_work, model) as service:
            there, _ = await counts(service)
            await until(lambda: sum(asked(upstream_at_work)) == there)  # noqa: B023
            await embedded(service)
        names = {request.body["model"] for request in upstream_at_work.requests if request.path == PATH}
        assert names == {model.partition("/")[2]}


async def test_of_a_long_document_only_the_first_passages_are_embedded(
    tmp_path: Path, upstream_at_work: Upstream
) -> None:
    async with served(tmp_path, upstream_at_work, CAUSERIE_FILES_EMBEDDED_PASSAGES="70") as service:
        await upload(service, "a.md", LONG.encode())
        await until(lambda: sum(asked(upstream_at_work)) == 70)
        await ask(service, "Who is called DRFINCH?")
        assert "DRFINCH" in handed(upstream_at_work)
        assert asked(upstream_at_work) == [32, 32, 6, 1]


async def test_it_is_no_question_of_the_users_and_keeps_none_from_being_answered(
    tmp_path: Path, upstream_at_work: Upstream
) -> None:
    limits = {
        "CAUSERIE_USER_LIMITS_TURNS_AT_ONCE": "1",
        "CAUSERIE_USER_LIMITS_REQUESTS_PER_MINUTE": "2",
        "CAUSERIE_USER_LIMITS_TOKENS_PER_MINUTE": "1000000",
    }
    async with served(tmp_path, upstream_at_work, **limits) as service:
        await upload(service, "a.md", LONG.encode())
        await embedded(service)
        for _ in range(2):
            assert "error" not in kinds(await ask(service, "Which place has my car?"))
            assert "BERTH37" in handed(upstream_at_work)
        async with service.asking("Hello", {"x-user": "ann"}) as answer:
            assert answer.status == 429


def test_what_is_good_in_both_rankings_comes_first() -> None:
    a, b, c, d = (Passage("f", at, None, None, 0, str(at)) for at in range(4))
    assert fused([a, b, c], [d, b]) == [b, a, d, c]
    assert fused([a, b], []) == [a, b]
    assert fused([], []) == []
