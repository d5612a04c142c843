"""Whoever answers OpenAI's requests for speech. Source: OpenAI's API reference, "Create speech"."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
import msgspec

from service.settings import SpeakerRow
from service.speakers.failures import CutOff, Mute, Overloaded, Refused, SpeakerError, Unreachable
from service.speakers.marks import of_sentences
from service.speakers.sentences import sentences
from service.speakers.speaker import Manner, Native, Sound, Speaker, Voice, primary

OPENAI: Mapping[str, Literal["female", "male"]] = {
    "alloy": "female",
    "ash": "male",
    "ballad": "male",
    "cedar": "male",
    "coral": "female",
    "echo": "male",
    "fable": "male",
    "marin": "female",
    "nova": "female",
    "onyx": "male",
    "sage": "female",
    "shimmer": "female",
    "verse": "male",
}
"""OpenAI's voices, which speak every language."""
LONGEST = 4_000
"""Characters of one request; OpenAI takes 4096."""
FIRST = 300
"""Characters after which the first request ends: the sooner it is answered."""
RATE = 24_000
CONNECT_SECONDS = 10.0
CONNECTIONS = 100
PIECE = 32 * 1024
CONTAINED = frozenset(
    {"audio/mpeg", "audio/wav", "audio/x-wav", "audio/ogg", "application/json", "text/html"}
)
"""What some send whatever they are asked for; as samples it would be noise."""


class Upstream(Speaker):
    """`key` goes to the row's own address only; no redirect is followed."""

    native = Native("pcm", RATE)

    def __init__(self, row: SpeakerRow, key: str | None) -> None:
        self.name, self.label, self.local = row.name, row.label or row.name, row.local
        self.limit = 1_000_000
        self._row, self._key = row, key
        self._http: aiohttp.ClientSession | None = None

    @property
    def version(self) -> str:
        """Of what is asked; nobody is told when the voices behind it change."""
        return f"{self._row.url} {self._row.model}"

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    def default(self, language: str) -> Voice | None:
        spoken = {primary(each) for each in self._row.languages}
        name = next(iter(self._row.voices or OPENAI))
        return self._voice(name, language) if not spoken or primary(language) in spoken else None

    async def voices(self) -> tuple[Voice, ...]:
        alone = self._row.languages[0] if len(self._row.languages) == 1 else ""
        return tuple(self._voice(name, alone) for name in self._row.voices or OPENAI)

    async def speak(self, text: str, voice: Voice, manner: Manner) -> AsyncGenerator[Sound, None]:
        offset = 0.0
        for piece in _pieces(sentences(text, voice.language)):
            size = 0
            async with self._asked(" ".join(piece), voice, manner) as answer:
                try:
                    async for data in answer.content.iter_chunked(PIECE):
                        size += len(data)
                        yield Sound(data)
                except (aiohttp.ClientError, OSError) as error:
                    raise CutOff(f"{self.label} broke off in the middle. Ask again.") from error
            if not size:
                raise Mute(f"{self.label} made no sound of this text. Choose another voice.")
            seconds = size / 2 / RATE
            yield Sound(b"", of_sentences(piece, offset, seconds))
            offset += seconds

    def _voice(self, name: str, language: str) -> Voice:
        return Voice(name, language, OPENAI.get(name.casefold(), ""), self.name, name.title())

    @asynccontextmanager
    async def _asked(
        self, text: str, voice: Voice, manner: Manner
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        if self._row.key and not self._key:
            raise Refused(
                f"{self.label} needs a key: set the environment variable {self._row.key} and restart."
            )
        body = {"model": self._row.model, "input": text, "voice": voice.name, "response_format": "pcm"}
        speed = {"speed": manner.rate} if manner.rate != 1 else {}
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        asking = self._session().post(
            f"{self._row.url}/audio/speech",
            data=msgspec.json.encode(body | speed),
            headers=headers,
            allow_redirects=False,
        )
        try:
            answer = await asking
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(
                f"{self.label} cannot be reached. Check its url, or ask again later."
            ) from error
        async with answer:
            if answer.status != 200:
                raise self._refusal(answer)
            if answer.content_type in CONTAINED:
                raise SpeakerError(f"{self.label} sent {answer.content_type} for bare samples (pcm).")
            yield answer

    def _session(self) -> aiohttp.ClientSession:
        """Opened when it is first needed."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                trust_env=not self._row.local,
            )
        return self._http

    def _refusal(self, answer: aiohttp.ClientResponse) -> SpeakerError:
        """By its status alone: some repeat the key that they were sent."""
        match answer.status:
            case 401 | 403:
                return Refused(f"{self.label} refuses the key that it was sent. Check {self._row.key}.")
            case 429 | 503:
                said = answer.headers.get("Retry-After", "")
                later = float(said) if said.isdecimal() else None
                return Overloaded(f"{self.label} cannot speak now. Ask again later.", later)
            case status:
                return SpeakerError(f"{self.label} answered with {status}. Check its url, model and voices.")


def _pieces(parts: Sequence[str]) -> Iterator[list[str]]:
    """Sentences together, as many as a request may have; the first request has few."""
    piece: list[str] = []
    size, limit = 0, FIRST
    for part in parts:
        if piece and size + len(part) + 1 > limit:
            yield piece
            piece, size, limit = [], 0, LONGEST
        piece.append(part)
        size += len(part) + 1
    if piece:
        yield piece
