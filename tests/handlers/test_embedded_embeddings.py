"""Embeddings from the embedded model: real weights, and OpenAI's own client."""

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from service.providers.embedded import Embedded
from tests.serving import Service, serving, text
from tests.upstream import until

pytestmark = pytest.mark.slow

MODEL = "SmolLM2-135M-Instruct"
LONG = "One day a dog went into the town, and this is what happened to it there. " * 12
"""Some 200 tokens: long enough to be noticed while it is read."""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service, None]:
    async with serving(tmp_path, CAUSERIE_EMBEDDED_ENABLED="true") as service:
        provider = service.context.registry["Embedded"]
        assert isinstance(provider, Embedded)
        await provider.engine.ready()
        yield service


async def embedded(service: Service, texts: object, **fields: Any) -> list[Any]:
    body = {"model": MODEL, "input": texts, **fields}
    status, answer = await service.post("/v1/embeddings", body)
    assert status == 200, answer
    assert [entry["index"] for entry in answer["data"]] == list(range(len(answer["data"])))
    return [entry["embedding"] for entry in answer["data"]]


async def refusal(service: Service, texts: object, **fields: Any) -> Any:
    status, answer = await service.post("/v1/embeddings", {"model": MODEL, "input": texts, **fields})
    assert status == 400
    return answer["error"]


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_openai_s_client_gets_vectors_that_tell_texts_apart(service: Service) -> None:
    texts = ["The cat sat on the mat.", "A kitten rested on the rug.", "Share prices fell sharply today."]
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        answer = await client.embeddings.create(model=MODEL, input=texts)
    cat, kitten, shares = [entry.embedding for entry in answer.data]
    assert (len(cat), answer.model, answer.object) == (576, MODEL, "list")
    assert likeness(cat, cat) == pytest.approx(1, abs=1e-5)
    assert likeness(cat, kitten) > likeness(cat, shares)
    assert likeness(cat, kitten) > likeness(kitten, shares)
    assert 15 < answer.usage.prompt_tokens == answer.usage.total_tokens < 30


async def test_a_vector_is_the_same_alone_among_others_and_in_base64(service: Service) -> None:
    (alone,) = await embedded(service, "Hello there.")
    _, among, _ = await embedded(service, ["Something else.", "Hello there.", LONG], encoding_format="float")
    (encoded,) = await embedded(service, ["Hello there."], encoding_format="base64")
    assert alone == among
    assert list(struct.unpack("<576f", base64.b64decode(encoded))) == pytest.approx(alone, abs=1e-9)


async def test_what_is_counted_stands_in_the_ledger(service: Service) -> None:
    await embedded(service, ["Hello there.", "Hello there."])
    await until(lambda: not service.context.database.waiting)
    (record,) = await service.records()
    assert (record["provider"], record["model"]) == ("Embedded", MODEL)
    assert record["prompt_tokens"] > 2
    assert record["completion_tokens"] == 0


@pytest.mark.parametrize(
    ("texts", "fields", "param", "says"),
    [
        ([1, 2, 3], {}, "input", "tokens are not read"),
        ([[1, 2], [3]], {}, "input", "tokens are not read"),
        ([], {}, "input", "1 to 2048 texts"),
        (["Hello", ""], {}, "input", "none is empty"),
        (["a"] * 2049, {}, "input", "1 to 2048 texts"),
        ("Hello", {"dimensions": 256}, "dimensions", "have 576 dimensions"),
        ("Hello", {"encoding_format": "int8"}, "encoding_format", '"float" or "base64"'),
    ],
)
async def test_what_cannot_be_embedded_is_refused(
    service: Service, texts: object, fields: dict[str, Any], param: str, says: str
) -> None:
    error = await refusal(service, texts, **fields)
    assert error["param"] == param
    assert says in error["message"]


async def test_a_text_may_have_512_tokens_and_no_more(service: Service) -> None:
    (vector,) = await embedded(service, "a" + " a" * 511)
    assert len(vector) == 576
    error = await refusal(service, ["Hello", "a" + " a" * 512])
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    assert "513 tokens" in error["message"] and "512" in error["message"].split("tokens")[1]


async def test_an_answer_begins_between_two_texts(service: Service) -> None:
    async with asyncio.TaskGroup() as tasks:
        batches = [tasks.create_task(embedded(service, [LONG] * 8)) for _ in range(8)]
        await asyncio.sleep(2)
        answer = await service.ask("What is the capital of France?")
        assert not any(batch.done() for batch in batches)
        for batch in batches:
            batch.cancel()
    assert "Paris" in text(answer)


async def test_who_leaves_is_not_computed_for(service: Service) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(embedded(service, [LONG] * 1000), 2)
    await asyncio.wait_for(embedded(service, "Hello"), 60)
