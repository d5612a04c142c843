"""Packages of npm that tests need, exactly those of a lock file, in a directory of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest


def install(source: Path, directory: Path) -> None:
    """Installs what package-lock.json of `source` names; skips the test where there is no npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs Node and npm: apt-get install nodejs npm")
    for file in source.glob("*.json"):
        shutil.copy(file, directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
