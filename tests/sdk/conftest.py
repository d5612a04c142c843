"""The unmodified SDKs, pointed at the service."""

from collections.abc import AsyncGenerator

import pytest
from openai import AsyncOpenAI

from tests.serving import Service


@pytest.fixture
async def openai(service: Service) -> AsyncGenerator[AsyncOpenAI, None]:
    """It sends its key, as it always does, and does not try again by itself."""
    async with AsyncOpenAI(api_key="sk-whatever", base_url=f"{service.url}/v1", max_retries=0) as client:
        yield client
