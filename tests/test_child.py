"""What a child process takes from itself, tried out in one."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRIED = """
import os, socket, subprocess, sys
from service.child import bound, cut_off

bound(256 << 20, written=1000, files=32)
cut_off()

def tried(name, action):
    try:
        action()
    except (OSError, MemoryError) as error:
        print(name, type(error).__name__)
    else:
        print(name, "done")

tried("tcp", socket.socket)
tried("unix", lambda: socket.socket(socket.AF_UNIX))
tried("program", lambda: subprocess.run(["true"]))
tried("memory", lambda: bytearray(512 << 20))
tried("little memory", lambda: bytearray(64 << 20))
tried("short file", lambda: open(sys.argv[1], "wb", 0).write(bytes(1000)))
tried("long file", lambda: open(sys.argv[1], "ab", 0).write(b"x"))
tried("many files", lambda: [os.dup(0) for _ in range(32)])
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="needs seccomp"
)
def test_what_it_can_no_longer_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRIED, str(tmp_path / "file")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "tcp PermissionError",
        "unix PermissionError",
        "program PermissionError",
        "memory MemoryError",
        "little memory done",
        "short file done",
        "long file OSError",
        "many files OSError",
    ]
