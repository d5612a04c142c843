"""Scripts of this directory, as processes that are talked to in JSON lines."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SECONDS = 60
"""How long a line may take to come."""
LINE_BYTES = 1_000_000


class Client:
    """A running script; `lines` are those that it has printed so far."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.lines: list[Json] = []

    async def until(self, wanted: Callable[[Json], object]) -> Json:
        """The next line of which this is true."""
        assert self._process.stdout
        async with asyncio.timeout(SECONDS):
            while data := await self._process.stdout.readline():
                self.lines.append(json.loads(data))
                if wanted(self.lines[-1]):
                    return self.lines[-1]
        raise AssertionError("The client has ended; its error stands above.")

    async def do(self, command: str, **arguments: object) -> Json:
        """Gives a command, and returns the state after it."""
        self.tell(command, **arguments)
        return await self.until(lambda line: line.get("done") == command)

    def tell(self, command: str, **arguments: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")

    async def text(self, text: str) -> None:
        """Waits until the last message has this text."""
        await self.until(lambda line: line.get("text") == text)


@asynccontextmanager
async def running(directory: Path, script: str, *arguments: str) -> AsyncGenerator[Client, None]:
    """The script, which is killed at the end if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        "node", script, *arguments, cwd=directory, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES
    )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
