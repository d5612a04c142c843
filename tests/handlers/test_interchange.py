"""Chats that are taken along: exported as they are, and imported whoever has written them."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.stores.chats import Chat, Message
from service.turns.interchange import own
from tests.access import bearer
from tests.serving import Json, Service, serving
from tests.turns.test_interchange import BRANCHED, CONVERSATION, exported, path, said

V2 = "/backend-api/v2"


async def taken(service: Service, body: object, **options: Any) -> tuple[int, Json]:
    status, told = await service.post(f"{V2}/chats/import", body, **options)
    return status, told


async def chats(service: Service, user: str = "local") -> list[Chat]:
    return [chat async for chat in service.context.chats.all(user)]


async def download(service: Service, what: str, **options: Any) -> tuple[str, str, str]:
    """Type, name and text of a file."""
    async with service.http.get(f"{service.url}{V2}/chats/{what}", **options) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_disposition
        assert answer.content_disposition.type == "attachment"
        return answer.content_type, str(answer.content_disposition.filename), await answer.text()


async def test_every_form_is_known_by_its_content(service: Service) -> None:
    assert await taken(service, [BRANCHED, CONVERSATION]) == (200, {"imported": 2, "skipped": []})
    capitals, sea = await chats(service)
    assert (capitals.id, capitals.title, sea.id, sea.title) == ("c-1", "Capitals", "g-1", "Sea")
    assert path(capitals) == ["Of France?", "It is **Paris**.", "Of Spain?", "Madrid."]
    assert len(capitals.messages) == 6
    assert (await taken(service, own.written(sea)))[1]["imported"] == 1
    assert (await taken(service, CONVERSATION))[1]["imported"] == 1
    assert (await taken(service, {"options": {"g4f": True}, "conversation:g-1": CONVERSATION}))[1][
        "imported"
    ] == 1


async def test_an_id_that_is_taken_is_replaced(service: Service) -> None:
    for _ in range(2):
        await taken(service, CONVERSATION)
    first, second = await chats(service)
    assert first.id == "g-1" != second.id
    assert path(first) == path(second)


async def test_what_was_exported_comes_back_as_it_was(service: Service) -> None:
    await taken(service, [BRANCHED, CONVERSATION])
    kind, name, text = await download(service, "export")
    assert (kind, name) == ("application/json", "chats.json")
    before = await chats(service)
    assert await service.context.chats.remove_all("local") == 2
    assert (await taken(service, text.encode()))[1] == {"imported": 2, "skipped": []}
    again = json.loads((await download(service, "export"))[2])
    assert [without_numbers(chat) for chat in again] == [
        without_numbers(own.written(chat)) for chat in before
    ]


def without_numbers(chat: Json) -> Json:
    """With places in their stead: numbers are the service's affair."""
    places = {node["id"]: place for place, node in enumerate(chat["tree"])}
    for node in chat["tree"]:
        node |= {"id": places[node["id"]], "parent": places.get(node["parent"])}
    return chat | {"leaf": places[chat["leaf"]]}


async def test_one_chat_as_a_file(service: Service) -> None:
    await taken(service, CONVERSATION | {"id": "my chat/ü", "title": "Über: die/See"})
    base = "my%20chat%2F%C3%BC/export"
    kind, name, text = await download(service, base)
    assert (kind, name) == ("application/json", "Über_die_See.json")
    assert json.loads(text)["title"] == "Über: die/See"
    kind, name, text = await download(service, f"{base}?format=markdown")
    assert (kind, name) == ("text/markdown", "Über_die_See.md")
    assert text.startswith("# Über: die/See\n\n## System\n\nBe brief.\n\n## User\n\nWhat is it?\n\n## small")
    async with service.http.get(f"{service.url}{V2}/chats/{base}?format=pdf") as answer:
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, "format")


async def test_nothing_to_export_is_an_empty_array(service: Service) -> None:
    assert json.loads((await download(service, "export"))[2]) == []
    assert await taken(service, []) == (200, {"imported": 0, "skipped": []})


async def test_what_is_skipped_is_named_and_the_rest_is_taken(service: Service) -> None:
    empty = exported("c-2", "Empty", ("root", None, None))
    status, told = await taken(service, [empty, BRANCHED, {"title": "No chat"}, 5])
    assert (status, told["imported"]) == (200, 1)
    assert [(each["title"], each["reason"]) for each in told["skipped"]] == [
        ("Empty", "There is no message in it."),
        ("No chat", "This is no chat as this service, gpt4free or ChatGPT exports it."),
        ("", "This is no chat as this service, gpt4free or ChatGPT exports it."),
    ]


@pytest.mark.parametrize("body", [b"", b"x", b"[", b'"text"', b'{"items": ['])
async def test_what_is_no_json_is_refused(body: bytes, service: Service) -> None:
    status, told = await taken(service, body)
    assert (status, told["error"]["message"][:17]) == (400, "Invalid JSON data")
    assert await chats(service) == []


async def test_a_file_that_breaks_off_gives_what_was_whole(service: Service) -> None:
    status, told = await taken(service, json.dumps([CONVERSATION, BRANCHED]).encode()[:-9])
    assert (status, told["imported"]) == (200, 1)
    assert told["skipped"] == [
        {"title": "", "reason": "Invalid JSON data: it breaks off. Send the whole file."}
    ]


async def test_limits_are_named(tmp_path: Path) -> None:
    limits = {
        "CAUSERIE_CHATS_IMPORT_LIMIT": "4000",
        "CAUSERIE_CHATS_LONGEST_IMPORT": "2000",
        "CAUSERIE_CHATS_USER_CHATS": "2",
    }
    async with serving(tmp_path, **limits) as service:
        small = {"title": "Small", "items": [{"role": "user", "content": "Hi"}]}
        status, told = await taken(service, [small, small | {"x": "y" * 2000}, small, small])
        assert (status, told["imported"]) == (200, 2)
        assert "2000 bytes (chats.longest_import)" in told["skipped"][0]["reason"]
        assert "chats.user_chats" in told["skipped"][1]["reason"]
        assert told["skipped"][1]["title"] == "Small"

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b" " * 100

        for body in (b" " * 4001, pieces()):
            async with service.http.post(f"{service.url}{V2}/chats/import", data=body) as answer:
                told = await answer.json()
                assert answer.status == 413
                assert "4000 bytes (chats.import_limit)" in told["error"]["message"]


async def test_chats_are_their_users(service: Service) -> None:
    keys = service.context.keys
    ada, bob = [bearer((await keys.create(name, "user"))[1]) for name in ("ada", "bob")]
    await taken(service, CONVERSATION, headers=ada)
    assert json.loads((await download(service, "export", headers=bob))[2]) == []
    for headers, status in ((bob, 404), ({}, 401), (ada, 200)):
        async with service.http.get(f"{service.url}{V2}/chats/g-1/export", headers=headers) as answer:
            assert answer.status == status
    await taken(service, CONVERSATION, headers=bob)
    assert [chat.id for chat in await chats(service, "bob")] == ["g-1"]


async def test_a_chat_whose_id_is_a_word_of_ours_can_be_read(service: Service) -> None:
    for word in ("export", "import", "share", "..", "stream"):
        id = await service.context.chats.add("local", Chat(id=word, title=word, messages=[hello()]))
        assert json.loads((await download(service, f"{id}/export"))[2])["title"] == word
        assert (await service.get(f"{V2}/chats/{id}"))["title"] == word


async def test_what_is_too_old_to_be_kept_is_not_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, CAUSERIE_CHATS_KEEP="30") as service:
        old = {"title": "Old", "updated": 1, "items": [{"role": "user", "content": "Hi"}]}
        status, told = await taken(service, [old, old | {"star": True}, old | {"updated": time.time()}])
        assert (status, told["imported"]) == (200, 2)
        ((_, reason),) = [each.values() for each in told["skipped"]]
        assert "chats.keep" in reason


def hello() -> Message:
    return Message(number=1, role="user", content="Hello")


LONG = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. " * 20


@pytest.mark.slow
async def test_a_large_file_keeps_nobody_waiting(service: Service) -> None:
    """The longest that the loop was away is a small part of the whole."""
    nodes = [(str(n), str(n - 1) if n else None, said("user", LONG)) for n in range(200)]
    body = json.dumps([exported(f"c-{n}", "Long", *nodes) for n in range(30)]).encode()
    assert len(body) > 9_000_000
    gaps: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        began = time.perf_counter()
        async with service.http.post(f"{service.url}{V2}/chats/import", data=io.BytesIO(body)) as answer:
            assert await answer.json() == {"imported": 30, "skipped": []}
        whole = time.perf_counter() - began
        watching.cancel()
    assert max(gaps) < whole / 4
