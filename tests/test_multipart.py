"""Forms, read as they arrive: the same however they are cut, and 4xx whatever is wrong with them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as some

from service.errors import BadRequest, RequestTimeout, ServiceError, TooLarge
from service.multipart import Limits, Parts
from tests.upstream import until

LIMITS = Limits(size=2_000_000, parts=10, duration=5, silence=5)
FORM = "multipart/form-data; boundary=limit"
Told = tuple[str, str | None, str | None, bytes]


def part(name: str, content: bytes, more: bytes = b"") -> bytes:
    return b'--limit\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
        name.encode(),
        more,
        content,
    )


END = b"--limit--\r\n"
TRICKY = b"x--limit\n\r\n--limi\r\n\r\n-limit--\r\r\n--\0" * 9
WHOLE = (
    part("files", b"Hello", b'; filename="a b.txt"\r\nContent-Type: text/plain')
    + part("files", TRICKY, b"; filename*=UTF-8''%D1%8F.txt")
    + part("purpose", b"")
    + END
)
READ: list[Told] = [
    ("files", "a b.txt", "text/plain", b"Hello"),
    ("files", "я.txt", None, TRICKY),
    ("purpose", None, None, b""),
]


class Connection(asyncio.Transport):
    """A connection that brings everything that there is, however full the reader is."""

    def pause_reading(self) -> None:
        """Goes on."""

    def resume_reading(self) -> None:
        """Goes on."""


def stream(pieces: Sequence[bytes], *, ends: bool = True) -> aiohttp.StreamReader:
    """A request's body, which has arrived in these pieces."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(Connection())
    content = aiohttp.StreamReader(protocol, 2**26, loop=loop)
    for piece in pieces:
        content.feed_data(piece)
    if ends:
        content.feed_eof()
    return content


def parts_of(content: aiohttp.StreamReader, limits: Limits = LIMITS, form: str = FORM) -> Parts:
    return Parts({"Content-Type": form}, content, limits)


async def read(parts: Parts) -> list[Told]:
    told = []
    async with aclosing(aiter(parts)) as sent:
        async for each in sent:
            content = b"".join([chunk async for chunk in each.chunks])
            told.append((each.name, each.filename, each.content_type, content))
    return told


@given(some.lists(some.integers(1, 200), min_size=1, max_size=200))
def test_it_is_the_same_however_it_is_cut(sizes: list[int]) -> None:
    async def cut() -> list[Told]:
        rest, pieces = WHOLE, []
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        return await read(
            parts_of(stream([*filter(None, pieces), rest] if rest else [*filter(None, pieces)]))
        )

    assert asyncio.run(cut()) == READ


async def test_it_is_the_same_byte_by_byte_as_it_arrives() -> None:
    content = stream([], ends=False)

    async def feed() -> None:
        for byte in WHOLE:
            content.feed_data(bytes([byte]))
            await asyncio.sleep(0)
        content.feed_eof()

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(parts_of(content)))
        group.create_task(feed())
    assert reading.result() == READ


async def test_a_part_may_be_left_unread() -> None:
    async with aclosing(aiter(parts_of(stream([part("x", b"a" * 900_000) + WHOLE])))) as sent:
        assert [each.name async for each in sent] == ["x", "files", "files", "purpose"]


async def test_large_parts_come_in_pieces_worth_a_write() -> None:
    content = stream([part("x", b"a" * 1_900_000) + END])
    async with aclosing(aiter(parts_of(content))) as sent:
        async for each in sent:
            sizes = [len(chunk) async for chunk in each.chunks]
    assert sum(sizes) == 1_900_000
    assert min(sizes[:-1]) >= 256 * 1024
    assert max(sizes) < 600_000


HOSTILE = {
    "nothing": b"",
    "no form": b"{}",
    "another boundary": part("x", b"1").replace(b"limit", b"other"),
    "no end": part("x", b"1"),
    "cut in the content": part("x", b"1" * 1000)[:-500],
    "cut in the headers": part("x", b"1")[:30],
    "cut in the boundary": WHOLE[:-5],
    "no disposition": b"--limit\r\n\r\n1\r\n" + END,
    "no name": b"--limit\r\nContent-Disposition: form-data\r\n\r\n1\r\n" + END,
    "a broken disposition": b'--limit\r\nContent-Disposition: form-data; name="x\r\n\r\n1\r\n' + END,
    "an endless line": b"--limit\r\nX: " + b"a" * 1_000_000,
    "an endless header": b"--limit\r\nContent-Disposition: form-data; name="
    + b"a" * 20_000
    + b"\r\n\r\n1\r\n"
    + END,
    "endless headers": b"--limit\r\n" + b"X: 1\r\n" * 1_000 + b"\r\n1\r\n" + END,
    "NUL in a header": b'--limit\r\nContent-Disposition: form-data; name="x\0y"\r\n\r\n1\r\n' + END,
    "no colon": b"--limit\r\nnonsense\r\n\r\n1\r\n" + END,
    "an endless preamble": b"\n" * 1_000_000 + WHOLE,
    "a long preamble": b"a" * 100_000 + b"\r\n" + WHOLE,
    "a form in the form": part("x", b"1", b"\r\nContent-Type: multipart/mixed; boundary=y") + END,
    "an encoded part": part("x", b"MQ==", b"\r\nContent-Transfer-Encoding: base64") + END,
    "an odd charset": part("_charset_", b"a" * 100) + END,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_malformed_is_a_bad_request(name: str) -> None:
    with pytest.raises(BadRequest, match=r"^The form .*\.$") as raised:
        await read(parts_of(stream([HOSTILE[name]])))
    assert raised.value.status == 400
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    "form",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "a" * 71,
        "multipart/form-data; boundary=" + "-" * 1_000_000,
        "text/plain",
    ],
    ids=lambda form: form[:40],
)
async def test_a_boundary_is_needed_and_not_too_long(form: str) -> None:
    with pytest.raises(BadRequest, match="The form cannot be read"):
        await read(parts_of(stream([WHOLE]), form=form))


async def test_parts_are_counted() -> None:
    assert len(await read(parts_of(stream([part("x", b"") * 10 + END])))) == 10
    with pytest.raises(TooLarge, match="more parts than the limit of 10"):
        await read(parts_of(stream([part("x", b"") * 100_000 + END], ends=False)))


async def test_bytes_are_counted_whether_they_are_read_or_not() -> None:
    body = part("x", b"a" * LIMITS.size) + END
    with pytest.raises(TooLarge, match="limit of 2000000 bytes"):
        await read(parts_of(stream([body])))
    with pytest.raises(TooLarge, match="limit of 2000000 bytes"):
        async with aclosing(aiter(parts_of(stream([body])))) as sent:
            assert [each.name async for each in sent] == ["x"]


@pytest.mark.parametrize(
    "limits",
    [Limits(10_000, 10, duration=5, silence=0.05), Limits(10_000, 10, duration=0.05, silence=5)],
    ids=["silent", "slow"],
)
@pytest.mark.parametrize("sent", [b"", WHOLE[:40], WHOLE[:-50]], ids=len)
async def test_what_does_not_come_is_not_waited_for(limits: Limits, sent: bytes) -> None:
    with pytest.raises(RequestTimeout):
        await read(parts_of(stream([sent] if sent else [], ends=False), limits))


async def test_a_byte_now_and_then_does_not_keep_it_alive() -> None:
    content = stream([part("x", b"a")[:-2]], ends=False)

    async def drip() -> AsyncGenerator[None, None]:
        while True:
            content.feed_data(b"a")
            await asyncio.sleep(0.01)
            yield

    async with asyncio.TaskGroup() as group:
        limits = Limits(10_000, 10, duration=0.3, silence=0.2)
        reading = group.create_task(failing(parts_of(content, limits)))
        async with aclosing(drip()) as drops:
            async for _ in drops:
                if reading.done():
                    break
    assert isinstance(reading.result(), RequestTimeout)


async def failing(parts: Parts) -> ServiceError | None:
    try:
        await read(parts)
    except ServiceError as error:
        return error
    return None


async def test_a_lost_connection_is_a_bad_request() -> None:
    content = stream([WHOLE[:50]], ends=False)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(failing(parts_of(content)))
        await until(lambda: content.total_bytes > 0)
        content.set_exception(ConnectionResetError("gone"))
    assert isinstance(reading.result(), BadRequest)


async def test_a_short_field_is_a_text() -> None:
    async with aclosing(
        aiter(parts_of(stream([part("x", "я".encode()) + part("x", b"\xff") + END])))
    ) as sent:
        assert await (await anext(sent)).text(2) == "я"
        with pytest.raises(BadRequest, match="no text in UTF-8"):
            await (await anext(sent)).text(2)
    async with aclosing(aiter(parts_of(stream([part("x", b"abc") + END])))) as sent:
        with pytest.raises(BadRequest, match="longer than 2 bytes"):
            await (await anext(sent)).text(2)
