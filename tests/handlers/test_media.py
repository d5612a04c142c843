"""Generated media on the wire: handed out to whom they were made for, found by their words."""

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from tests.access import bearer
from tests.generated import Show, copied, inline, painted, script
from tests.serving import Service, events
from tests.upstream import Say, Status, Upstream

PUBLIC = "93.184.216.34"
PLACES = ("media", "images", "thumbnail")


@pytest.fixture
async def copy(service: Service, upstream: Upstream) -> str:
    """The name of a copy; the picture is red."""
    (url,) = await copied(service, upstream, inline(painted()))
    return url.rpartition("/")[2]


async def location(service: Service, path: str, **options: Any) -> str:
    """Where the client is sent."""
    url = URL(service.url + path, encoded=True)
    async with service.http.get(url, allow_redirects=False, **options) as answer:
        assert answer.status == 302, await answer.text()
        return answer.headers["Location"]


async def status(service: Service, path: str, **options: Any) -> tuple[int, str | None]:
    """And the culprit; a redirect is not followed."""
    url = URL(service.url + path, encoded=True)
    async with service.http.get(url, allow_redirects=False, **options) as answer:
        return answer.status, (await answer.json())["error"]["param"] if answer.status >= 400 else None


async def test_a_copy_is_handed_out_for_good(service: Service, copy: str) -> None:
    for place in ("media", "images"):
        async with service.http.get(f"{service.url}/{place}/{copy}") as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
            assert await answer.read() == painted()
            assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
            assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("inline;")
            assert answer.headers["Last-Modified"]
            tag = answer.headers["ETag"]
    for method in ("GET", "HEAD"):
        sent = {"If-None-Match": tag}
        async with service.http.request(method, f"{service.url}/media/{copy}", headers=sent) as answer:
            assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", tag)
    async with service.http.get(f"{service.url}/media/{copy}", headers={"Range": "bytes=1-3"}) as answer:
        assert (answer.status, await answer.read()) == (206, b"PNG")
        assert answer.headers["Content-Range"] == f"bytes 1-3/{len(painted())}"


async def test_a_thumbnail_is_another_file(service: Service, copy: str) -> None:
    async with service.http.get(f"{service.url}/thumbnail/{copy}") as answer:
        assert (answer.status, answer.content_type) == (200, "image/jpeg")
        small, tag = await answer.read(), answer.headers["ETag"]
    assert small.startswith(b"\xff\xd8\xff")
    async with service.http.get(f"{service.url}/media/{copy}", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "name",
    [
        "_",
        "-",
        ".",
        "..",
        "%2e%2e",
        "..%2f",
        "..%2f..%2fetc%2fpasswd",
        "a%2f..%2fb",
        "%00",
        "%ed%a0%80",
        "a" * 300,
        "C:%5Cx.png",
        "CON",
        "x.png::$DATA",
        "%25",
        "_%25",
        "'%20OR%201=1--",
        "arriving",
    ],
)
async def test_a_name_that_is_none_leads_nowhere(service: Service, copy: str, name: str) -> None:
    """S12 of the corpus."""
    for place in PLACES if name in copy else (*PLACES, "search"):
        for query in ("", "?url=https://elsewhere.example"):
            assert (await status(service, f"/{place}/{name}{query}"))[0] == 404


async def test_a_copy_is_its_users(service: Service, upstream: Upstream) -> None:
    (_, ada), (_, bob) = [await service.context.keys.create(name, "user") for name in ("ada", "bob")]
    (_, operator) = await service.context.keys.create("operator", "admin")
    script(upstream, Show(inline(painted())))
    async with service.asking("A red bus", bearer(ada)) as answer:
        (url,) = next(event["urls"] for event in events(await answer.read()) if "urls" in event)
    name = url.rpartition("/")[2]
    for text, code in ((ada, 200), (bob, 404), (operator, 404), ("", 401)):
        headers = bearer(text) if text else {}
        for place in PLACES:
            async with service.http.get(f"{service.url}/{place}/{name}", headers=headers) as answer:
                assert answer.status == code
    assert await location(service, "/search/bus", headers=bearer(ada)) == url
    for query in ("", "?random=1", "?skip=0&min=1"):
        assert (await status(service, f"/search/bus{query}", headers=bearer(bob)))[0] == 404


async def test_without_keys_a_page_shows_what_its_user_was_answered(
    service: Service, upstream: Upstream
) -> None:
    script(upstream, Show(inline(painted())))
    async with service.asking("A red bus", {"x-user": "ann"}) as answer:
        (url,) = next(event["urls"] for event in events(await answer.read()) if "urls" in event)
    for headers, code in (({"x-user": "ann"}, 200), ({}, 200), ({"x-user": "bob"}, 404)):
        async with service.http.get(service.url + url, headers=headers) as answer:
            assert answer.status == code
    assert (await status(service, "/search/bus"))[0] == 404


# Where they came from


@pytest.fixture
def outside(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> str:
    """A public address at which the scripted upstream answers: nothing leaves this machine."""
    port = int(upstream.root.rpartition(":")[2])

    class Routed(socket.socket):
        def connect(self, address: Any) -> None:
            super().connect(("127.0.0.1", port) if address[0] == PUBLIC else address)

    monkeypatch.setattr(socket, "socket", Routed)
    return f"http://{PUBLIC}:{port}"


def lost(tmp_path: Path) -> None:
    """Every file's bytes are gone."""
    for file in (tmp_path / "state/files").rglob("*"):
        if file.is_file():
            file.unlink()


async def test_what_was_lost_is_found_where_it_came_from(
    service: Service, upstream: Upstream, outside: str, tmp_path: Path
) -> None:
    upstream.script_at("/1.png", Status(200, painted()))
    source = f"{outside}/1.png?signed=a%2Fb&x=1"
    (url,) = await copied(service, upstream, source)
    name = url.partition("?")[0].rpartition("/")[2]
    assert url == f"/media/{name}?url={quote(source, safe='')}"
    for there in (url, f"/media/{name}?url=https://elsewhere.example/", f"/media/{name}"):
        assert await status(service, there) == (200, None)
    lost(tmp_path)
    for place in PLACES:
        assert await location(service, url.replace("media", place, 1)) == source
        for other in ("", "?url=https://elsewhere.example/", f"?url={quote(outside, safe='')}", "?url="):
            assert await status(service, f"/{place}/{name}{other}") == (404, None)
    assert await status(service, f"/media/x{name}?url={quote(source, safe='')}") == (404, "name")


async def test_a_public_address_that_sends_inside_is_not_followed(
    service: Service, upstream: Upstream, outside: str
) -> None:
    async with Upstream() as inside:
        upstream.script_at("/1.png", Status(302, b"", {"Location": f"{inside.root}/1.png"}))
        assert await copied(service, upstream, f"{outside}/1.png") == [f"{outside}/1.png"]
        assert inside.requests == []


async def test_nobody_is_sent_where_only_we_can_go(
    service: Service, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script_at("/1.png", Status(200, painted()))
    source = f"{upstream.root}/1.png"
    (url,) = await copied(service, upstream, source)
    lost(tmp_path)
    assert await status(service, f"{url}?url={quote(source, safe='')}") == (404, None)


# Search


@pytest.fixture
async def gallery(service: Service, upstream: Upstream) -> dict[str, str]:
    """Addresses by what was asked for, from the oldest to the newest."""
    sound = b"RIFF\x24\0\0\0WAVEfmt " + bytes(30)
    made = {
        "A red bus": inline(painted("red")),
        "A blue bus": inline(painted("blue", "JPEG"), "image/jpeg"),
        "Красный Автобус": inline(painted("red", size=(8, 8))),
        "A song of 100% joy": inline(sound, "audio/wav"),
    }
    found = {}
    for prompt, source in made.items():
        script(upstream, Show(source), Say("."))
        first, *_ = [event for event in await service.ask(prompt) if "urls" in event]
        (found[prompt],) = first["urls"]
        await asyncio.sleep(0.01)
    return found


async def test_a_search_finds_the_newest_that_has_all_the_words(
    service: Service, gallery: dict[str, str]
) -> None:
    red, blue, bus, song = gallery.values()
    for words, found in (
        ("bus", blue),
        ("BUS", blue),
        ("red+bus", red),
        ("red%20bus", red),
        ("image+bus", blue),
        ("png+bus", red),
        ("audio", song),
        ("image", bus),
        (quote("автобус"), bus),
        (quote("АВТО"), bus),
        ("100_", song),
    ):
        assert await location(service, f"/search/{words}") == found, words
    for words in ("green", "red+blue", "audio+bus", "video", "%25", "b%25s", "100_x"):
        assert await status(service, f"/search/{words}") == (404, "name"), words


async def test_a_search_says_how_many_words_and_which_one(service: Service, gallery: dict[str, str]) -> None:
    red, blue, bus, song = gallery.values()
    for query, found in (
        ("image?skip=1", blue),
        ("image?skip=2", red),
        ("red+blue+bus?min=2", blue),
        ("red+blue+bus?min=2&skip=1", red),
        ("song+green?min=1", song),
        ("bus?min=9", blue),
    ):
        assert await location(service, f"/search/{query}") == found, query
    assert await status(service, "/search/image?skip=3") == (404, "name")
    assert {await location(service, "/search/image?random=true") for _ in range(40)} == {red, blue, bus}
    assert len({await location(service, "/search/image?random=seed") for _ in range(5)}) == 1
    assert await status(service, "/search/green?random=1") == (404, "words")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("skip=abc", "skip"),
        ("skip=-1", "skip"),
        ("skip=1.5", "skip"),
        ("min=x", "min"),
        ("min=0", "min"),
        ("skip=", "skip"),
    ],
)
async def test_a_bad_query_names_its_parameter(service: Service, query: str, name: str) -> None:
    assert await status(service, f"/search/bus?{query}") == (400, name)


async def test_a_search_of_nonsense_is_quick(service: Service, gallery: dict[str, str]) -> None:
    """S15 of the corpus."""
    assert gallery
    loop = asyncio.get_running_loop()
    for words in ("%25" * 2000, "_" * 6000, "*" * 6000, '"' * 2000, "%25a" * 1500):
        began = loop.time()
        assert (await status(service, f"/search/{words}"))[0] == 404
        assert loop.time() - began < 1
    assert await status(service, "/search/" + "a+" * 20) == (400, "words")
