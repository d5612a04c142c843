"""A user's chats over HTTP: the list, the search, each of them; and what is kept of a person."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from service.stores.chats import Chat, Message
from tests.access import bearer
from tests.conftest import ROW
from tests.postgresql import Server
from tests.serving import Json, Service, serving
from tests.upstream import Done, Finish, Say, Upstream, Usage

CHATS = "/backend-api/v2/chats"
PERSONS = "/backend-api/v2/persons"


@pytest.fixture(params=["sqlite", "postgresql"])
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Service]:
    """On both databases."""
    row = ROW.format(url=upstream.url)
    if request.param == "sqlite":
        async with serving(tmp_path, row) as service:
            yield service
        return
    server: Server = request.getfixturevalue("postgresql")
    async with server.database() as url, serving(tmp_path, row, CAUSERIE_DATABASE_URL=url) as service:
        yield service


async def ask(service: Service, prompt: str, id: str, headers: Any = None) -> None:
    body = {"conversation_id": id, "messages": [{"role": "user", "content": prompt}]}
    async with service.http.post(
        f"{service.url}/backend-api/v2/conversation", json=body, headers=headers
    ) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def call(service: Service, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body)
    async with service.http.request(method, service.url + path, data=data, **options) as answer:
        return answer.status, json.loads(text) if (text := await answer.text()) else None


async def ids(service: Service, **query: str) -> list[str]:
    return [chat["id"] for chat in (await service.get(CHATS, params=query))["chats"]]


async def test_chats_are_listed_page_by_page(service: Service) -> None:
    for number in range(5):
        await ask(service, f"Question {number}", f"c/{number}?")
    first = await service.get(CHATS, params={"limit": 3})
    assert [chat["title"] for chat in first["chats"]] == ["Question 4", "Question 3", "Question 2"]
    rest = await service.get(CHATS, params={"limit": 3, "before": first["next"]})
    assert [chat["id"] for chat in rest["chats"]] == ["c/1?", "c/0?"]
    assert rest["next"] is None
    chat = rest["chats"][0]
    assert chat["created"] <= chat["updated"] == pytest.approx(chat["created"], abs=60_000)
    assert {name: chat[name] for name in ("starred", "archived", "share", "running", "messages")} == {
        "starred": False,
        "archived": False,
        "share": None,
        "running": None,
        "messages": 2,
    }
    assert "snippet" not in chat


async def test_a_chat_is_searched_changed_and_removed(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Mount Kilimanjaro is 5895 m high."), Finish(), Usage(), Done())
    await ask(service, "What is the highest mountain of Africa?", "c")
    await ask(service, "Something else", "d")
    status, chat = await call(service, "PATCH", f"{CHATS}/d", {"title": "Everest", "archived": True})
    assert (status, chat["title"], chat["archived"]) == (200, "Everest", True)
    assert await ids(service, archived="false") == ["c"]
    assert await ids(service, q="kilimanjaro 5895") == ["d", "c"]
    (hit,) = (await service.get(CHATS, params={"q": "mount 5895", "archived": "false"}))["chats"]
    assert (hit["id"], [piece for piece, is_hit in hit["snippet"] if is_hit]) == ("c", ["Mount", "5895"])
    whole = await service.get(f"{CHATS}/c")
    assert hit["message"] in {message["id"] for message in whole["tree"]}
    (hit,) = (await service.get(CHATS, params={"q": "everest"}))["chats"]
    assert (hit["id"], hit["message"], hit["snippet"]) == ("d", None, [["Everest", True]])
    assert await call(service, "DELETE", f"{CHATS}/c") == (204, None)
    assert (await call(service, "GET", f"{CHATS}/c"))[0] == 404
    assert await ids(service) == ["d"]
    assert await call(service, "DELETE", CHATS) == (204, None)
    assert await ids(service) == []


async def test_a_chat_is_told_whole(service: Service) -> None:
    await ask(service, "Hello", "c")
    chat = await service.get(f"{CHATS}/c")
    question, answer = chat["tree"]
    assert list(question) == [
        *("id", "parent", "role", "content", "reasoning", "turn", "model", "provider", "state"),
        *("finish", "error", "usage", "sources", "created"),
    ]
    assert (answer["parent"], chat["leaf"]) == (question["id"], answer["id"])
    status, _ = await call(service, "PATCH", f"{CHATS}/c", {"leaf": question["id"], "settings": {"a": 1}})
    assert status == 200
    chat = await service.get(f"{CHATS}/c")
    assert (chat["leaf"], chat["settings"]) == (question["id"], {"a": 1})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("GET", f"{CHATS}?before=x", None, 400, "before"),
        ("GET", f"{CHATS}?limit=0", None, 400, "limit"),
        ("GET", f"{CHATS}?limit=201", None, 400, "limit"),
        ("GET", f"{CHATS}/none", None, 404, "id"),
        ("PATCH", f"{CHATS}/none", {"title": "x"}, 404, "id"),
        ("DELETE", f"{CHATS}/none", None, 404, "id"),
        ("PATCH", f"{CHATS}/c", {"leaf": 7}, 404, "leaf"),
        ("PATCH", f"{CHATS}/c", {"title": ""}, 400, "$.title"),
        ("PATCH", f"{CHATS}/c", {"settings": {"system": "x" * 2_000}}, 413, "settings"),
    ],
)
async def test_what_is_wrong_is_named(
    tmp_path: Path, upstream: Upstream, method: str, path: str, body: Json, status: int, param: str
) -> None:
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_CHATS_MESSAGE_SIZE="1000") as service:
        await ask(service, "Hello", "c")
        found, told = await call(service, method, path, body)
        assert (found, told["error"]["param"]) == (status, param)


ODD = ["a/b", "%2e%2e", "?q=1#x", "{id}", "Ж и 東京", "😀", "' OR 1=1 --", '"', "import", "a\\b", "x" * 200]


@pytest.mark.parametrize("id", ODD)
async def test_a_chat_may_be_called_anything(service: Service, id: str) -> None:
    await ask(service, "Hello", id)
    assert await ids(service) == [id]
    path = URL(f"{service.url}{CHATS}/{quote(id, safe='')}", encoded=True)
    async with service.http.patch(path, json={"title": "Odd"}) as answer:
        assert (answer.status, (await answer.json())["title"]) == (200, "Odd")
    async with service.http.get(path) as answer:
        assert (await answer.json())["id"] == id
    async with service.http.delete(path) as answer:
        assert answer.status == 204
    assert await ids(service) == []


@pytest.mark.parametrize("id", ["export", ".", "..", "a\0b", "\ud800", "x" * 201])
async def test_what_no_address_could_name_is_refused(service: Service, id: str) -> None:
    body = json.dumps({"conversation_id": id, "prompt": "Hello"})
    status, told = await service.post("/backend-api/v2/conversation", body.encode())
    assert status == 400, told
    assert await ids(service) == []


async def test_what_cannot_be_stored_costs_no_answer(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("a\0b\u202e\ufeff"), Finish(), Usage(), Done())
    await ask(service, "x\u202e z", "c")
    chat = await service.get(f"{CHATS}/c")
    assert (chat["title"], chat["tree"][0]["content"]) == ("x\u202e z", "x\u202e z")
    assert (chat["tree"][1]["content"], chat["tree"][1]["state"]) == ("a\ufffdb\u202e\ufeff", "finished")
    status, _ = await call(service, "PATCH", f"{CHATS}/c", {"title": "\0", "settings": {"\0": "\0"}})
    assert status == 200
    assert (await service.get(f"{CHATS}/c"))["settings"] == {"\0": "\0"}
    assert await ids(service, q="\0") == []
    assert await ids(service, q="z") == ["c"]


async def test_each_user_has_his_own(service: Service) -> None:
    keys = service.context.keys
    ann, bob = [bearer((await keys.create(name, "user"))[1]) for name in ("ann", "bob")]
    await ask(service, "My secret", "c", ann)
    await ask(service, "Nothing", "c", bob)
    for path in (CHATS, f"{CHATS}?q=secret", f"{CHATS}/c"):
        status, told = await call(service, "GET", path, headers=bob)
        assert (status, "secret" in json.dumps(told)) == (200, False)
    assert await call(service, "DELETE", CHATS, headers=bob) == (204, None)
    status, told = await call(service, "GET", f"{CHATS}/c", headers=ann)
    assert (status, told["title"]) == (200, "My secret")


async def test_what_is_kept_of_a_person_has_his_chats(service: Service) -> None:
    keys = service.context.keys
    ann = bearer((await keys.create("ann", "user"))[1])
    operator = bearer((await keys.create("root", "admin"))[1])
    await ask(service, "My secret", "c", ann)
    async with service.http.get(f"{service.url}{PERSONS}/ann/export", headers=ann) as answer:
        rows = [json.loads(line) for line in (await answer.text()).splitlines()]
    told = [row for row in rows if row["type"] in {"chat", "message"}]
    assert [row["type"] for row in told] == ["chat", "message", "message"]
    assert (told[0]["title"], told[1]["chat"], told[1]["content"]) == ("My secret", "c", "My secret")
    status, gone = await call(service, "DELETE", f"{PERSONS}/ann", headers=operator)
    assert (status, gone["chats"]) == (200, 1)
    assert (await call(service, "GET", CHATS, headers=ann))[1] == {"chats": [], "next": None}


async def test_chats_that_nobody_uses_are_removed(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stores.retention.START_SECONDS", 0.1)
    row, message = ROW.format(url=upstream.url), Message(role="user", content="Old")
    async with serving(tmp_path, row) as service:
        for id, starred in (("old", False), ("star", True)):
            chat = Chat(id=id, title=id, updated_at=1.0, starred=starred, messages=[message])
            await service.context.chats.add("local", chat)
        assert await ids(service) == ["star", "old"]
    async with serving(tmp_path, row, CAUSERIE_CHATS_KEEP="30") as service:
        for _ in range(100):
            if (left := await ids(service)) == ["star"]:
                break
            await asyncio.sleep(0.05)
        assert left == ["star"]
