"""How a log reaches a socket: at once, in order, with signs of life, and never at the price of memory."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.serving import CONVERSATION, Service, events, kinds, serving, text
from tests.upstream import Done, Finish, Gate, Say, Silent, Split, Stall, Upstream, until


async def test_each_piece_arrives_before_the_next_is_said(service: Service, upstream: Upstream) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    upstream.script(
        Say("a"), Gate(gates[0]), Say("b"), Gate(gates[1]), Say("c"), Gate(gates[2]), Finish(), Done()
    )
    async with service.asking() as answer:
        for letter, gate in zip("abc", gates, strict=True):
            frame = b""
            while b"content" not in frame:
                frame = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
            assert text(events(frame)) == letter
            gate.set()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_text_is_whole_however_the_upstream_splits_it(
    service: Service, upstream: Upstream, size: int
) -> None:
    said = ["Grüße ", "из ", "東京 ", "👩‍👩‍👧‍👦", '"\\\n\t']
    upstream.script(Split(size), *(Say(piece) for piece in said), Finish(), Done())
    answer = await service.ask()
    assert [event["content"] for event in answer if event["type"] == "content"] == said


async def test_silence_is_broken_by_comments_before_the_first_token_too(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script(Silent())
    async with (
        serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_STREAM_HEARTBEAT="0.05") as service,
        service.asking() as answer,
    ):
        frames = [await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5) for _ in range(5)]
        assert kinds(events(b"".join(frames[:2]))) == ["turn", "provider"]
        assert frames[2:] == [b": ping\n\n"] * 3


async def test_json_lines_have_no_comments(tmp_path: Path, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(Gate(gate), Say("x"), Finish(), Done())
    async with (
        serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_STREAM_HEARTBEAT="0.02") as service,
        service.asking(headers={"x_user": "old"}) as answer,
    ):
        await answer.content.readuntil(b'"provider"')
        await answer.content.readline()
        await asyncio.sleep(0.1)
        gate.set()
        rest = (await answer.read()).splitlines()
        assert [json.loads(line)["type"] for line in rest] == ["content", "finish", "usage"]


async def connected(service: Service) -> socket.socket:
    """A client with a tiny receive buffer that has asked and does not read."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = service.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "Hello"}).encode()
    await asyncio.to_thread(reader.connect, (host, int(port)))
    head = f"POST {CONVERSATION} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    await asyncio.to_thread(reader.sendall, head.encode() + body)
    return reader


MANY, LONG = 2000, "x" * 20_000


async def test_who_reads_slowly_gets_everything(service: Service, upstream: Upstream) -> None:
    upstream.script(*(Say(f"{number:0400} ") for number in range(MANY)), Finish(), Done())
    reader = await connected(service)
    await until(lambda: upstream.bill and upstream.bill[0][1] == MANY)

    def drained() -> bytes:
        found = b""
        while not found.endswith(b"0\r\n\r\n"):
            found += reader.recv(65536)
        return found

    found = await asyncio.to_thread(drained)
    reader.close()
    numbers = [int(piece.split(b'"')[0]) for piece in found.split(b'"content":"')[1:]]
    assert numbers == list(range(MANY))


async def test_who_never_reads_loses_his_connection_and_the_turn_ends(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.script(*(Say(LONG) for _ in range(400)), Stall())
    async with serving(
        tmp_path, ROW.format(url=upstream.url), CAUSERIE_STREAM_WRITE_TIMEOUT="0.5"
    ) as service:
        reader = await connected(service)
        await until(lambda: upstream.aborted and not service.buffered())
        reader.close()


async def test_what_waits_for_a_reader_is_the_log_and_no_buffer(service: Service, upstream: Upstream) -> None:
    upstream.script(*(Say(LONG) for _ in range(400)), Stall())
    reader = await connected(service)
    await until(lambda: upstream.bill and upstream.bill[0][1] == 400)
    # A full socket's limit, and what one read of the provider's may bring at once (256 KiB).
    assert max(service.buffered()) < 20 * len(LONG), "8 MB were said"
    reader.close()
    await until(lambda: not service.buffered())
