"""What happens to turns while the ledger cannot be written."""

import asyncio
import sqlite3
from pathlib import Path

from tests.conftest import ROW
from tests.serving import CONVERSATION, serving, text
from tests.upstream import Upstream, until


async def test_the_answer_arrives_unrecorded_and_is_recorded_later(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with serving(
        tmp_path, ROW.format(url=upstream.url), CAUSERIE_DATABASE_SETTLE_TIMEOUT="0.2"
    ) as service:
        database = service.context.database
        file = tmp_path / "state" / "causerie.db"
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")  # as a backup that hangs would
        answer = await service.ask()
        assert text(answer) == "Hello from the upstream."
        assert answer[-1]["recorded"] is False

        await until(lambda: database.failing, seconds=20)
        status, error = await service.post(CONVERSATION, {"prompt": "Hello"})
        assert (status, error["error"]["code"]) == (507, "storage_full")
        async with service.http.get(f"{service.url}/health/ready") as ready:
            assert ready.status == 503
        assert await service.get("/health/live") == {"status": "ok"}

        other.close()
        await until(lambda: not database.failing and not database.waiting, seconds=30)
        assert "recorded" not in (await service.ask())[-1]
        assert [row["total_tokens"] for row in await service.records()] == [5, 5]
        assert "recorded" not in (await service.ask())[-1]
