"""The matrix of what is another's, with PostgreSQL as the database."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.conftest import ROW
from tests.postgresql import Server
from tests.serving import Service, serving
from tests.test_ownership import (
    ada,
    bob,
    test_a_bucket_of_the_same_id_is_another,
    test_a_chat_of_the_same_name_is_another,
    test_every_id_of_anothers_is_one_that_nobody_has,
    test_no_parameter_leads_to_what_is_anothers,
    test_nobody_goes_on_from_what_is_anothers,
    test_the_operator_sees_and_stops_but_does_not_read,
    test_the_same_request_of_another_is_another,
    test_whoever_has_used_nothing_sees_nothing,
)
from tests.upstream import Upstream

__all__ = [
    "ada",
    "bob",
    "test_a_bucket_of_the_same_id_is_another",
    "test_a_chat_of_the_same_name_is_another",
    "test_every_id_of_anothers_is_one_that_nobody_has",
    "test_no_parameter_leads_to_what_is_anothers",
    "test_nobody_goes_on_from_what_is_anothers",
    "test_the_operator_sees_and_stops_but_does_not_read",
    "test_the_same_request_of_another_is_another",
    "test_whoever_has_used_nothing_sees_nothing",
]


@pytest.fixture
async def service(tmp_path: Path, upstream: Upstream, postgresql: Server) -> AsyncGenerator[Service, None]:
    async with (
        postgresql.database() as url,
        serving(tmp_path, ROW.format(url=upstream.url), CAUSERIE_DATABASE_URL=url) as service,
    ):
        yield service
