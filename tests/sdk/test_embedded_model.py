"""Both vendors' SDKs over the model that comes with the installation: no key, no network, no script."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, BadRequestError

from tests.serving import Service, serving

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
CITY: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

pytestmark = pytest.mark.slow


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncGenerator[Service, None]:
    async with serving(tmp_path, CAUSERIE_EMBEDDED_ENABLED="true") as service:
        yield service


@pytest.fixture
async def openai(embedded: Service) -> AsyncGenerator[AsyncOpenAI, None]:
    async with AsyncOpenAI(api_key="none", base_url=f"{embedded.url}/v1", max_retries=0) as client:
        yield client


async def test_openais_chat(openai: AsyncOpenAI) -> None:
    (model,) = [model.id async for model in openai.models.list()]
    answer = await openai.chat.completions.create(model=model, messages=QUESTION)
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage
    assert answer.usage.completion_tokens > 0
    said = ""
    async for chunk in await openai.chat.completions.create(model="auto", messages=QUESTION, stream=True):
        said += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert "Paris" in said


async def test_openais_structured_output(openai: AsyncOpenAI) -> None:
    answer = await openai.chat.completions.create(
        model="auto",
        messages=QUESTION,
        response_format={"type": "json_schema", "json_schema": {"name": "capital", "schema": CITY}},
    )
    assert json.loads(answer.choices[0].message.content or "").keys() == {"city"}


async def test_openais_responses(openai: AsyncOpenAI) -> None:
    async with openai.responses.stream(model="auto", input="What is the capital of France?") as stream:
        async for _ in stream:
            pass
        answer = await stream.get_final_response()
    assert "Paris" in answer.output_text
    assert (await openai.responses.retrieve(answer.id)).output_text == answer.output_text
    replayed = await openai.responses.retrieve(answer.id, stream=True, starting_after=3)
    numbers = [event.sequence_number async for event in replayed]
    assert numbers == list(range(4, 4 + len(numbers)))


async def test_openais_embeddings(openai: AsyncOpenAI) -> None:
    (model,) = [model.id async for model in openai.models.list()]
    answer = await openai.embeddings.create(
        model=model, input=["The cat sat.", "A cat was sitting.", "Tax law"]
    )
    cat, sitting, tax = (embedding.embedding for embedding in answer.data)
    assert product(cat, sitting) > product(cat, tax)
    assert answer.usage.prompt_tokens > 0


async def test_a_prompt_that_is_too_long(openai: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match=r"\d+ tokens.* at most \d+") as raised:
        await openai.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "word " * 20_000}], stream=True
        )
    assert raised.value.code == "context_length_exceeded"


async def test_anthropics_messages(embedded: Service) -> None:
    async with AsyncAnthropic(api_key="none", base_url=embedded.url, max_retries=0) as client:
        async with client.messages.stream(model="auto", max_tokens=100, messages=QUESTION) as stream:
            said = "".join([text async for text in stream.text_stream])
            final = await stream.get_final_message()
        assert "Paris" in said
        assert final.stop_reason == "end_turn"
        assert final.usage.output_tokens > 0
        counted = await client.messages.count_tokens(model="auto", messages=QUESTION)
        assert counted.input_tokens > 0


def product(one: list[float], other: list[float]) -> float:
    return sum(first * second for first, second in zip(one, other, strict=True))
