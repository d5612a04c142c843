"""Child processes, as the service starts and ends them; what they do first themselves is service.child."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import IO

# By the beginning of their names: the keys of providers are no business of a child.
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_", "LD_", "DYLD_", "PYTHON")


async def start(
    module: str,
    *,
    environment: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> Process:
    """`python -m module` with pipes to its stdin and stdout.

    It sees `variables`, and those whose names begin as in `ENVIRONMENT` and `environment`, no others. A
    session of its own keeps the terminal's Ctrl-C from it: the service ends it, in its own time.
    """
    passed = ENVIRONMENT + environment
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=Path(__file__).parents[1],
        env={name: value for name, value in os.environ.items() if name.startswith(passed)}
        | dict(variables or {}),
        stdin=PIPE,
        stdout=PIPE,
        stderr=stderr,
        start_new_session=True,
    )


async def kill(child: Process) -> None:
    """At once: a child holds nothing that a gentle end would save."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
