"""Answers straight from their connections, over a server that says exactly what it is told to."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BadRequest
from service.providers import direct
from service.providers.answers import Take, Unreachable
from service.providers.direct import Broken, Direct
from service.providers.sse import StreamTooLong
from tests.upstream import until

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads a question, then does as its script says; one connection may bring several questions."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.questions: list[bytes] = []
        self.connections = self.gone = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.questions.append(head + await reader.readexactly(length))
                await self._script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone += 1
        finally:
            writer.close()


@asynccontextmanager
async def asking(script: Script, limit: int = 10) -> AsyncGenerator[tuple[Server, Direct]]:
    server = Server(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1")
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    client = Direct(server.url, limit, connect_timeout=2)
    try:
        yield server, client
    finally:
        await client.close()
        listening.close()
        await listening.wait_closed()


def says(*pieces: bytes, then_closes: bool = False) -> Script:
    """Each piece goes out by itself."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if then_closes:
            writer.close()
            await writer.wait_closed()
            raise ConnectionResetError

    return script


async def read(client: Direct, server: Server, enough: Callable[[bytes], bool] = lambda _: False) -> bytes:
    taken = bytearray()

    def take(data: bytes) -> bool:
        taken.extend(data)
        return enough(bytes(taken))

    async with await client.ask("POST", f"{server.url}/v1/x", {"x": "y"}, b"body") as answer:
        await answer.pour(take)
    return bytes(taken)


def into(pieces: list[bytes]) -> Take:
    def take(data: bytes) -> bool:
        pieces.append(data)
        return False

    return take


def chunked(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


async def test_a_question_is_asked_as_it_is() -> None:
    async with asking(says(OK + b"Content-Length: 2\r\n\r\nhi")) as (server, client):
        assert await read(client, server) == b"hi"
        assert server.questions[0].startswith(b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:")
        assert b"\r\nx: y\r\n" in server.questions[0]
        assert server.questions[0].endswith(b"\r\n\r\nbody")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6), st.data())
def test_wherever_an_answer_is_cut_it_is_the_same(texts: list[bytes], data: st.DataObject) -> None:
    whole = CHUNKED + b"".join(map(chunked, texts)) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def ask() -> bytes:
        async with asking(says(*pieces)) as (server, client):
            return await read(client, server)

    assert asyncio.run(ask()) == b"".join(texts)


async def test_what_one_read_brings_is_handed_on_at_once() -> None:
    """Upstreams send a chunk for each token; a burst of them is one piece, and one write to the reader."""
    pieces: list[bytes] = []
    burst = CHUNKED + chunked(b"a") * 50 + b"0\r\n\r\n"
    async with (
        asking(says(burst)) as (server, client),
        await client.ask("POST", f"{server.url}/", {}, None) as answer,
    ):
        await answer.pour(into(pieces))
    assert b"".join(pieces) == b"a" * 50
    assert len(pieces) <= 2, "the head may have come by itself"


async def test_a_connection_serves_again() -> None:
    async with asking(says(CHUNKED + chunked(b"hi") + b"0\r\n\r\n")) as (server, client):
        for _ in range(3):
            assert await read(client, server) == b"hi"
        assert server.connections == 1


async def test_one_that_was_read_enough_serves_again_once_it_has_ended() -> None:
    async with asking(says(CHUNKED, chunked(b"[DONE]"), b"0\r\n\r\n")) as (server, client):
        for _ in range(3):
            assert await read(client, server, lambda taken: b"[DONE]" in taken) == b"[DONE]"
            await asyncio.sleep(0.05)
        assert server.connections == 1


async def test_one_that_does_not_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "LAST_WORDS", 0.1)
    async with asking(says(CHUNKED, chunked(b"[DONE]"))) as (server, client):
        await read(client, server, lambda taken: b"[DONE]" in taken)
        await until(lambda: server.gone == 1)


async def test_who_leaves_early_closes_it_at_once() -> None:
    async with asking(says(CHUNKED + chunked(b"a"))) as (server, client):
        reading = asyncio.ensure_future(read(client, server))  # noqa: TID251
        await until(lambda: len(server.questions) == 1)
        await asyncio.sleep(0.05)
        reading.cancel()
        await until(lambda: server.gone == 1)


async def test_an_idle_one_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "IDLE_SECONDS", 0.1)
    async with asking(says(CHUNKED + b"0\r\n\r\n")) as (server, client):
        await read(client, server)
        await until(lambda: server.gone == 1)


async def test_one_that_the_server_has_closed_is_not_used_again() -> None:
    async with asking(says(CHUNKED + b"0\r\n\r\n", then_closes=True)) as (server, client):
        for number in range(1, 4):
            await read(client, server)
            await until(lambda number=number: server.gone == number)  # type: ignore[misc]
            await asyncio.sleep(0.05)
        assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED + chunked(b"half") + b"5\r\nab",
        OK + b"Content-Length: 10\r\n\r\nhalf",
        CHUNKED + chunked(b"half"),
        CHUNKED + chunked(b"half") + b"no size\r\n",
        CHUNKED + chunked(b"half") + b"-1\r\n",
    ],
    ids=["in a chunk", "before its length", "between chunks", "no chunk", "a chunk of less than nothing"],
)
async def test_half_an_answer_is_none(answer: bytes) -> None:
    async with asking(says(answer, then_closes=True)) as (server, client):
        taken: list[bytes] = []
        async with await client.ask("POST", f"{server.url}/", {}, None) as response:
            with pytest.raises(Broken):
                await response.pour(into(taken))
        assert b"".join(taken).startswith(b"half"), "what was said before counts"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["nothing", "no HTTP", "a head without end", "compressed", "two lengths"],
)
async def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    async with asking(says(answer, then_closes=True)) as (server, client):
        with pytest.raises(Broken):
            await client.ask("POST", f"{server.url}/", {}, None)


async def test_what_breaks_after_enough_was_read_is_no_loss() -> None:
    async with asking(says(CHUNKED + chunked(b"[DONE]") + b"no size", then_closes=True)) as (server, client):
        assert await read(client, server, lambda taken: b"[DONE]" in taken) == b"[DONE]"


async def test_an_answer_may_end_with_its_connection() -> None:
    async with asking(says(OK + b"\r\n", b"to the ", b"end", then_closes=True)) as (server, client):
        assert await read(client, server) == b"to the end"


async def test_hints_come_before_the_answer() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with asking(says(early, OK + b"Content-Length: 2\r\n\r\nhi")) as (server, client):
        assert await read(client, server) == b"hi"


async def test_a_body_has_a_limit() -> None:
    async with asking(says(OK + b"Content-Length: 100\r\n\r\n" + b"x" * 100)) as (server, client):
        async with await client.ask("GET", f"{server.url}/", {}, None) as answer:
            with pytest.raises(StreamTooLong):
                await answer.read(99)
        async with await client.ask("GET", f"{server.url}/", {}, None) as answer:
            assert len(await answer.read(100)) == 100


async def test_more_than_so_many_wait() -> None:
    release = asyncio.Event()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(OK + b"Content-Length: 2\r\n\r\nhi")

    async with asking(script, limit=2) as (server, client), asyncio.TaskGroup() as group:
        asked = [group.create_task(read(client, server)) for _ in range(5)]
        await until(lambda: len(server.questions) == 2)
        await asyncio.sleep(0.05)
        assert len(server.questions) == 2
        asked[4].cancel()
        release.set()
        await asyncio.wait(asked)
        assert [task.result() for task in asked[:4]] == [b"hi"] * 4
        assert server.connections == 2


async def test_what_is_taken_wrongly_is_told_to_who_takes() -> None:
    async with asking(says(CHUNKED + chunked(b"a"))) as (server, client):
        async with await client.ask("POST", f"{server.url}/", {}, None) as answer:
            with pytest.raises(ZeroDivisionError):
                await answer.pour(lambda _: 1 / 0 > 0)
        await until(lambda: server.gone == 1)


async def test_nobody_there() -> None:
    async with asking(says(b"")) as (server, _):
        url = server.url
    client = Direct(url, 1, connect_timeout=2)
    for _ in range(2):
        with pytest.raises(Unreachable):
            await client.ask("GET", f"{url}/", {}, None)
    await client.close()


@pytest.mark.parametrize("text", ["a\r\nx-other: b", "a\nb", "a\0b", "a\rb"])
async def test_a_header_stays_one(text: str) -> None:
    async with asking(says(OK + b"Content-Length: 0\r\n\r\n")) as (server, client):
        with pytest.raises(BadRequest):
            await client.ask("POST", f"{server.url}/", {"authorization": text}, None)
        assert server.connections == 0


async def test_another_origin_is_not_asked() -> None:
    async with asking(says(OK + b"Content-Length: 0\r\n\r\n")) as (server, client):
        with pytest.raises(ValueError):
            await client.ask("POST", "http://127.0.0.2:1/", {"authorization": "secret"}, None)
        assert server.connections == 0
