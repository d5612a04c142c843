"""Questions about a document that is too long: the right passage is among those that the model is handed."""

import base64
import io
import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from sqlalchemy import func, select

from service.stores.schema_passages import passage_words, passages
from tests.conftest import ROW
from tests.documents.conftest import PRINT
from tests.documents.made import pdf
from tests.postgresql import Server
from tests.serving import Json, Service, events, kinds, serving
from tests.serving import text as text_of
from tests.upstream import Refusal, Upstream

PAGES = 300
V2 = "/backend-api/v2"


class Fact(NamedTuple):
    """What stands on a page, what is asked, and what the answer has to have."""

    page: int
    told: str
    asked: str
    answer: str


ENGLISH = [
    ("The warehouse in {} was leased for {} months.", "How long is the lease of the {} warehouse?"),
    ("Repairs at the {} bridge were billed with {} euros.", "What did repairing the bridge of {} cost?"),
    ("The {} office employs {} translators.", "How many translators work in the office of {}?"),
    ("Parcels for {} are stored in hall {}.", "In which hall is a parcel for {} kept?"),
    ("The delegation from {} was given room {}.", "Which room did the {} delegation get?"),
]
RUSSIAN = [
    (
        "Договор со складом в городе {} действует {} месяцев.",
        "Сколько месяцев действуют договоры со складом, {}?",
    ),
    ("Ремонт моста у города {} обошёлся в {} рублей.", "Во сколько обошлись ремонты мостов, город {}?"),
    ("В конторе города {} работают {} переводчиков.", "Сколько переводчиков работает в конторе города {}?"),
    ("Посылки для города {} лежат в зале {}.", "В каком зале лежит посылка для города {}?"),
    ("Делегацию города {} поселили в комнате {}.", "В какой комнате живёт делегация города {}?"),
]
TOWNS = [
    begin + end
    for begin in ("Alder", "Brack", "Cal", "Dun", "East")
    for end in ("moor", "by", "ton", "wick", "mere")
]
CITIES = [
    begin + end
    for begin in ("Арбуз", "Бело", "Верхне", "Глин", "Дуб")
    for end in ("ярск", "горск", "ово", "полье", "речье")
]
FILLER = [
    "The committee read the report of the translators again.",
    "Warehouses and bridges were inspected in spring.",
    "Every office keeps its parcels in a hall.",
    "The delegations met in a room above the market.",
    "Договоры проверяют каждый месяц.",
    "Переводчики работали в зале.",
    "Посылки и делегации прибывают утром.",
    "Мосты красят летом.",
]


def facts() -> list[Fact]:
    """Fifty, half of them Russian, on pages of their own; the numbers tell their answers."""
    chance = random.Random(7)
    pages = chance.sample(range(2, PAGES + 1), len(TOWNS) + len(CITIES))
    made: list[Fact] = []
    for names, templates in ((TOWNS, ENGLISH), (CITIES, RUSSIAN)):
        for number, name in enumerate(names):
            told, asked = templates[number % len(templates)]
            answer = str(chance.randrange(10_000, 99_999))
            made.append(Fact(pages[len(made)], told.format(name, answer), asked.format(name), answer))
    return made


def page(number: int, planted: dict[int, str]) -> str:
    chance = random.Random(number)
    sentences = [chance.choice(FILLER) for _ in range(30)]
    if number in planted:
        sentences.insert(chance.randrange(30), planted[number])
    half = len(sentences) // 2
    text = "</p><p>".join(" ".join(some) for some in (sentences[:half], sentences[half:]))
    return f"<section style='page-break-after: always'><h1>Chapter {number}</h1><p>{text}</p></section>"


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A PDF, as Chromium prints it."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("book")
    planted = {fact.page: fact.told for fact in facts()}
    pages = "".join(page(number, planted) for number in range(1, PAGES + 1))
    (folder / "book.html").write_text(f"<meta charset=utf-8><title>Book</title>{pages}")
    command = [program, *PRINT.split(), f"--print-to-pdf={folder / 'book.pdf'}", str(folder / "book.html")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return (folder / "book.pdf").read_bytes()


async def upload(service: Service, name: str, content: bytes, bucket: str = "bkt", user: str = "ann") -> None:
    """Returns when it has been read."""
    form = aiohttp.FormData()
    form.add_field("files", io.BytesIO(content), filename=name)
    url, headers = f"{service.url}{V2}/files/{bucket}", {"x-user": user}
    async with service.http.post(url, data=form, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    async with service.http.get(f"{url}/stream", headers=headers) as answer:
        assert '"action":"done"' in await answer.text()


async def ask(service: Service, *said: str, user: str = "ann", bucket: str = "bkt") -> list[Json]:
    messages: list[Json] = [{"role": "user", "content": [{"bucket_id": bucket, "url": ""}]}]
    messages += [{"role": "user", "content": each} for each in said]
    async with service.asking(messages=messages, headers={"x-user": user}) as answer:
        return events(await answer.read())


def handed(upstream: Upstream) -> str:
    """The text in the bucket's place."""
    text: str = upstream.requests[-1].body["messages"][0]["content"][0]["text"]
    return text


@pytest.fixture(params=["sqlite", "postgresql"])
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Service]:
    row = ROW.format(url=upstream.url)
    if request.param == "sqlite":
        async with serving(tmp_path, row) as service:
            yield service
        return
    server: Server = request.getfixturevalue("postgresql")
    async with server.database() as url, serving(tmp_path, row, CAUSERIE_DATABASE_URL=url) as service:
        yield service


async def test_fifty_questions_about_three_hundred_pages(
    service: Service, upstream: Upstream, book: bytes
) -> None:
    await upload(service, "book.pdf", book)
    missed = []
    for fact in facts():
        said = await ask(service, fact.asked)
        (told,) = [event["sources"] for event in said if event["type"] == "sources"]
        text = handed(upstream)
        assert len(text.encode()) <= 8192 * 4
        assert kinds(said).index("sources") < kinds(said).index("content")
        if fact.answer not in text or fact.page not in {source["page"] for source in told}:
            missed.append(fact)
    assert len(missed) <= 2, missed


async def test_the_passages_are_in_order_with_their_places(
    service: Service, upstream: Upstream, book: bytes
) -> None:
    await upload(service, "book.pdf", book)
    said = await ask(service, facts()[0].asked)
    (told,) = [event["sources"] for event in said if event["type"] == "sources"]
    pages = [source["page"] for source in told]
    assert pages == sorted(pages)
    assert all(source["file"] == "book.pdf" and source["bucket"] == "bkt" for source in told)
    assert all(0 < len(source["snippet"]) <= 300 for source in told)
    text = handed(upstream)
    headings = [line for line in text.splitlines() if line.startswith("<!-- File: ")]
    assert headings == [f"<!-- File: book.pdf, page {number} -->" for number in dict.fromkeys(pages)]
    assert text.startswith("The documents are too long")


async def test_a_sentence_across_two_pages_names_both(tmp_path: Path, upstream: Upstream) -> None:
    pages = [f"The committee met for the {number}th time." for number in range(1, 101)]
    pages[19], pages[20] = "The code of the rocket is", "PINEAPPLE. They met again."
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_FILES_CONTEXT_TOKENS="1000") as service:
        await upload(service, "a.pdf", pdf(pages))
        said = await ask(service, "What is the code of the rocket?")
    (told,) = [event["sources"] for event in said if event["type"] == "sources"]
    (both,) = [source for source in told if "last_page" in source]
    assert (both["page"], both["last_page"]) == (20, 21)
    framed = "<!-- File: a.pdf, pages 20 and 21 -->\nThe code of the rocket is\nPINEAPPLE.\n<-- End -->"
    assert framed in handed(upstream)


async def test_nothing_of_anybody_else_is_found(service: Service, upstream: Upstream) -> None:
    """Both have a bucket of the same id, and a word that the other one has not."""
    for user, secret in (("ann", "PINEAPPLE"), ("bob", "TANGERINE")):
        pages = [f"Page {number}: the code is {secret}{number}. " + "word " * 300 for number in range(60)]
        await upload(service, "a.md", "\n\n".join(pages).encode(), user=user)
    for user, own, other in (("ann", "PINEAPPLE", "TANGERINE"), ("bob", "TANGERINE", "PINEAPPLE")):
        said = await ask(service, f"Is the code {other}7, or {own}7?", user=user)
        assert "sources" in kinds(said)
        assert f"{own}7." in handed(upstream) and other not in handed(upstream)
        assert other not in json.dumps(said)
    said = await ask(service, "What is the code?", user="eve")
    assert "sources" not in kinds(said)
    assert upstream.requests[-1].body["messages"] == [{"role": "user", "content": "What is the code?"}]


LONG = "\n\n".join(
    f"Chapter {number}. The keyword here is WORD{number:03}. " + "filler " * 60 for number in range(200)
)


async def test_few_words_mean_what_was_said_before(service: Service, upstream: Upstream) -> None:
    await upload(service, "a.md", LONG.encode())
    await ask(service, "Tell me about WORD137, please, and where it is.", "And why?")
    assert "WORD137" in handed(upstream)


async def test_without_a_word_of_the_document_its_beginning_is_shown(
    service: Service, upstream: Upstream
) -> None:
    await upload(service, "a.md", LONG.encode())
    await ask(service, "Сделай резюме")
    assert "WORD000" in handed(upstream)


async def test_a_model_that_reads_more_is_handed_all(tmp_path: Path, upstream: Upstream) -> None:
    await _context(tmp_path, upstream, "100000", searched=False)


async def test_a_model_that_reads_less_is_handed_less(tmp_path: Path, upstream: Upstream) -> None:
    await _context(tmp_path, upstream, "4096", searched=True)
    assert len(handed(upstream).encode()) <= 4 * 4096


async def _context(tmp_path: Path, upstream: Upstream, tokens: str, *, searched: bool) -> None:
    async with serving(
        tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_CONTEXT_TOKENS=tokens
    ) as service:
        await upload(service, "a.md", LONG.encode())
        said = await ask(service, "What is WORD042?")
        assert ("sources" in kinds(said)) is searched
        assert "WORD042" in handed(upstream)
        assert ("WORD199" in handed(upstream)) is not searched


async def test_a_long_document_in_the_question_is_searched_too(service: Service, upstream: Upstream) -> None:
    data = base64.b64encode(LONG.encode()).decode()
    file = {"type": "file", "file": {"file_data": data, "filename": "a.md"}}
    content = [file, {"type": "text", "text": "What is WORD137?"}]
    body = {"model": "small", "messages": [{"role": "user", "content": content}]}
    status, _ = await service.post("/v1/chat/completions", body)
    assert status == 200
    assert "WORD137" in handed(upstream)
    assert "WORD199" not in handed(upstream)


async def test_what_was_removed_is_found_no_more(service: Service, upstream: Upstream) -> None:
    await upload(service, "a.md", LONG.encode())
    await upload(service, "b.md", (LONG + "B").encode(), user="bob")
    database = service.context.database
    for user, url in (("ann", f"{V2}/files/bkt"), ("bob", "")):
        if url:
            async with service.http.delete(service.url + url, headers={"x-user": user}) as answer:
                assert answer.status == 200
        else:
            assert await service.context.filing.forget(user) == 1
        said = await ask(service, "What is WORD042?", user=user)
        assert "sources" not in kinds(said)
    for table in (passages, passage_words):
        (row,) = await database.read(select(func.count().label("count")).select_from(table))
        assert row["count"] == 0


async def test_a_model_that_counts_more_tokens_is_asked_with_less(
    service: Service, upstream: Upstream
) -> None:
    """Not a word was said: nobody notices but the upstream."""
    too_long = Refusal(400, "This model's maximum context length is 4096 tokens.", "context_length_exceeded")
    upstream.enqueue([too_long])
    await upload(service, "a.md", LONG.encode())
    said = await ask(service, "What is WORD042?")
    assert text_of(said) == "Hello from the upstream."
    assert "error" not in kinds(said)
    first, second = (
        request.body["messages"][0]["content"][0]["text"]
        for request in upstream.requests
        if request.path == "/v1/chat/completions"
    )
    assert len(second) < 0.6 * len(first)
    (told,) = [event["sources"] for event in said if event["type"] == "sources"]
    assert all(source["snippet"][:50] in " ".join(second.split()) for source in told)
    assert "WORD042" in first and "WORD042" in second


async def test_a_provider_that_reads_files_gets_them(tmp_path: Path, upstream: Upstream) -> None:
    row = ROW.format(url=upstream.url) + 'reads = ["application/pdf"]\n'
    small = pdf(["Hello."])
    async with serving(tmp_path, row) as service:
        for name, content, kind in (("a.pdf", small, "file"), ("a.md", b"# Hello", "text")):
            file = {"file_data": base64.b64encode(content).decode(), "filename": name}
            message = {"role": "user", "content": [{"type": "file", "file": file}]}
            status, _ = await service.post("/v1/chat/completions", {"model": "small", "messages": [message]})
            assert status == 200
            (part,) = upstream.requests[-1].body["messages"][0]["content"]
            assert part["type"] == kind
            if kind == "file":
                data = "data:application/pdf;base64," + base64.b64encode(small).decode()
                assert part["file"] == {"filename": "a.pdf", "file_data": data}
