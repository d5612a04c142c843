"""Node, with the clients of package-lock.json in a directory of their own."""

import shutil
from pathlib import Path

import pytest

from tests import npm

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the scripts, with what they import."""
    directory = tmp_path_factory.mktemp("node")
    npm.install(HERE, directory)
    for file in HERE.glob("*.mjs"):
        shutil.copy(file, directory)
    return directory
