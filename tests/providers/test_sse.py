import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.providers.sse import EventStream, StreamTooLong

SAMPLES = [
    (b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n', [b'{"a":1}', b'{"b":2}', b"[DONE]"]),
    (b"data: one\r\ndata: two\r\n\r\ndata: three\r\n\r\n", [b"one\ntwo", b"three"]),
    (b"data: one\rdata: two\r\rdata: three\r\r", [b"one\ntwo", b"three"]),
    (b"data: one\r\ndata: two\ndata: three\r\r\ndata: four\n\r", [b"one\ntwo\nthree", b"four"]),
    (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: only one BOM is allowed for\n\ndata: two\n\n", [b"two"]),
    (b"\n\n\ndata: after blank lines\n\n\n\n", [b"after blank lines"]),
    (b": ping\n\n:\n\ndata: one\n: between\n\ndata: two\n\n", [b"one", b"two"]),
    (b"event: delta\nid: 7\nretry: 10\ndata: one\n\nevent: only\n\n", [b"one"]),
    (b"data:one\n\ndata:  two\n\ndata: three \n\n", [b"one", b" two", b"three "]),
    (b"data\n\ndata\ndata\n\ndata:\n\ndata: \n\n", [b"", b"\n", b"", b""]),
    (b"Data: x\n\ndatax: y\n\n data: z\n\n<!doctype html>\n\n", []),
    ("data: h\u00e9 \u4f60\u597d \U0001f600\u2028\r\n\r\n".encode(), ["hé 你好 😀\u2028".encode()]),
    (b"data: \x00\xff\x0b\x0c\x85\n\n", [b"\x00\xff\x0b\x0c\x85"]),
    (b"data: one\n\ndata: the last word", [b"one", b"the last word"]),
    (b"data: one\r\n\r\ndata: the last\r\ndata: word\r", [b"one", b"the last\nword"]),
    (b"data: one\n\n: a comment is the end", [b"one"]),
    (b"\xef\xbb", []),
    (b"", []),
]


def payloads(*chunks: bytes) -> list[bytes]:
    stream = EventStream()
    return [payload for chunk in chunks for payload in stream.feed(chunk)] + stream.end()


def each_byte(text: bytes) -> list[bytes]:
    return [text[i : i + 1] for i in range(len(text))]


@pytest.mark.parametrize(("text", "expected"), SAMPLES)
def test_every_split_reads_the_same(text: bytes, expected: list[bytes]) -> None:
    assert payloads(text) == expected
    assert payloads(*each_byte(text)) == expected
    for cut in range(len(text) + 1):
        assert payloads(text[:cut], text[cut:]) == expected, cut
        assert payloads(text[:cut], b"", text[cut:], b"") == expected, cut


PIECES = [
    b"data: ",
    b"data:",
    b"data",
    b'{"x": 1}',
    b"a",
    b" ",
    b":",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"id: 1\n",
]
FRAMES = [b"data: {}\n\n", b"data: a\ndata: b\n\n", b"event: e\r\ndata: c\r\n\r\n", b": ping\n\n"]
texts = st.lists(st.sampled_from([*PIECES, *FRAMES, b"\xef\xbb\xbf"]), max_size=24).map(b"".join)


@given(text=texts, data=st.data())
def test_any_pieces_read_like_single_bytes(text: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edges = zip([0, *cuts], [*cuts, len(text)], strict=True)
    assert payloads(*(text[start:stop] for start, stop in edges)) == payloads(*each_byte(text))


@given(text=texts, limit=st.integers(0, 20))
def test_the_limit_does_not_depend_on_the_pieces(text: bytes, limit: int) -> None:
    def outcome(chunks: list[bytes]) -> list[bytes] | None:
        stream = EventStream(limit)
        try:
            return [payload for chunk in chunks for payload in stream.feed(chunk)] + stream.end()
        except StreamTooLong:
            return None

    assert outcome([text]) == outcome(each_byte(text))


def test_events_come_with_the_chunk_that_completes_them() -> None:
    stream = EventStream()
    assert stream.feed(b"data: one\n\ndata: t") == [b"one"]
    assert stream.feed(b"wo\r") == []
    assert stream.feed(b"\r") == [b"two"]
    assert stream.feed(b"\ndata: three\n\n") == [b"three"]
    assert stream.end() == []


def test_an_end_is_an_end_only_once() -> None:
    stream = EventStream()
    stream.feed(b"data: last")
    assert stream.end() == [b"last"]
    assert stream.end() == []


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: x\n", b"data\n", b"data: x\r\n"])
def test_an_endless_event_is_cut_off(piece: bytes) -> None:
    stream = EventStream(limit=1000)
    with pytest.raises(StreamTooLong, match="1000 bytes"):
        for _ in range(1001):
            stream.feed(piece)


def test_an_endless_line_is_cut_off_in_one_chunk() -> None:
    with pytest.raises(StreamTooLong):
        EventStream(limit=1000).feed(b"data: " + b"x" * 995 + b"\n\n")


def test_the_limit_is_for_an_event_not_for_the_stream() -> None:
    stream = EventStream(limit=1000)
    event = b"data: " + b"x" * 994 + b"\n\n"
    assert [len(payload) for _ in range(50) for payload in stream.feed(event * 3)] == [994] * 150
    assert [stream.feed(b": ping\n") for _ in range(1000)] == [[]] * 1000


def test_images_pass_as_data_uris() -> None:
    event = b"data: " + b"x" * 8_000_000 + b"\n\n"
    chunks = [event[i : i + 65_536] for i in range(0, len(event), 65_536)]
    assert payloads(*chunks) == [event[6:-2]]
