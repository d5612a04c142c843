"""The service as a process of its own: `python -m service`."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "service")


@asynccontextmanager
async def started(
    directory: Path, command: Sequence[str] = COMMAND, files: Sequence[int] = (), /, **variables: str
) -> AsyncGenerator[Process, None]:
    """A running service, or what starts it; killed if a test leaves it running. `files` are inherited."""
    environment = os.environ | {
        "CAUSERIE_PORT": "0",
        "CAUSERIE_STATE_DIR": str(directory / "state"),
        "CAUSERIE_EMBEDDED_ENABLED": "false",
        "CAUSERIE_SCRIPTED_ENABLED": "true",
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment | variables, stdout=PIPE, stderr=PIPE, pass_fds=files
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address(process: Process) -> str:
    """Where it says it is: its first line's last word."""
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith("Causerie "), line
    return line.split()[-1]
