"""Media in an answer are copied on their way: in their order, in time, and from nowhere private."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import ROW
from tests.generated import Show, copied, inline, painted, script, shown
from tests.handlers.test_images import PAINTER
from tests.serving import Json, Service, events, kinds, serving, text
from tests.upstream import (
    Answer,
    Cut,
    Done,
    Finish,
    Gate,
    Html,
    Redirect,
    Say,
    Stall,
    Status,
    Upstream,
    step,
    until,
)

COPY = r"/media/\d{9,}_small\+800x600\+A_red_bus_[0-9a-f]{16}\.png"


@pytest.fixture
async def pictures() -> AsyncIterator[Upstream]:
    """Another server of this machine."""
    async with Upstream() as pictures:
        yield pictures


async def body(service: Service, url: str, **options: Any) -> bytes:
    async with service.http.get(service.url + url, **options) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def test_a_picture_is_copied_between_what_is_said(service: Service, upstream: Upstream) -> None:
    picture = painted()
    script(upstream, Say("Here: "), Show(inline(picture)), Say("There"), Say("."))
    said = await service.ask("A red bus")
    assert kinds(said) == ["provider", "content", "finish", "usage"]
    before, copy, *after = [event for event in said if event["type"] == "content"]
    assert (before["content"], text(after)) == ("Here: ", "There.")
    (url,) = copy["urls"]
    assert re.fullmatch(COPY, url)
    small = url.replace("/media/", "/thumbnail/")
    assert copy == {
        "type": "content",
        "content": f'<a href="{url}" data-src="{url}" data-width="800" data-height="600" data-source="">'
        f'<img src="{small}" alt="A red bus" width="" height=""></a>',
        "urls": [url],
        "alt": "A red bus",
    }
    assert await body(service, url) == picture
    assert 0 < len(await body(service, small)) < 20_000


async def test_who_reads_again_is_told_the_same(service: Service, upstream: Upstream) -> None:
    script(upstream, Show(inline(painted())), Say("Done."))
    async with service.asking("A red bus") as answer:
        stream = await answer.read()
        turn = answer.headers["X-Turn-Id"]
    again = events(await body(service, f"/backend-api/v2/turns/{turn}"))
    assert again == events(stream)
    assert "base64" not in str(again)


async def test_pictures_of_a_painter_are_copied(tmp_path: Path, upstream: Upstream) -> None:
    made = [inline(painted(color)).partition(",")[2] for color in ("red", "blue")]
    upstream.script_at("/v1/images/generations", Status(200, {"data": [{"b64_json": one} for one in made]}))
    async with serving(tmp_path, PAINTER.format(url=upstream.url)) as service:
        copies = await shown(service, model="small", aspect_ratio="16:9")
        urls = [url for copy in copies for url in copy["urls"]]
        assert len(set(urls)) == 2
        assert all("_small+16_9+800x600+A_red_bus_" in url for url in urls)
        assert await body(service, urls[1]) == painted("blue")


async def test_what_is_not_wanted_is_not_copied(service: Service, upstream: Upstream) -> None:
    source = inline(painted())
    assert await copied(service, upstream, source, download_media=False) == [source]
    assert (await service.get("/v1/files"))["data"] == []
    (url,) = await copied(service, upstream, source, download_media=None)
    assert re.fullmatch(COPY, url)


async def test_other_protocols_get_what_the_provider_said(service: Service, upstream: Upstream) -> None:
    source = inline(painted())
    script(upstream, Show(source))
    question = {"model": "small", "messages": [{"role": "user", "content": "A bus"}]}
    status, answer = await service.post("/v1/chat/completions", question)
    assert (status, source in answer["choices"][0]["message"]["content"]) == (200, True)


async def test_the_name_is_bounded_and_harmless(service: Service, upstream: Upstream) -> None:
    for prompt in ("../../etc/passwd\r\nX: y", "Автобус " * 500, "..", '"><script>', "%2e%2e%2f%00", "_"):
        script(upstream, Show(inline(painted())))
        (copy,) = await shown(service, prompt)
        (url,) = copy["urls"]
        assert re.fullmatch(r"/media/[\w.+,%-]{1,700}", url)
        assert await body(service, url) == painted()
    names = [file["filename"] for file in (await service.get("/v1/files"))["data"]]
    assert len(names) == 6
    assert all(re.fullmatch(r"\d+_[\w.,+-]+_[0-9a-f]{16}\.png", name) for name in names)
    assert max(len(name.encode()) for name in names) <= 255


# From addresses


async def test_the_providers_own_host_is_asked_without_a_key(tmp_path: Path, upstream: Upstream) -> None:
    upstream.key = "sk-ours"
    picture = painted()
    upstream.script_at(
        "/pictures/1.png", Status(200, picture, {"Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"})
    )
    row = ROW.format(url=upstream.url) + 'key = "OUR_KEY"\n'
    async with serving(tmp_path, row, OUR_KEY="sk-ours") as service:
        upstream.key = None
        (url,) = await copied(service, upstream, f"{upstream.root}/pictures/1.png?sig=a%2Bb%2F")
        assert url.startswith("/media/784111777_small+")
        assert "?url=" not in url, "nobody else reaches it"
        assert await body(service, url) == picture
    asked = upstream.requests[-1]
    assert (asked.path, asked.query) == ("/pictures/1.png", "sig=a%2Bb%2F")
    assert not asked.headers.keys() & {"authorization", "cookie", "x-api-key"}


async def test_another_port_of_this_machine_is_not_asked(
    service: Service, upstream: Upstream, pictures: Upstream
) -> None:
    port = pictures.root.rpartition(":")[2]
    sources = [
        f"http://{host}:{port}/1.png"
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001", "0")
    ]
    for source in [*sources, "http://10.0.0.1/1.png", "http://169.254.169.254/latest"]:
        assert await copied(service, upstream, source) == [source]
    upstream.script_at("/moved.png", Redirect(f"{pictures.root}/1.png"))
    assert await copied(service, upstream, f"{upstream.root}/moved.png") == [f"{upstream.root}/moved.png"]
    assert pictures.requests == []


async def test_a_host_that_the_operator_named_is_asked(
    tmp_path: Path, upstream: Upstream, pictures: Upstream
) -> None:
    host = pictures.root.removeprefix("http://")
    pictures.script_at("/1.png", Redirect("2.png"))
    pictures.script_at("/2.png", Status(200, painted(), {"Content-Type": "text/html"}))
    pictures.script_at("/round", Redirect("/round"))
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_MEDIA_HOSTS=host) as service:
        (url,) = await copied(service, upstream, f"{pictures.root}/1.png")
        assert re.fullmatch(COPY, url), "what it is say its bytes"
        source = f"{pictures.root}/round"
        assert await copied(service, upstream, source) == [source]
        assert len(pictures.requests) < 10


NO_PICTURES = {
    "a page": [Html()],
    "nothing": [Status(200, b"")],
    "missing": [Status(404)],
    "cut": [Status(200, painted()[:-800])],
    "too large": [Status(200, b"\x89PNG\r\n\x1a\n" + bytes(3_000))],
    "ends early": [Cut()],
    "no redirect": [Status(302, b"")],
}


@pytest.mark.parametrize("name", NO_PICTURES)
async def test_what_cannot_be_copied_stays_where_it_is(name: str, tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at("/1.png", *NO_PICTURES[name])
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_FILE_LIMIT="3000") as service:
        source = f"{upstream.root}/1.png"
        script(upstream, Say("Here:"), Show(source, inline(painted())), Say("Well?"))
        before, copy, after = await shown(service)
        assert (before["content"], after["content"]) == ("Here:", "Well?")
        assert copy["urls"][0] == source
        assert re.fullmatch(COPY, copy["urls"][1]), "the other one is copied nonetheless"
        assert f'<img src="{source}"' in copy["content"]
        assert len((await service.get("/v1/files"))["data"]) == 1
        blobs = [file for file in (tmp_path / "state/files").rglob("*") if file.is_file()]
        assert len(blobs) == 2, "a picture and its thumbnail"


@pytest.mark.parametrize(
    "source",
    [
        "data:image/png;base64,!!!!",
        "data:image/png;base64,",
        "data:image/png",
        "data:text/html;base64,PGh0bWw+PHNjcmlwdD4=",
        "data:,Hello",
        "file:///etc/passwd",
        "ftp://a.example/1.png",
        "https://user:password@127.0.0.1/1.png",
        "http://",
        "http://[::1",
        "//a",
        "https://127.0.0.1:99999/",
    ],
)
async def test_what_is_no_medium_stays_as_it_is(service: Service, upstream: Upstream, source: str) -> None:
    assert await copied(service, upstream, source) == [source]
    assert (await service.get("/v1/files"))["data"] == []


async def test_a_drawing_is_copied_and_cannot_run(service: Service, upstream: Upstream) -> None:
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for source in (inline(drawing.encode(), "image/svg+xml"), f"data:image/svg+xml,{quote(drawing)}"):
        (url,) = await copied(service, upstream, source)
        assert url.endswith(".svg")
        for place in (url, url.replace("/media/", "/thumbnail/")):
            async with service.http.get(service.url + place) as answer:
                assert (answer.status, await answer.text()) == (200, drawing)
                assert answer.headers["Content-Disposition"].startswith("attachment")
                assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_sound_is_copied_and_can_be_played(service: Service, upstream: Upstream) -> None:
    sound = b"RIFF\x24\0\0\0WAVEfmt " + bytes(30)
    script(upstream, Show(inline(sound, "audio/wav")))
    (copy,) = await shown(service)
    (url,) = copy["urls"]
    assert copy["content"] == f'<audio controls src="{url}"></audio>'
    assert copy["data"] == url
    assert await body(service, url) == sound


# In time


@step
async def Once(_: Answer, fact: Callable[[], object]) -> None:
    await until(fact)


async def test_a_server_that_stalls_does_not_hold_the_answer(tmp_path: Path, upstream: Upstream) -> None:
    upstream.script_at("/1.png", Stall())
    source, others = f"{upstream.root}/1.png", [inline(painted(color)) for color in ("red", "blue")]
    row = ROW.format(url=upstream.url)
    async with serving(tmp_path, row, CAUSERIE_FILES_MEDIA_TIMEOUT="1") as service:
        later = Once(lambda: [asked for asked in upstream.aborted if asked.path == "/1.png"])
        script(upstream, Show(source, others[0]), Say("That"), later, Show(source, others[1]), Say("is it."))
        first, that, again, last = await shown(service)
        assert (first["urls"][0], that["content"], last["content"]) == (source, "That", "is it.")
        assert re.fullmatch(COPY, first["urls"][1])
        assert again["urls"] == [source, others[1]], "there was no time left for another one"
        assert len([asked for asked in upstream.requests if asked.path == "/1.png"]) == 1
    assert [file.name for file in (tmp_path / "state/files/arriving").iterdir()] == []


async def test_while_one_waits_for_his_picture_others_are_answered(
    service: Service, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script_at("/1.png", Gate(gate), Status(200, painted()))
    asked = Once(lambda: [asked for asked in upstream.requests if asked.path == "/1.png"])
    script(upstream, Say("Look:"), Show(f"{upstream.root}/1.png"), asked, Say("Nice?"))
    async with service.asking("A red bus") as waiting:
        heard = await waiting.content.readuntil(b"Look:")
        script(upstream, Say("Hello."))
        assert text(await service.ask("Hi")) == "Hello."
        gate.set()
        heard += await waiting.read()
    _, _, _, copy, after, *_ = events(heard)
    assert re.fullmatch(COPY, copy["urls"][0])
    assert after["content"] == "Nice?"


async def test_who_stops_it_keeps_what_was_said(service: Service, upstream: Upstream) -> None:
    upstream.script_at("/1.png", Stall())
    source = f"{upstream.root}/1.png"
    script(upstream, Say("Look:"), Show(source), Say("Nice?"))
    async with service.asking("A red bus") as answer:
        heard = await answer.content.readuntil(b"Look:")
        await until(lambda: upstream.requests[-1].path == "/1.png")
        turn = answer.headers["X-Turn-Id"]
        assert (await service.post(f"/backend-api/v2/turns/{turn}/stop", {}))[0] == 200
        heard += await answer.read()
    *_, copy, after, finish, usage = events(heard)
    assert (copy["urls"], after["content"]) == ([source], "Nice?")
    assert finish["finish"]["reason"] == "stop", "the provider had said all of it"
    assert usage["usage"]["completion_tokens"] == 2
    await until(lambda: upstream.requests[-1].aborted_at)


async def test_a_failure_after_a_picture_comes_after_it(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Look:"), Show(inline(painted())), Say("Nice?"), Cut())
    said = await service.ask("A red bus")
    look, copy, nice, error = said[1:]
    assert (look["content"], nice["content"], error["type"]) == ("Look:", "Nice?", "error")
    assert re.fullmatch(COPY, copy["urls"][0])


async def test_so_many_and_no_more(tmp_path: Path, upstream: Upstream) -> None:
    sources = [inline(painted(color)) for color in ("red", "green", "blue")]
    for most in (2, 0):
        async with serving(
            tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_MEDIA_COUNT=str(most)
        ) as service:
            script(upstream, Show(*sources[:2], sources[0]), Show(sources[2]))
            urls = [url for copy in await shown(service) for url in copy["urls"]]
            assert [url.startswith("/media/") for url in urls] == [bool(most)] * 3 + [False]
            assert urls[0] == urls[2]


# Room


async def test_they_count_as_files_and_go_like_files(tmp_path: Path, upstream: Upstream) -> None:
    picture = painted()
    quota = str(len(picture) + 10)
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_USER_QUOTA=quota) as service:
        (url,) = await copied(service, upstream, inline(picture))
        assert (await service.get("/backend-api/v2/files"))["used"] == len(picture)
        other = inline(painted("blue"))
        assert await copied(service, upstream, other) == [other], "there is no room for it"
        (file,) = (await service.get("/v1/files"))["data"]
        assert (file["purpose"], file["bytes"]) == ("generated", len(picture))
        async with service.http.delete(f"{service.url}/v1/files/{file['id']}") as answer:
            assert answer.status == 200
        async with service.http.get(service.url + url) as answer:
            assert answer.status == 404
        assert (await service.get("/backend-api/v2/files"))["used"] == 0
        assert (await copied(service, upstream, other))[0].startswith("/media/")


async def test_a_person_has_them_handed_out_and_removed(service: Service, upstream: Upstream) -> None:
    script(upstream, Show(inline(painted())))
    async with service.asking("A red bus", {"x-user": "ada"}) as answer:
        (url,) = next(event["urls"] for event in events(await answer.read()) if "urls" in event)
    exported = await body(service, "/backend-api/v2/persons/ada/export")
    assert b'"purpose":"generated"' in exported
    async with service.http.delete(service.url + "/backend-api/v2/persons/ada") as answer:
        assert (await answer.json())["files"] == 1
    async with service.http.get(service.url + url, headers={"x-user": "ada"}) as answer:
        assert answer.status == 404


async def test_what_nobody_looks_at_expires(tmp_path: Path, upstream: Upstream) -> None:
    async with serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_FILES_KEEP="1") as service:
        (url,) = await copied(service, upstream, inline(painted()))
        await service.context.filing.expire(time.time() - 10)
        assert await body(service, url) == painted()
        await service.context.filing.expire(time.time() + 10)
        async with service.http.get(service.url + url) as answer:
            assert answer.status == 404


async def test_the_parts_of_an_answer_stay_in_order(service: Service, upstream: Upstream) -> None:
    colors = ("red", "green", "blue")
    steps = [step for color in colors for step in (Say(color), Show(inline(painted(color))))]
    upstream.script(*steps, Say("end"), Finish(), Done())
    said: list[Json] = await shown(service)
    assert [event["content"] for event in said[::2]] == [*colors, "end"]
    for (before, copy), color in zip(
        pairwise(said[:-1]), [color for color in colors for _ in "12"], strict=False
    ):
        if "urls" in copy:
            assert before["content"] == color
            assert await body(service, copy["urls"][0]) == painted(color)
