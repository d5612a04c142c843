"""`make install` and `make uninstall` into a directory: what is copied, and that nothing else happens."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_install import ROOT, bare_clone, environment, imports

HOMELY = f"""#!/bin/sh
exec {sys.executable} -c 'import sys; sys.base_prefix = "/home/ada/python"; exec(sys.argv[1])' "$2"
"""
CALLED = "#!/bin/sh\ntouch called\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with three small locks, and a systemctl that must not be called."""
    folder = bare_clone(tmp_path)
    for name in ("service", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "service/.cache").mkdir(exist_ok=True)
    (folder / "bin").mkdir()
    for name, script in {"systemctl": CALLED, "homely": HOMELY}.items():
        (folder / "bin" / name).write_text(script)
        (folder / "bin" / name).chmod(0o755)
    return folder


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    variables = environment(clone, PATH=f"{clone}/bin:{os.environ['PATH']}")
    return subprocess.run(command, cwd=clone, env=variables, capture_output=True, text=True, timeout=120)


def found(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_is_installed_is_what_the_units_start_and_goes_again(clone: Path) -> None:
    stage, tree = clone / "stage", clone / "stage/srv/causerie"
    arguments = [f"DESTDIR={stage}", "PREFIX=/srv/causerie"]
    (tree / "service").mkdir(parents=True)
    (tree / "service/of_an_older_version.py").write_text("")
    finished = make(clone, "install", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in tree.iterdir()} == {"service", "config", "requirements", "LICENSE", ".venv"}
    assert found(tree / "service") == {name for name in found(clone / "service") if "/." not in f"/{name}"}
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in tree.rglob("*") if path.is_file())
    assert imports(tree, "base_pebble")
    assert imports(tree, "model_pebble")
    assert not imports(tree, "dev_pebble")
    assert found(stage / "etc") == {"systemd/system/causerie.service", "systemd/system/causerie.socket"}
    unit = (stage / "etc/systemd/system/causerie.service").read_text()
    assert "ExecStart=/srv/causerie/.venv/bin/python -m service\n" in unit
    assert "/opt/" not in unit
    finished = make(clone, "uninstall", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert found(stage) == set()
    assert not tree.exists()
    assert not (clone / "called").exists()


def test_a_python_that_the_service_could_not_read_is_refused(clone: Path) -> None:
    finished = make(clone, "install", "PYTHON=homely", f"PREFIX={clone}/prefix")
    assert finished.returncode != 0
    assert "cannot read /home/ada/python" in finished.stderr
    assert "make install PYTHON=/usr/bin/python3" in finished.stderr
    assert not (clone / "prefix").exists()
    assert not (clone / "called").exists()
