"""What is another's is not there: each route with everything that somebody has. The matrix is of the table.

Ada has one of everything. Bob knows all her ids, and gets what he would get for ids that nobody has.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import date
from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from yarl import URL

from service.app import assemble, table
from service.routes import Signature
from service.sources import load
from tests.access import Headers, bearer, cookie, logged_in
from tests.conftest import ROW
from tests.generated import Show, inline, painted
from tests.serving import CONVERSATION, Json, Service, events, serving
from tests.upstream import Done, Finish, Gate, Say, Upstream, Usage, until

V2 = "/backend-api/v2"
TABLE = table(assemble(load({"CAUSERIE_EMBEDDED_ENABLED": "false"})))
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

TO_A_STRANGER = {
    ("GET", "/api/chat/{id}/stream"): 204,
    ("GET", f"{V2}/chats/{{id}}"): 404,
    ("PATCH", f"{V2}/chats/{{id}}"): 404,
    ("DELETE", f"{V2}/chats/{{id}}"): 404,
    ("GET", f"{V2}/chats/{{id}}/export"): 404,
    ("PUT", f"{V2}/chats/{{id}}/share"): 404,
    ("DELETE", f"{V2}/chats/{{id}}/share"): 404,
    ("GET", f"{V2}/chat/{{share}}"): 404,
    ("GET", f"{V2}/chat/{{share}}/page"): 404,
    ("DELETE", f"{V2}/keys/{{id}}"): 403,
    ("POST", f"{V2}/keys/{{id}}/rotate"): 403,
    ("DELETE", f"{V2}/persons/{{name}}"): 403,
    ("GET", f"{V2}/persons/{{name}}/export"): 404,
    ("GET", f"{V2}/turns/{{id}}"): 404,
    ("POST", f"{V2}/turns/{{id}}/stop"): 404,
    ("GET", f"{V2}/files/{{bucket}}"): 404,
    ("POST", f"{V2}/files/{{bucket}}"): 415,
    ("DELETE", f"{V2}/files/{{bucket}}"): 404,
    ("GET", f"{V2}/files/{{bucket}}/stream"): 404,
    ("GET", "/files/{bucket}/{file_type}/{name}"): 400,
    ("GET", "/media/{name}"): 404,
    ("GET", "/images/{name}"): 404,
    ("GET", "/thumbnail/{name}"): 404,
    ("GET", "/search/{words}"): 404,
    ("GET", "/v1/files/{id}"): 404,
    ("DELETE", "/v1/files/{id}"): 404,
    ("GET", "/v1/files/{id}/content"): 404,
    ("GET", "/v1/responses/{id}"): 404,
    ("DELETE", "/v1/responses/{id}"): 404,
    ("POST", "/v1/responses/{id}/cancel"): 404,
    ("GET", "/v1/responses/{id}/input_items"): 404,
}
"""Where the name in the path is something that somebody has: the status for who has it not."""

CHOSEN = ("POST", f"{V2}/chat/{{share}}")
"""Here the id is chosen by who asks; another's is refused (tests/handlers/test_shares.py)."""

NOBODYS = {
    "/chat/{id}",
    "/share/{id}",
    f"{V2}/health/{{provider}}",
    f"{V2}/models/{{provider}}",
    f"{V2}/oauth/{{provider}}",
    f"{V2}/quota/{{provider}}",
    f"{V2}/synthesize/{{provider}}",
    f"{V2}/usage/{{day}}",
    "/v1/models/{id:.+}",
    "/web/{name}",
}
"""Where it is the same for everybody."""

HELLO = [{"role": "user", "content": "Hello"}]
ANSWERED: dict[str, Json] = {
    CONVERSATION: {"messages": HELLO, "conversation_id": "ada-kept"},
    "/api/chat": {"id": "c-1", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]},
    "/v1/chat/completions": {"model": "small", "messages": HELLO},
    "/v1/completions": {"model": "small", "prompt": "Hello"},
    "/v1/messages": {"model": "small", "messages": HELLO, "max_tokens": 9},
    "/v1/responses": {"model": "small", "input": "Hello"},
}
"""What starts a turn, and is the same turn again with the same Idempotency-Key."""
REPORT = {"model": "ada's model", "provider": "ada's provider", "label": "ada's label"}
TAKEN: dict[str, tuple[Json, int]] = {
    "/v1/audio/speech": ({"input": "Hello there.", "response_format": "srt"}, 200),
    "/v1/audio/transcriptions": ({}, 415),
    "/v1/audio/translations": ({}, 415),
    "/v1/embeddings": ({"model": "small", "input": "Hello"}, 200),
    "/v1/files": ({}, 415),
    "/v1/images/generations": ({"model": "small", "prompt": "A boat"}, 200),
    "/v1/messages/count_tokens": (ANSWERED["/v1/messages"], 200),
    "/v1/moderations": ({"model": "small", "input": "Hello"}, 200),
    f"{V2}/chats/import": ({}, 200),
    f"{V2}/keys": ({"user": "ada"}, 403),
    f"{V2}/log": ({"message": "It broke."}, 200),
    f"{V2}/public-key": ({}, 404),
    f"{V2}/render": ({"text": "Hello"}, 200),
    f"{V2}/session": ({"key": "ada"}, 401),
    f"{V2}/upload_cookies": ({}, 415),
    f"{V2}/usage": ({}, 200),
}
"""What else takes a body, and what becomes of it when bob sends it."""

TOLD, PROMPT, NAME = "Blue-Heron-At-Dawn", "What-Does-Ada-Want", "Ada's-Laptop"
END = (Finish(), Usage(), Done())
WISH = f"{V2}/create?prompt=Hello&cache=mine"
BUCKET = f"{V2}/files/ada-bucket"


class Ada(NamedTuple):
    """What ada has: her ids, by what they are of; `gate` lets her running turns end."""

    headers: Headers
    ids: dict[str, str]
    reading: aiohttp.ClientResponse
    gate: asyncio.Event

    @property
    def secrets(self) -> list[str]:
        """What bob must not be told: her name stands in quotes, for three letters stand in many words."""
        mine = [id for of, id in self.ids.items() if of != "user"]
        return [*mine, TOLD, PROMPT, NAME, '"ada"', *REPORT.values()]


class Told(NamedTuple):
    """What an answer says, but for when it was given."""

    status: int
    headers: dict[str, str]
    body: str

    def without(self, sent: str) -> "Told":
        """What somebody sent himself may be told to him."""
        headers = {name: value.replace(sent, "…") for name, value in self.headers.items()}
        return Told(self.status, headers, self.body.replace(sent, "…"))


@pytest.fixture
async def ada(service: Service, upstream: Upstream) -> AsyncIterator[Ada]:
    """She has asked everything, and three of her answers still run."""
    keys, gate = service.context.keys, asyncio.Event()
    key, key_text = await keys.create("ada", "user", NAME)
    headers = bearer(key_text)
    upstream.script(Say(TOLD), *END)
    ids = {f"turn at {path}": await _answered(service, path, headers) for path in ANSWERED}
    await service.context.shares.share("ada", "ada-kept", None)
    async with service.http.get(service.url + WISH, headers=headers) as wish:
        assert await wish.text() == TOLD
    for path, body in (
        ("/v1/embeddings", TAKEN["/v1/embeddings"][0]),
        (f"{V2}/usage", REPORT),
        (f"{V2}/log", {"message": TOLD}),
    ):
        assert (await service.post(path, body, headers=headers))[0] == 200
    upstream.script(Say(TOLD), Gate(gate), *END)
    file = await _uploaded(service, headers)
    upstream.enqueue((Show(inline(painted(size=(8, 8)))), *END))
    medium = await _drawn(service, headers)
    async with AsyncExitStack() as stack:
        reading = await stack.enter_async_context(service.asking(PROMPT, headers))
        last = re.findall(rb"id: (\S+)", await reading.content.readuntil(TOLD.encode()))[-1]
        chat = await _left_chat(service, headers)
        _, background = await service.post(
            "/v1/responses", {"model": "small", "input": PROMPT, "background": True}, headers=headers
        )
        await until(lambda: len(service.context.turns.running("ada")) == 3)
        await until(
            lambda: all(TOLD in str(turn.log.events) for turn in service.context.turns.running("ada"))
        )
        stored = "resp_" + ids["turn at /v1/responses"]
        upstream.script(Say("Nothing of hers."), *END)
        yield Ada(
            headers,
            ids
            | {
                "running turn": reading.headers["X-Turn-Id"],
                "chat's turn": chat,
                "chat": "ada-chat",
                "kept chat": "ada-kept",
                "response": stored,
                "background response": background["id"],
                "background turn": background["id"].removeprefix("resp_"),
                "item": f"item_{stored.removeprefix('resp_')}_0",
                "message": f"msg_{chat}",
                "event": last.decode(),
                "bucket": "ada-bucket",
                "file": file,
                "medium": medium,
                "idempotency key": f"ada:{CONVERSATION}",
                "key": key.id,
                "user": "ada",
            },
            reading,
            gate,
        )
        gate.set()


@pytest.fixture
async def bob(service: Service) -> Headers:
    return bearer((await service.context.keys.create("bob", "user"))[1])


async def _answered(service: Service, path: str, headers: Headers) -> str:
    """The turn of an answer that has ended."""
    keyed = {**headers, "Idempotency-Key": f"ada:{path}"}
    async with service.http.post(service.url + path, json=ANSWERED[path], headers=keyed) as answer:
        assert answer.status == 200
        assert TOLD in await answer.text()
        return answer.headers["X-Turn-Id"]


async def _uploaded(service: Service, headers: Headers) -> str:
    """The id of the one file in a bucket."""
    form = aiohttp.FormData()
    form.add_field("files", TOLD.encode(), filename="hers.txt")
    async with service.http.post(f"{service.url}{BUCKET}", data=form, headers=headers) as answer:
        assert answer.status == 200
    listed = await service.get("/v1/files", headers=headers)
    return str(listed["data"][0]["id"])


async def _drawn(service: Service, headers: Headers) -> str:
    """The name of the one picture in an answer."""
    async with service.asking("A boat", headers) as answer:
        (url,) = next(event["urls"] for event in events(await answer.read()) if "urls" in event)
    return str(url).removeprefix("/media/")


async def _left_chat(service: Service, headers: Headers) -> str:
    """A chat whose answer waits for its reader to come back."""
    message = {"role": "user", "parts": [{"type": "text", "text": PROMPT}]}
    body = {"id": "ada-chat", "messages": [message]}
    async with service.http.post(service.url + "/api/chat", json=body, headers=headers) as answer:
        await answer.content.readuntil(TOLD.encode())
        turn = answer.headers["X-Turn-Id"]
        answer.close()
    await until(lambda: [turn.readers for turn in service.context.turns.running("ada")].count(0) == 1)
    return turn


async def told(service: Service, method: str, path: str, headers: Headers, **options: Any) -> Told:
    """Raises `TimeoutError` for an answer that does not end: that is one of ada's running ones."""
    url = URL(service.url + path, encoded=True)
    named = {**headers, "X-Request-ID": "r-1"}
    async with (
        asyncio.timeout(10),
        service.http.request(method, url, headers=named, **options) as answer,
    ):
        shown = {name: value for name, value in answer.headers.items() if name != "Date"}
        return Told(answer.status, shown, await answer.text(errors="replace"))


def leaks(ada: Ada, answer: Told) -> list[str]:
    return [secret for secret in ada.secrets if secret in answer.body or secret in str(answer.headers)]


def filled(path: str, id: str) -> str:
    return re.sub(r"{\w+(:[^}]*)?}", id.replace("/", "%2F"), path)


def twin(id: str) -> str:
    """An id that looks the same, and that nobody has."""
    return id[:-1] + ("B" if id[-1] == "A" else "A")


async def everything(service: Service, ada: Ada) -> Json:
    """What ada sees of all she has."""
    found = {}
    for path in (
        "/v1/responses/" + ada.ids["response"],
        f"/v1/responses/{ada.ids['response']}/input_items",
        "/v1/responses/" + ada.ids["background response"],
        *(f"{V2}/turns/{ada.ids[f'turn at {path}']}" for path in ANSWERED),
        f"{V2}/turns",
        f"{V2}/stats",
        f"{V2}/stats/series",
        f"{V2}/usage/{date.today()}",
        f"{V2}/session",
        f"{V2}/chats",
        f"{V2}/chats/ada-kept",
        BUCKET,
        f"/v1/files/{ada.ids['file']}",
        f"/v1/files/{ada.ids['file']}/content",
        "/files/ada-bucket/media/hers.txt",
        f"/thumbnail/{ada.ids['medium']}",
    ):
        answer = await told(service, "GET", path, ada.headers)
        assert answer.status == 200, path
        found[path] = answer.body
    found["keys"] = str([(key, key.over) for key in service.context.keys if key.user == "ada"])
    assert all(TOLD in body for path, body in found.items() if path.startswith(f"{V2}/turns/"))
    assert len(json.loads(found[f"{V2}/turns"])) == 3
    return found


async def end(service: Service, ada: Ada) -> None:
    """Her running answers come to their ends, and reach her."""
    chat = await service.http.get(f"{service.url}/api/chat/ada-chat/stream", headers=ada.headers)
    ada.gate.set()
    assert '"type":"finish","finishReason":"stop"' in await chat.text()
    assert b"event: usage" in await ada.reading.read()
    await until(lambda: not service.context.turns.running("ada"))
    path = "/v1/responses/" + ada.ids["background response"]
    assert (await service.get(path, headers=ada.headers))["status"] == "completed"


def test_every_name_in_a_path_and_every_body_is_in_the_matrix() -> None:
    named = {(method, path) for path in TABLE if "{" in path for method in TABLE[path]["methods"]}
    assert {each for each in named if each[1] not in NOBODYS} - {CHOSEN} == TO_A_STRANGER.keys()
    assert {path for path in TABLE if "{" in path} >= NOBODYS
    posted = {path for path in TABLE if "{" not in path and "POST" in TABLE[path]["methods"]}
    assert posted == ANSWERED.keys() | TAKEN.keys()


@pytest.mark.parametrize("way", ["bearer", "cookie"])
async def test_every_id_of_anothers_is_one_that_nobody_has(way: str, service: Service, ada: Ada) -> None:
    key, key_text = await service.context.keys.create("bob", "user")
    bob = bearer(key_text) if way == "bearer" else logged_in(service, key)
    before = await everything(service, ada)
    for path in TABLE:
        if "{" in path:
            for method in METHODS:
                for id in ada.ids.values() if (method, path) != CHOSEN else ():
                    await _is_nobodys(service, ada, bob, (method, path), id)
    assert await everything(service, ada) == before
    await end(service, ada)


async def _is_nobodys(service: Service, ada: Ada, bob: Headers, where: tuple[str, str], id: str) -> None:
    """With everything else that bob may know of hers, too."""
    method, path = where
    body: Json = {} if method in {"GET", "HEAD", "OPTIONS"} else {"json": {}}
    handled = "GET" if method == "HEAD" else method
    for query, more in _clues(ada) if handled in TABLE[path]["methods"] else [("", {})]:
        found, unknown = [
            (await told(service, method, filled(path, sent) + query, {**bob, **more}, **body)).without(sent)
            for sent in (id, twin(id))
        ]
        assert found == unknown, (where, id)
        assert not leaks(ada, found), (where, id)
        if path not in NOBODYS:
            assert found.status == TO_A_STRANGER.get((handled, path), 405), (where, id)


def _clues(ada: Ada) -> list[tuple[str, Headers]]:
    """Queries and headers that say what only ada knows."""
    event, key = ada.ids["event"], ada.ids["idempotency key"]
    return [
        ("", {}),
        ("?stream=true&starting_after=0", {"x-user": "ada", "Last-Event-ID": event}),
        (f"?after={event}&user=ada&all=true", {"Idempotency-Key": key}),
    ]


def queries() -> Iterator[tuple[str, str]]:
    """Every parameter of every path without a name in it."""
    for path, entry in TABLE.items():
        if "{" not in path and "GET" in entry["methods"]:
            yield path, ""
            if query := Signature.of(entry["handlers"]["GET"]).query:
                yield from ((path, field.name) for field in msgspec.structs.fields(query))


async def test_no_parameter_leads_to_what_is_anothers(service: Service, ada: Ada, bob: Headers) -> None:
    before = await everything(service, ada)
    for path, name in queries():
        for id in (*ada.ids.values(), "true", "user", "ada,bob"):
            answer = await told(service, "GET", f"{path}?{name}={id}", {**bob, "x-user": "ada"})
            assert not leaks(ada, answer.without(id)), (path, name, id)
            if Signature.of(TABLE[path]["handlers"]["GET"]).policy == "admin":
                assert answer.status == 403
    assert await everything(service, ada) == before


async def test_whoever_has_used_nothing_sees_nothing(service: Service, ada: Ada, bob: Headers) -> None:
    for query in ("", "?user=ada", "?days=365&user=ada", "?user="):
        stats = await service.get(f"{V2}/stats{query}", headers=bob)
        assert (stats["users"], stats["days"], stats["totals"]["requests"]) == ({}, [], 0)
        for by in ("model", "provider", "user"):
            series = f"{V2}/stats/series{query or '?'}&by={by}"
            assert await service.get(series, headers=bob) == []
        usage = await told(service, "GET", f"{V2}/usage/{date.today()}{query}", bob)
        assert usage.status == 404
        assert await service.get(f"{V2}/turns{query}", headers=bob) == []
        assert await service.get(f"{V2}/buckets{query}", headers=bob) == []
        assert (await service.get(f"{V2}/chats{query}", headers=bob))["chats"] == []
        assert (await service.get(f"{V2}/files{query}", headers=bob))["used"] == 0
        assert (await service.get(f"/v1/files{query}", headers=bob))["data"] == []
        export = await told(service, "GET", f"{V2}/persons/bob/export{query}", bob)
        assert [json.loads(line)["type"] for line in export.body.splitlines()] == ["key"]
        assert not leaks(ada, export)
    assert (await told(service, "GET", f"{V2}/turns?all=true", bob)).status == 403
    for path in ("ledger?user=ada", "ledger?user=ada&format=csv", "ledger?format=jsonl", "keys"):
        assert (await told(service, "GET", f"{V2}/{path}", bob)).status == 403
    hers = await told(service, "GET", f"{V2}/persons/ada/export", ada.headers)
    assert TOLD in hers.body


async def test_the_same_request_of_another_is_another(service: Service, ada: Ada, bob: Headers) -> None:
    before = await everything(service, ada)
    for path, body in ANSWERED.items():
        keyed = {**bob, "Idempotency-Key": f"ada:{path}", "Last-Event-ID": ada.ids["event"]}
        answer = await told(service, "POST", path, keyed, json=body)
        assert answer.status == 200
        assert "Nothing of hers." in answer.body
        assert not leaks(ada, answer), path
    wish = await told(service, "GET", WISH, bob)
    assert wish.body == "Nothing of hers."
    for path, (body, status) in TAKEN.items():
        answer = await told(service, "POST", path, {**bob, "Idempotency-Key": "ada:" + path}, json=body)
        assert answer.status == status, answer
        assert not leaks(ada, answer), path
    assert await everything(service, ada) == before


async def test_nobody_goes_on_from_what_is_anothers(service: Service, ada: Ada, bob: Headers) -> None:
    asked = len(service.context.turns.running(None))
    for id in ada.ids.values():
        for more in ({}, {"stream": True}, {"background": True}):
            found, unknown = [
                (
                    await told(
                        service,
                        "POST",
                        "/v1/responses",
                        bob,
                        json={"model": "small", "input": "Say it.", "previous_response_id": sent, **more},
                    )
                ).without(sent)
                for sent in (id, twin(id))
            ]
            assert (found.status, found) == (400, unknown)
            assert "previous_response_not_found" in found.body
            assert not leaks(ada, found)
    assert len(service.context.turns.running(None)) == asked


async def test_a_chat_of_the_same_name_is_another(service: Service, ada: Ada, bob: Headers) -> None:
    """Whoever asks anew in a chat ends what waits there for a reader: only in his own."""
    body = {**ANSWERED["/api/chat"], "id": "ada-chat"}
    answer = await told(service, "POST", "/api/chat", bob, json=body)
    assert answer.status == 200
    assert not leaks(ada, answer.without("ada-chat"))
    assert (await told(service, "GET", "/api/chat/ada-chat/stream", bob)).status == 204
    await end(service, ada)


async def test_a_bucket_of_the_same_id_is_another(service: Service, ada: Ada, bob: Headers) -> None:
    for path in ("/files/ada-bucket/media/hers.txt", "/files/ada-bucket/thumbnail/hers.txt"):
        assert (await told(service, "GET", path, bob)).status == 404
    form = aiohttp.FormData()
    form.add_field("files", b"his", filename="hers.txt")
    assert not leaks(ada, (await told(service, "POST", BUCKET, bob, data=form)).without("ada-bucket"))
    assert (await told(service, "GET", "/files/ada-bucket/media/hers.txt", bob)).body == "his"
    assert (await told(service, "GET", "/files/ada-bucket/media/hers.txt", ada.headers)).body == TOLD
    assert (await told(service, "DELETE", BUCKET, bob)).status == 200
    assert TOLD in (await told(service, "GET", BUCKET, ada.headers)).body


async def test_a_session_is_of_its_key_alone(service: Service, ada: Ada) -> None:
    key, _ = await service.context.keys.create("bob", "user")
    session = service.context.keys.session(key, service.context.started_at + 60)
    forged = session.replace(key.id, ada.ids["key"])
    assert (await told(service, "GET", f"{V2}/turns", cookie(session))).status == 200
    assert (await told(service, "GET", f"{V2}/turns", cookie(forged))).status == 401


async def test_the_operator_sees_and_stops_but_does_not_read(service: Service, ada: Ada) -> None:
    admin = bearer((await service.context.keys.create("operator", "admin"))[1])
    assert len(await service.get(f"{V2}/turns?all=true", headers=admin)) == 3
    for path in (f"{V2}/turns/{ada.ids['running turn']}", "/v1/responses/" + ada.ids["response"]):
        assert (await told(service, "GET", path, admin)).status == 404
    stopped = await told(service, "POST", f"{V2}/turns/{ada.ids['running turn']}/stop", admin)
    assert json.loads(stopped.body) == {"id": ada.ids["running turn"], "ending": "stopped"}


async def test_a_page_that_may_call_learns_nothing_by_asking_whether_it_may(
    tmp_path: Path, upstream: Upstream
) -> None:
    page = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
    settings = ROW.format(url=upstream.url)
    async with serving(tmp_path, settings, CAUSERIE_SERVER_ORIGINS=page["Origin"]) as service:
        _, key_text = await service.context.keys.create("ada", "user")
        async with service.asking(headers=bearer(key_text)) as answer:
            turn = answer.headers["X-Turn-Id"]
            await answer.read()
        for path in (path for path in TABLE if "{" in path):
            found, unknown = [
                (await told(service, "OPTIONS", filled(path, id), page)).without(id)
                for id in (turn, twin(turn))
            ]
            assert found == unknown
            assert "access-control-allow-credentials" not in {name.lower() for name in found.headers}


# What cannot be known cannot be guessed


def random_bits(texts: list[str]) -> int:
    """How many bits of these differ from one to another."""
    numbers = [int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) for text in texts]
    return (reduce(or_, numbers) & ~reduce(and_, numbers)).bit_count()


async def test_ids_have_128_random_bits(service: Service) -> None:
    turns = []
    for _ in range(64):
        async with service.asking() as answer:
            turns.append(answer.headers["X-Turn-Id"])
            await answer.read()
    assert len(set(turns)) == 64
    assert random_bits(turns) >= 128


async def test_keys_have_256_random_bits(service: Service) -> None:
    made = [(await service.context.keys.create("ada", "user"))[1] for _ in range(64)]
    assert random_bits([text[len("ck-12345678-") :] for text in made]) >= 256
