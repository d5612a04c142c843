"""The embedded model, end to end: real weights, real text."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from service.providers.embedded import Embedded
from service.providers.engine import Engine, bundled_model
from tests.serving import CONVERSATION, Service, events, kinds, serving, text
from tests.upstream import until

pytestmark = pytest.mark.slow


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service, None]:
    async with serving(tmp_path, CAUSERIE_EMBEDDED_ENABLED="true") as service:
        yield service


def engine(service: Service) -> Engine:
    provider = service.context.registry["Embedded"]
    assert isinstance(provider, Embedded)
    return provider.engine


async def test_it_knows_the_capital_of_france_as_soon_as_the_service_listens(service: Service) -> None:
    answer = await service.ask("What is the capital of France?")
    assert kinds(answer) == ["provider", "extra", "content", "extra", "finish", "usage"]
    assert "Paris" in text(answer)
    assert answer[0]["provider"]["model"] == "SmolLM2-135M-Instruct"
    usage = answer[-1]["usage"]
    assert usage["completion_tokens"] > 3
    assert "estimated" not in usage


async def test_four_at_once(service: Service) -> None:
    answers = await asyncio.gather(*(service.ask("What is the capital of France?") for _ in range(4)))
    assert all(text(answer) and answer[-1]["usage"]["completion_tokens"] > 3 for answer in answers)
    # Together they are summed in another order, which now and then turns so small a model's head.
    assert any("Paris" in text(answer) for answer in answers)


async def test_a_prompt_that_is_too_long_is_refused_with_both_numbers(service: Service) -> None:
    await engine(service).ready()
    status, body = await service.post(CONVERSATION, {"prompt": "word " * 9000})
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    assert "8192" in body["error"]["message"]
    assert "90" in body["error"]["message"].split(" tokens")[0]


async def test_a_long_prompt_that_fits_is_answered(service: Service) -> None:
    await engine(service).ready()
    answer = await service.ask("word " * 1000, max_tokens=3)
    assert 1000 < answer[-1]["usage"]["prompt_tokens"] < 1100


async def test_a_crash_ends_the_answer_with_a_reason_and_the_next_one_comes(service: Service) -> None:
    async with service.asking("Count from one to five hundred.") as answer:
        await answer.content.readuntil(b"event: content")
        os.kill(engine(service).pid or 0, signal.SIGKILL)
        rest = events(b"event: content" + await answer.read())
    assert rest[-1]["type"] == "error"
    assert "embedded model" in rest[-1]["message"]
    assert "Paris" in text(await service.ask("What is the capital of France?"))


async def test_who_leaves_frees_the_model(service: Service) -> None:
    await engine(service).ready()
    for _ in range(8):
        async with service.asking("Count from one to five hundred.") as answer:
            await answer.content.readuntil(b"event: content")
    answer = await asyncio.wait_for(service.ask("What is the capital of France?"), 90)
    assert "Paris" in text(answer)


async def test_another_file_takes_its_place_and_is_asked_as_it_is(tmp_path: Path) -> None:
    model = bundled_model()
    assert model
    own = tmp_path / "Own-Model.gguf"
    own.symlink_to(model)
    async with serving(
        tmp_path, CAUSERIE_EMBEDDED_ENABLED="true", CAUSERIE_EMBEDDED_MODEL=str(own)
    ) as service:
        answer = await service.ask("What is the capital of France?", max_tokens=5)
        assert answer[0]["provider"]["model"] == "Own-Model"
        assert answer[-2]["finish"] == {"reason": "length"}


async def test_a_file_that_is_no_model_is_named_as_the_reason(tmp_path: Path) -> None:
    own = tmp_path / "notes.gguf"
    own.write_text("These are notes.")
    async with serving(
        tmp_path, CAUSERIE_EMBEDDED_ENABLED="true", CAUSERIE_EMBEDDED_MODEL=str(own)
    ) as service:
        await until(lambda: service.context.registry["Embedded"].obstacle())
        answer = await service.ask(provider="Embedded")
        assert answer[-1]["type"] == "error"
        assert "GGUF" in answer[-1]["message"]
