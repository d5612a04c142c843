"""What the service takes of the embedded model's speed: the service and the engine by itself, in turns."""

import asyncio
import json
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

import aiohttp
from processes import ROOT, START_SECONDS, await_answer, running
from rows import Bound, Options, Row, turns
from systems import service

ANSWER_SECONDS = 120.0
QUESTION = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Tell me a long story about a lighthouse keeper and the sea."},
    ],
    "temperature": 0,
    "max_tokens": 128,
    "stream": True,
}


class Side(NamedTuple):
    """Whom to ask: `socket` is a unix socket, or empty for TCP."""

    url: str
    body: dict[str, object]
    socket: str = ""
    key: str = ""


class Answer(NamedTuple):
    """When the first and the last content came, in seconds of one clock; and the tokens that were counted."""

    first: float
    last: float
    tokens: int


def engine(options: Options) -> list[Row]:
    with service(options.folder / "embedded", embedded=True) as program, direct() as other:
        await_answer(program, "/health/ready")
        url = f"http://127.0.0.1:{program.port}/backend-api/v2/conversation"
        sides = {"service": Side(url, QUESTION | {"provider": "Embedded"}), "engine": other}
        for side in sides.values():  # what is only done once shall not count
            asyncio.run(speed(side, 1))
        return [compared(sides, at_once, options.rounds) for at_once in (1, 4)]


@contextmanager
def direct() -> Iterator[Side]:
    """An engine of its own, which costs nothing while it is not asked."""
    command = [sys.executable, str(ROOT / "bench/direct.py")]
    with running(command, PYTHONPATH=str(ROOT)) as program:
        said = program.process.stdout
        assert said
        if not select.select([said], [], [], START_SECONDS)[0] or not (line := said.readline()):
            raise RuntimeError("The engine by itself does not start.")
        body = QUESTION | {"stream_options": {"include_usage": True}}
        yield Side("http://engine/v1/chat/completions", body, **json.loads(line))


def compared(sides: dict[str, Side], at_once: int, rounds: int) -> Row:
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _, name in turns(sides, rounds):
        speeds[name].append(asyncio.run(speed(sides[name], at_once)))
    ours, alone = map(max, speeds.values())  # what disturbs the machine only slows, and by any factor
    usual, usual_alone = map(median, speeds.values())
    result = f"{ours / alone:.2f} (medians {usual / usual_alone:.2f}): {ours:.1f} ÷ {alone:.1f}"
    measure = f"Tokens/s of the embedded model ÷ the engine asked directly, {at_once} at once"
    bound = Bound("", 0.95, 0.99, least=True)
    return Row(measure, result, {}, [(bound, ours / alone)], dict(speeds))


async def speed(side: Side, at_once: int) -> float:
    """Tokens a second, from the first content of all answers to the last."""
    connector = aiohttp.UnixConnector(side.socket, force_close=True) if side.socket else None
    headers = {"Authorization": f"Bearer {side.key}"} if side.key else {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as http:
        answers = await asyncio.gather(*(answer(http, side) for _ in range(at_once)))
    seconds = max(one.last for one in answers) - min(one.first for one in answers)
    return sum(one.tokens for one in answers) / seconds


async def answer(http: aiohttp.ClientSession, side: Side) -> Answer:
    """Reads either format: both write content and counts under the same names."""
    times, tokens = [], 0
    async with http.post(side.url, json=side.body, raise_for_status=True) as response:
        async for line in response.content:
            if b'"content":"' in line:
                times.append(time.perf_counter())
            if b'"completion_tokens":' in line:
                tokens = json.loads(line.removeprefix(b"data: "))["usage"]["completion_tokens"]
    if tokens != QUESTION["max_tokens"]:
        raise RuntimeError(f"{side.url} answered in {tokens} tokens, not in {QUESTION['max_tokens']}.")
    return Answer(times[0], times[-1], tokens)
