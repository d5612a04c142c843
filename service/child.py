"""What a child process does before anything else: it binds itself to its parent, and to what it may take.

It imports little, so that children start fast.
"""

import contextlib
import ctypes
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

# linux/prctl.h, linux/seccomp.h, linux/bpf_common.h
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER, SECCOMP_ALLOW, SECCOMP_EPERM = 2, 0x7FFF0000, 0x00050001
LOAD, EQUALS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE = 0, 4  # where they stand in struct seccomp_data
FOREIGN = 0x40000000  # x32 calls, which are other names for the same

# By machine: its name in an audit, and its calls that reach out: socket, connect, bind, execve, execveat,
# ptrace, io_uring_setup.
CALLS = {
    "x86_64": (0xC000003E, (41, 42, 49, 59, 322, 101, 425)),
    "aarch64": (0xC00000B7, (198, 203, 200, 221, 281, 117, 425)),
}


def die_with_parent(number: signal.Signals) -> None:
    """Asks the kernel for this signal at the parent's death; beyond Linux, the end of stdin has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def offer_to_the_killer() -> None:
    """Where memory runs out, this process goes first (proc_pid_oom_score_adj(5))."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def held() -> int:
    """Bytes of memory that this process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def bound(memory: int, *, written: int, files: int) -> None:
    """Limits this process: bytes of memory of its own, bytes of each file it writes, files open at once."""
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: memory,  # not RLIMIT_AS: threads and libraries map far more than they use
        resource.RLIMIT_FSIZE: written,
        resource.RLIMIT_NOFILE: files,
    }
    for kind, limit in limits.items():
        _, most = resource.getrlimit(kind)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, limit))


def cut_off() -> None:
    """Takes from this process, as far as the system can, networks and other programs: they are EPERM."""
    if sys.platform != "linux" or platform.machine() not in CALLS:
        return
    architecture, calls = CALLS[platform.machine()]
    program = _filter(architecture, calls)
    code = ctypes.create_string_buffer(program)
    filled = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(filled), 0, 0)


def _filter(architecture: int, calls: tuple[int, ...]) -> bytes:
    """A seccomp filter (seccomp(2)); jumps count instructions: the last but one allows, the last refuses."""
    length = len(calls)
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUALS, 0, length + 3, architecture),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, length + 1, 0, FOREIGN),
        *((EQUALS, length - index, 0, call) for index, call in enumerate(calls)),
        (RETURN, 0, 0, SECCOMP_ALLOW),
        (RETURN, 0, 0, SECCOMP_EPERM),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
