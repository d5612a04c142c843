"""What tests of speech have in common: what is asked, what comes back, what it sounds like."""

import asyncio
import io
import re
from contextlib import suppress
from typing import Any

import soundfile
from msgspec import Struct

from tests.serving import Json, Service

V2 = "/backend-api/v2"
MOST = 10**9
"""Samples: more is not known."""
MORNING = "Good morning, Ada. It is a fine day, and the kettle is on."


class Answer(Struct):
    """What a client gets; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers["content-type"].partition(";")[0]

    @property
    def rest(self) -> bytes:
        """Without its head: a stream's cannot know yet how long it will be."""
        return self.body[512:]

    @property
    def seconds(self) -> float:
        """How long the sound is, as it decodes."""
        with soundfile.SoundFile(io.BytesIO(self.body)) as file:
            if file.frames < MOST:
                return len(file.read()) / float(file.samplerate)
            count = 0
            with suppress(soundfile.LibsndfileError):  # at the end, which a streamed FLAC does not tell
                while read := len(file.read(1000)):
                    count += read
            return count / float(file.samplerate)


async def say(service: Service, text: str = MORNING, speaker: str = "default", **query: str) -> Answer:
    """Asks for a text to be spoken; `headers` and `range` are no part of the address."""
    headers = {"x-user": query.pop("user")} if "user" in query else {}
    if "range" in query:
        headers["Range"] = query.pop("range")
    parameters = query if "turn" in query else {"text": text, **query}
    url = f"{service.url}{V2}/synthesize/{speaker}"
    async with service.http.get(url, params=parameters, headers=headers) as answer:
        return Answer(answer.status, _lower(answer.headers), await answer.read())


async def speech(service: Service, text: str = MORNING, **body: Any) -> Answer:
    """As OpenAI's clients ask."""
    async with service.http.post(f"{service.url}/v1/audio/speech", json={"input": text, **body}) as answer:
        return Answer(answer.status, _lower(answer.headers), await answer.read())


async def counted(service: Service, metric: str) -> dict[str, float]:
    """What a counter has counted, by its labels as they are written."""
    async with service.http.get(f"{service.url}/metrics") as answer:
        lines = re.findall(rf"^{metric}_total\{{(.*)\}} (\S+)$", await answer.text(), re.MULTILINE)
    return {labels: float(number) for labels, number in lines}


async def made(service: Service) -> dict[str, float]:
    """Characters that were spoken, by whether they were made, shared or kept."""
    sources = await counted(service, "speech_characters")
    return {re.findall(r'source="(\w+)"', labels)[0]: number for labels, number in sources.items()}


async def spoken_records(service: Service, count: int) -> list[Json]:
    """The records of the kind, the newest first, once there are so many."""
    for _ in range(500):
        found = await service.get(f"{V2}/ledger?kind=speech")
        if len(found["data"]) >= count:
            records: list[Json] = found["data"]
            return records
        await asyncio.sleep(0.01)
    raise TimeoutError(f"there are not {count} records")


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}
