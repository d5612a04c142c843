"""However a turn ends: its reader is told, its upstream is closed, and it is in the books once."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from service.stores.schema import records
from tests.conftest import ROW
from tests.serving import Json, Service, kinds, serving, text
from tests.upstream import (
    Close,
    Cut,
    Done,
    ErrorChunk,
    Finish,
    Raw,
    Reset,
    Say,
    Silent,
    Stall,
    Status,
    Step,
    Upstream,
    Usage,
    until,
)


async def books(service: Service) -> list[Json]:
    """The ledger's rows; the writer is given a moment."""
    await until(lambda: not service.context.database.waiting)
    return [dict(row) for row in await service.context.database.read(select(records))]


async def the_record(service: Service, ending: str) -> Json:
    """The one record there is, once it is settled."""
    for _ in range(400):
        rows = await books(service)
        if rows and rows[0]["ending"]:
            break
        await asyncio.sleep(0.01)
    assert [row["ending"] for row in rows] == [ending]
    return rows[0]


async def test_done(service: Service, upstream: Upstream) -> None:
    answer = await service.ask()
    record = await the_record(service, "done")
    assert (record["prompt_tokens"], record["completion_tokens"]) == upstream.bill[0]
    assert (record["usage_source"], record["provider"], record["model"]) == ("provider", "Upstream", "small")
    assert answer[-1]["usage"]["total_tokens"] == sum(upstream.bill[0])
    assert record["opened_at"] <= record["first_token_at"] <= record["ended_at"]


async def test_done_without_a_count_is_estimated_and_says_so(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("twelve bytes"), Finish(), Done())
    answer = await service.ask("sixteen bytes ..")
    assert answer[-1]["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "total_tokens": 12,
        "estimated": True,
    }
    assert (await the_record(service, "done"))["usage_source"] == "estimate"


async def test_the_reader_leaves_and_the_upstream_is_closed(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    async with service.asking() as answer:
        await answer.content.readuntil(b'"Hel"}\n\n')
    await until(lambda: upstream.aborted, seconds=1)
    record = await the_record(service, "abandoned")
    assert (record["usage_source"], record["completion_tokens"]) == ("estimate", 1)


async def test_the_reader_leaves_before_the_first_token(service: Service, upstream: Upstream) -> None:
    upstream.script(Silent())
    async with service.asking() as answer:
        await answer.content.readuntil(b"event: provider")
        await until(lambda: upstream.requests[-1].path.endswith("completions"))
    await until(lambda: upstream.aborted, seconds=1)
    await the_record(service, "abandoned")


async def test_a_hundred_readers_leave_and_nothing_is_left(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Hel"), Stall())
    before = len(asyncio.all_tasks())

    async def leave() -> None:
        async with service.asking() as answer:
            await answer.content.readuntil(b'"Hel"}\n\n')

    await asyncio.gather(*(leave() for _ in range(100)))
    await until(lambda: len(upstream.aborted) == 100, seconds=5)
    await until(lambda: len(asyncio.all_tasks()) <= before, seconds=5)
    rows = await books(service)
    assert [row["ending"] for row in rows] == ["abandoned"] * 100


BROKEN: dict[str, tuple[list[Step], str]] = {
    "reset": ([Say("Hel"), Reset()], "failed"),
    "cut": ([Say("Hel"), Cut()], "failed"),
    "error in the stream": ([Say("Hel"), ErrorChunk("Out of memory.")], "failed"),
    "an end without a finish": ([Say("Hel"), Close()], "failed"),
    "500": ([Status(500)], "failed"),
    "silence": ([Say("Hel"), Stall()], "timeout"),
    "silence from the first": ([Silent()], "timeout"),
    "pings only": ([Raw(b": ping\n\n"), Stall()], "timeout"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_the_upstream_fails(tmp_path: Path, upstream: Upstream, name: str) -> None:
    script, ending = BROKEN[name]
    upstream.script(*script)
    row = ROW.format(url=upstream.url) + "first_token_timeout = 0.3\nidle_timeout = 0.3\n"
    async with serving(tmp_path, row) as service:
        answer = await service.ask()
        assert kinds(answer)[-1] == "error", "an error is the last word: no finish, no usage"
        assert answer[-1]["message"]
        assert text(answer) in {"", "Hel"}
        record = await the_record(service, ending)
        said = text(answer) == "Hel"
        assert (record["completion_tokens"], record["prompt_tokens"]) == ((1, 6) if said else (0, 0))
        assert record["error"] == answer[-1]["error"]


async def test_a_stream_without_done_is_whole_when_it_finished(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("All of it."), Finish("length"), Usage(), Close())
    answer = await service.ask()
    assert answer[-2]["finish"] == {"reason": "length"}
    await the_record(service, "done")


async def test_what_comes_after_done_is_not_waited_for(service: Service, upstream: Upstream) -> None:
    upstream.script(Say("Yes."), Finish(), Done(), Stall())
    assert kinds(await service.ask()) == ["provider", "content", "finish", "usage"]


async def test_the_last_frame_waits_for_the_record(service: Service, upstream: Upstream) -> None:
    await service.ask()
    rows = [dict(row) for row in await service.context.database.read(select(records))]
    assert [row["ending"] for row in rows] == ["done"], "it is durable when the reader has seen the end"
