"""What most tests stand on: the scripted upstream, and the service in front of it."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from tests.postgresql import Server, running
from tests.serving import Service, serving
from tests.upstream import Upstream

ROW = """
[[providers]]
name = "Upstream"
label = "The upstream"
url = "{url}"
local = true
"""


@pytest.fixture
async def upstream() -> AsyncGenerator[Upstream, None]:
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream) -> AsyncGenerator[Service, None]:
    """The service with the scripted upstream as its only provider."""
    async with serving(tmp_path, ROW.format(url=upstream.url)) as service:
        yield service


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One server for all tests that ask for one."""
    with running() as server:
        yield server
