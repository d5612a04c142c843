"""Sharing as the web clients do it, and of chats that the server keeps. Source: the contract, section 9."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from service.stores.chats import Chat, Message
from tests.access import Headers, bearer
from tests.conftest import ROW
from tests.serving import Json, Service, serving
from tests.upstream import Upstream

V2 = "/backend-api/v2"
ID = "5b1f0c7e-3a52-4e0e-9a55-0d1b8a2f6c11"
CONVERSATION: Json = {
    "id": "c-1",
    "title": "Sea",
    "added": 1_795_432_292_000,
    "updated": 1_795_432_299_000,
    "system": "",
    "items": [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": "**Water**.", "provider": {"name": "Upstream", "model": "small"}},
    ],
    "anything": {"else": ["stays", None, 1.5]},
}


@pytest.fixture
async def ada(service: Service) -> Headers:
    """From now on keys are needed."""
    return bearer((await service.context.keys.create("ada", "user"))[1])


@pytest.fixture
async def bob(service: Service, ada: Headers) -> Headers:
    assert ada
    return bearer((await service.context.keys.create("bob", "user"))[1])


async def posted(service: Service, body: object = CONVERSATION, id: str = ID, **options: Any) -> Any:
    status, answer = await service.post(f"{V2}/chat/{id}", body, **options)
    return status, answer


async def read(service: Service, tag: str | None = None, id: str = ID, **headers: str) -> tuple[int, bytes]:
    sent = headers | ({} if tag is None else {"If-None-Match": tag})
    url = URL(f"{service.url}{V2}/chat/{id}", encoded=True)
    async with service.http.get(url, headers=sent) as answer:
        return answer.status, await answer.read()


def notes() -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("files", b"Some notes.", filename="notes.txt")
    return form


async def kept(service: Service, user: str = "local", id: str = "c-9", **other: Any) -> None:
    """A chat of the server's, with a variant that is not shown."""
    messages = [
        Message(number=1, role="user", content="What is it?"),
        Message(number=2, parent=1, role="assistant", content="Nothing.", model="small"),
        Message(number=3, parent=1, role="assistant", content="**Water**.", model="small"),
    ]
    await service.context.chats.add(user, Chat(id=id, title="Sea", messages=messages, leaf=3, **other))


async def test_what_a_client_posts_is_read_as_it_was(service: Service) -> None:
    assert await posted(service) == (200, {"share_id": ID})
    async with service.http.get(f"{service.url}{V2}/chat/{ID}?now=359086459") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert await answer.json() == CONVERSATION
        assert answer.headers["ETag"] == '"1795432299000"'
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "tag",
    ["1795432299000", '"1795432299000"', 'W/"1795432299000"', '"1", "1795432299000"', " 1795432299000 "],
)
async def test_whoever_has_it_is_not_sent_it_again(tag: str, service: Service) -> None:
    await posted(service)
    assert await read(service, tag) == (304, b"")


@pytest.mark.parametrize("tag", ["", "1", '"1"', "x", "W/", '"', "1e9", "*x", "9" * 300, "-1", "١٧٩", ","])
async def test_whoever_has_another_one_or_nonsense_gets_it(tag: str, service: Service) -> None:
    await posted(service)
    status, body = await read(service, tag)
    assert (status, json.loads(body)) == (200, CONVERSATION)


async def test_the_protocol_of_updated(service: Service) -> None:
    await posted(service)
    assert await posted(service, CONVERSATION | {"title": "Not saved"}) == (200, {"share_id": ID})
    assert json.loads((await read(service))[1])["title"] == "Sea"
    newer = CONVERSATION | {"title": "Lake", "updated": 1_795_432_300_000}
    await posted(service, newer)
    status, body = await read(service, "1795432299000")
    assert (status, json.loads(body)) == (200, newer)
    assert (await read(service, "1795432300000"))[0] == 304
    async with service.http.delete(f"{service.url}{V2}/files/{ID}") as answer:
        assert (answer.status, await answer.json()) == (200, {"message": "Bucket deleted successfully"})
    for tag in (None, "1795432300000", '"1795432300000"'):
        assert (await read(service, tag))[0] == 404
    async with service.http.delete(f"{service.url}{V2}/files/{ID}") as answer:
        assert answer.status == 404
    await posted(service, newer)
    assert json.loads((await read(service))[1]) == newer


async def test_a_conversation_without_updated_is_known_by_when_it_came(service: Service) -> None:
    old = ""
    for body in ({"n": 1}, {"n": 2}, {"n": 2, "updated": None}):
        await posted(service, body)
        status, sent = await read(service, old)
        told = json.loads(sent)
        assert (status, told["n"]) == (200, body["n"])
        old = str(told["updated"])
        assert (await read(service, old))[0] == 304


@pytest.mark.parametrize("updated", ["x", 1.5, True, [], {}, 2**60, -(2**60)])
async def test_an_updated_that_is_no_number_of_milliseconds_is_named(updated: Any, service: Service) -> None:
    status, answer = await posted(service, {"updated": updated})
    assert (status, answer["error"]["param"]) == (400, "$.updated")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"x"', b"null", b"{", b'{"a": tru}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 9999],
)
async def test_what_is_no_json_object_is_refused(body: bytes, service: Service) -> None:
    status, answer = await posted(service, body)
    assert status == 400
    assert answer["error"]["message"].endswith(".")
    assert (await read(service))[0] == 404


@pytest.mark.parametrize("id", ["_", "-", ".", "..", "...", "%2e%2e", "%2E", "%5f", "%20", "._-+,"])
async def test_an_id_of_which_nothing_is_left_is_refused_in_every_method(id: str, service: Service) -> None:
    url = URL(f"{service.url}{V2}/chat/{id}", encoded=True)
    for method in ("GET", "POST"):
        async with service.http.request(
            method, url, json=CONVERSATION if method == "POST" else None
        ) as answer:
            assert answer.status in ({400} if "%2" in id.lower() or id.strip(".") else {400, 404}), (
                await answer.text()
            )


async def test_an_id_is_sanitised_as_it_always_was(service: Service) -> None:
    assert await posted(service, id="My chat: über \u2764?") == (200, {"share_id": "My_chat_über"})
    assert (await read(service, id="My%20chat:%20%C3%BCber"))[0] == 200


async def test_a_chat_that_is_too_large_is_refused_with_the_limit(tmp_path: Path) -> None:
    async with serving(
        tmp_path, CAUSERIE_CHATS_SHARE_LIMIT="1000", CAUSERIE_CHATS_SHARE_QUOTA="1500"
    ) as service:
        status, answer = await posted(service, {"x": "y" * 1000})
        assert (status, "1000 bytes (chats.share_limit)" in answer["error"]["message"]) == (413, True)
        assert (await posted(service, {"x": "y" * 900}))[0] == 200
        status, answer = await posted(service, {"x": "y" * 900}, id="another")
        assert (status, "1500 bytes (chats.share_quota)" in answer["error"]["message"]) == (413, True)


async def test_whoever_has_the_id_reads_and_only_the_owner_writes(
    service: Service, ada: Headers, bob: Headers
) -> None:
    assert (await posted(service, headers=ada))[0] == 200
    for headers in ({}, ada, bob, bearer("sk-wrong")):
        assert (await read(service, **headers))[0] == 200
    status, answer = await posted(service, {"updated": 1}, headers=bob)
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert (await posted(service, {"updated": 1}))[0] == 401
    async with service.http.delete(f"{service.url}{V2}/files/{ID}", headers=bob) as refused:
        assert refused.status == 404
    assert json.loads((await read(service))[1]) == CONVERSATION


async def test_a_chat_that_is_not_shared_is_not_found(service: Service, ada: Headers) -> None:
    await kept(service, "ada")
    for id in ("c-9", "c-1", ID):
        status, body = await read(service, id=id)
        assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")


async def test_files_and_a_share_of_the_same_id_go_together(service: Service) -> None:
    await posted(service)
    async with service.http.post(f"{service.url}{V2}/files/{ID}", data=notes()) as answer:
        assert answer.status == 200
    async with service.http.delete(f"{service.url}{V2}/files/{ID}") as answer:
        assert answer.status == 200
    assert (await read(service))[0] == 404
    async with service.http.get(f"{service.url}{V2}/files/{ID}") as answer:
        assert answer.status == 404


# Chats that the server keeps


async def share(service: Service, id: str = "c-9", **options: Any) -> Json:
    options.setdefault("json", {})
    async with service.http.put(f"{service.url}{V2}/chats/{id}/share", **options) as answer:
        assert answer.status == 200, await answer.text()
        told: Json = await answer.json()
        return told


async def test_a_chat_of_the_server_is_shared_as_it_stands(service: Service) -> None:
    await kept(service)
    told = await share(service)
    assert told == {"share_id": told["share_id"], "url": f"/share/{told['share_id']}", "expires": None}
    assert await share(service) == told
    shared = json.loads((await read(service, id=told["share_id"]))[1])
    assert (shared["id"], shared["title"]) == (told["share_id"], "Sea")
    assert [item["content"] for item in shared["items"]] == ["What is it?", "**Water**."]
    assert "c-9" not in json.dumps(shared)
    tag = str(shared["updated"])
    assert (await read(service, tag, told["share_id"]))[0] == 304
    chat = await service.context.chats.find("local", "c-9")
    await service.context.chats.change("local", "c-9", leaf=chat.messages[1].number, title="Lake")
    status, body = await read(service, tag, told["share_id"])
    again = json.loads(body)
    assert (status, again["title"], again["items"][1]["content"]) == (200, "Lake", "Nothing.")


async def test_a_chat_is_shared_for_a_time(service: Service) -> None:
    await kept(service)
    told = await share(service, json={"expires_in": 1})
    assert told["expires"]
    assert (await read(service, id=told["share_id"]))[0] == 200
    await asyncio.sleep(1.1)
    assert (await read(service, id=told["share_id"]))[0] == 404
    assert (await share(service))["share_id"] != told["share_id"]
    for wrong in (0, -1, "x", 1e12):
        async with service.http.put(
            f"{service.url}{V2}/chats/c-9/share", json={"expires_in": wrong}
        ) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (400, "$.expires_in")


async def test_an_operator_may_let_every_share_expire(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_CHATS_SHARE_EXPIRY="2") as service:
        await kept(service)
        now = service.context.started_at
        for asked in ({}, {"expires_in": 10**7}):
            expires = (await share(service, json=asked))["expires"]
            assert 2 * 86_400 <= expires / 1000 - now < 2 * 86_400 + 60
        assert (await share(service, json={"expires_in": 60}))["expires"] / 1000 - now < 120
        await posted(service)
        assert (await service.context.shares.find(ID)).expires_at


@pytest.mark.parametrize("how", ["its own route", "files", "the chat"])
async def test_what_is_not_shared_any_more_is_not_there(how: str, service: Service) -> None:
    await kept(service)
    id = (await share(service))["share_id"]
    if how == "the chat":
        await service.context.chats.remove("local", "c-9")
    else:
        path = "chats/c-9/share" if how == "its own route" else f"files/{id}"
        async with service.http.delete(f"{service.url}{V2}/{path}") as answer:
            assert answer.status in {200, 204}
    for path in (id, f"{id}/page"):
        assert (await read(service, id=path))[0] == 404
    async with service.http.delete(f"{service.url}{V2}/chats/c-9/share") as answer:
        assert answer.status == 404


async def test_nobody_shares_what_is_anothers(service: Service, ada: Headers, bob: Headers) -> None:
    await kept(service, "ada")
    id = (await share(service, headers=ada))["share_id"]
    for headers, status in ((bob, 404), ({}, 401)):
        for method in ("PUT", "DELETE"):
            url = f"{service.url}{V2}/chats/c-9/share"
            async with service.http.request(method, url, json={}, headers=headers) as answer:
                assert answer.status == status
    assert (await read(service, id=id))[0] == 200
    assert (await posted(service, {"updated": 1}, id, headers=bob))[0] == 403
    assert await posted(service, {"updated": 1}, id, headers=ada) == (200, {"share_id": id})
    assert json.loads((await read(service, id=id))[1])["title"] == "Sea"


# What the page shows


async def page(service: Service, id: str = ID) -> Json:
    status, body = await read(service, id=f"{id}/page")
    assert status == 200
    told: Json = json.loads(body)
    return told


async def test_the_page_gets_html_that_is_safe(service: Service) -> None:
    script = '<script>alert(1)</script> <img src=x onerror="alert(1)"> [x](javascript:alert(1))'
    items = [{"role": "user", "content": script}, {"role": "assistant", "content": f"**Bold** {script}"}]
    await posted(service, CONVERSATION | {"items": items})
    question, answer = (await page(service))["messages"]
    assert (question["text"], question["html"]) == (script, None)
    assert "<strong>Bold</strong>" in answer["html"]
    for tag in ("<script", "<img", 'href="javascript'):
        assert tag not in answer["html"]


async def test_the_page_is_the_same_for_both_kinds_and_follows_updated(service: Service) -> None:
    await kept(service)
    await posted(service)
    id = (await share(service))["share_id"]
    ours, theirs = await page(service, id), await page(service)
    assert [said["html"] for said in ours["messages"]] == [said["html"] for said in theirs["messages"]]
    assert (ours["title"], theirs["title"]) == ("Sea", "Sea")
    assert (await read(service, str(ours["updated"]), f"{id}/page"))[0] == 304
    await posted(service, CONVERSATION | {"title": "Lake", "updated": 2})
    assert (await page(service))["title"] == "Lake"


@pytest.mark.parametrize(
    "body",
    [{}, {"items": "x"}, {"items": [None, 1, {"role": "x"}]}, {"items": [{"role": "user", "content": 5}]}],
)
async def test_the_page_of_what_is_no_conversation_is_empty(body: Json, service: Service) -> None:
    await posted(service, body)
    assert (await page(service))["messages"] == []


OTHERS = ("/media/x.png", "https://a.example/x.png", "data:image/svg+xml;base64,AAAA", "javascript:alert(1)")


async def test_what_only_the_owner_can_have_is_marked(service: Service) -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    parts = [
        {"type": "text", "text": "See"},
        {"bucket_id": "b-1", "name": "notes.txt"},
        *({"type": "image_url", "image_url": {"url": url}} for url in (picture, *OTHERS)),
    ]
    items = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "![a boat](/media/17_boat.png)"},
    ]
    await posted(service, {"items": items})
    question, answer = (await page(service))["messages"]
    assert question["pictures"] == [picture]
    assert question["files"] == ["notes.txt"]
    assert "📎" not in question["text"]
    assert answer["html"] == "<p>[🖼 a boat]</p>\n"
    assert "b-1" not in json.dumps([question, answer])


@pytest.mark.parametrize("id", [ID, "nothing"])
async def test_the_page_itself_is_for_anyone_and_for_no_search_engine(
    id: str, service: Service, ada: Headers
) -> None:
    await posted(service, headers=ada)
    async with service.http.get(f"{service.url}/share/{id}", headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers.getall("Referrer-Policy") == ["no-referrer"]
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "Sea" not in await answer.text()


# Elsewhere


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path, '[server]\norigins = ["https://chat.example"]\n') as service:
        yield service


async def test_a_page_of_another_origin_may_ask_with_if_none_match(shared: Service) -> None:
    await posted(shared)
    asking = {
        "Origin": "https://chat.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "if-none-match,x-user",
    }
    async with shared.http.options(f"{shared.url}{V2}/chat/{ID}", headers=asking) as answer:
        assert answer.status == 200
        assert "if-none-match" in answer.headers["Access-Control-Allow-Headers"].lower()
    for tag, status in (("1795432299000", 304), ("1", 200)):
        headers = {"Origin": "https://chat.example", "If-None-Match": tag}
        async with shared.http.get(f"{shared.url}{V2}/chat/{ID}", headers=headers) as answer:
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == "https://chat.example"


async def test_shares_chats_and_files_survive_a_backup_while_the_service_runs(
    tmp_path: Path, upstream: Upstream
) -> None:
    """As docs/operating.md says: the database first, then the files."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (new / "state").mkdir(parents=True)
    async with serving(old, ROW.format(url=upstream.url)) as service:
        await kept(service)
        id = (await share(service))["share_id"]
        await posted(service)
        async with service.http.post(f"{service.url}{V2}/files/b-1", data=notes()) as answer:
            assert answer.status == 200
        before = await page(service, id)
        with (
            closing(sqlite3.connect(old / "state/causerie.db")) as source,
            closing(sqlite3.connect(new / "state/causerie.db")) as target,
        ):
            source.backup(target)
        copied = await asyncio.create_subprocess_exec("cp", "-a", old / "state/files", new / "state/files")
        assert await copied.wait() == 0
        await posted(service, {"updated": 1})  # what comes afterwards is not in it
    async with serving(new, ROW.format(url=upstream.url)) as service:
        assert json.loads((await read(service))[1]) == CONVERSATION
        assert await page(service, id) == before
        assert (await service.context.chats.find("local", "c-9")).share == id
        async with service.http.get(f"{service.url}{V2}/files/b-1") as answer:
            assert "Some notes." in await answer.text()
