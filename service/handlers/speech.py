"""What is heard: texts and answers, spoken in any voice there is, and their subtitles.

Source: OpenAI's API reference, "Create speech", with its streaming events.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import MappingProxyType

import aiofiles
import msgspec
from msgspec import Struct

from service.context import Caller, Context
from service.errors import BadRequest, NotFound
from service.events import Content
from service.handlers.speech_request import CONTROLS, Speech, Spoken, clean
from service.replies import File, Pieces
from service.routes import route, user
from service.speakers.encoding import CONTENT_TYPES
from service.speakers.speaker import Speaker, Voice, primary
from service.stores.ledger import Record
from service.stores.recordings import PIECE
from service.turns.speech import Heard
from service.turns.subtitles import TYPES, subtitles
from service.turns.voices import LISTING_SECONDS
from service.turns.wishes import Wish

WEEK = 604_800
A_WHILE = 60
"""Seconds that a browser keeps what another speaker has said than the one who should have."""
VARY = "Accept-Language, Authorization, Cookie, x-user, x-api-key, x_user, x_api_key"
TOKENS_A_SECOND = 20
"""Of sound, as OpenAI counts them, about."""


class Wanted(Struct, frozen=True):
    """Whose voices, and in which language; "" is all of them."""

    speaker: str = ""
    language: str = ""


class Card(Struct, frozen=True):
    """A voice; `id` is what requests name, `gender` "" where nobody knows."""

    id: str
    name: str
    language: str
    gender: str
    speaker: str


class Voices(Struct, frozen=True):
    """In the order in which speakers are asked."""

    voices: list[Card]


class Speeches:
    """synthesize, speech, voices."""

    def __init__(self, context: Context) -> None:
        self._speech, self._turns = context.speech, context.turns
        self._shared = context.settings.speech.shared_cache
        self.routes = {
            "/backend-api/v2/synthesize/{provider}": route(GET=self.synthesize),
            "/v1/audio/speech": route(POST=self.speech),
            "/v1/audio/voices": route(GET=self.voices),
        }

    @user
    async def synthesize(
        self,
        provider: str,
        query: Spoken,
        headers: Mapping[str, str],
        caller: Caller,
        record: Record,
        method: str,
    ) -> Pieces | File:
        """Speaks a text, or an answer of the caller's, as it is made.

        What was spoken before can be had in ranges. The headers X-Speaker and X-Voice say who speaks, and
        X-Fallback-From who should have. What fails on the way cuts the connection.
        """
        self._speech.company.asked(provider)
        record.wire = "synthesize"
        wish = query.wish(provider, await self._text(query, caller), headers.get("Accept-Language", ""))
        if method == "HEAD":  # a look at the head alone must not cost a speech
            heard = await self._speech.look(wish, record, caller.grant.allowed)
            return _answer(heard, query.format, self._keeping(heard))
        if query.format in TYPES:
            return await self._subtitles(wish, query.format, caller, record)
        heard = await self._speech.speak(wish, record, caller.grant.allowed)
        return _answer(heard, query.format, self._keeping(heard))

    @user
    async def speech(
        self, body: Speech, headers: Mapping[str, str], caller: Caller, record: Record
    ) -> Pieces | File:
        """Speaks a text as it is made; with `stream_format` "sse" in events that hold it in base64."""
        record.wire = "openai"
        wish, format = body.wish(headers.get("Accept-Language", "")), body.response_format
        if format in TYPES:
            return await self._subtitles(wish, format, caller, record)
        heard = await self._speech.speak(wish, record, caller.grant.allowed)
        if body.stream_format == "sse":
            pieces = heard.pieces or _read(heard)
            return Pieces(_events(pieces, record), "text/event-stream; charset=utf-8", _headers(heard))
        return _answer(heard, format)

    @user
    async def voices(self, query: Wanted) -> Voices:
        """The voices that there are, with their languages."""
        asked = self._speech.company.asked(query.speaker)[:1] if query.speaker else self._speech.company
        found = await asyncio.gather(*map(_listed, asked))
        wanted = primary(query.language)
        return Voices(
            [
                Card(voice.name, voice.label or voice.name, voice.language, voice.gender, voice.engine)
                for voices in found
                for voice in voices
                if not wanted or primary(voice.language) in {wanted, ""}
            ]
        )

    async def _text(self, query: Spoken, caller: Caller) -> str:
        """What is to be spoken; of a turn that still runs, once it has ended."""
        if not query.turn:
            return clean(query.text, "text")
        if query.text:
            raise BadRequest("Send a text or a turn, not both.", "turn")
        turn = await self._turns.find(query.turn, caller.user)
        with turn.reading() as log:
            await log.over()
            said = [event for event in log.events if isinstance(event, Content) and not event.urls]
        if not said:
            raise NotFound(f"The turn {query.turn!r} has no text that could be spoken.", "turn")
        return CONTROLS.sub(" ", "".join(event.content for event in said if not event.choice))

    async def _subtitles(self, wish: Wish, format: str, caller: Caller, record: Record) -> Pieces:
        heard, notes = await self._speech.notes(wish, record, caller.grant.allowed)
        text = subtitles(notes.marks, format)
        return Pieces(_once(text.encode()), f"{TYPES[format]}; charset=utf-8", _headers(heard))

    def _keeping(self, heard: Heard) -> dict[str, str]:
        """How long a browser may keep it; what nobody shares, no proxy keeps."""
        seconds = A_WHILE if heard.instead_of else WEEK
        return {"Cache-Control": f"{'' if self._shared else 'private, '}max-age={seconds}", "Vary": VARY}


def _answer(heard: Heard, format: str, more: Mapping[str, str] = MappingProxyType({})) -> Pieces | File:
    headers, kind = {**_headers(heard), **more}, TYPES.get(format) or CONTENT_TYPES[format]
    if heard.file:
        return File(heard.file, headers={**headers, "Content-Type": kind})
    return Pieces(heard.pieces or _once(b""), kind, headers)


def _headers(heard: Heard) -> dict[str, str]:
    instead = {"X-Fallback-From": heard.instead_of} if heard.instead_of else {}
    return {"X-Speaker": heard.part.speaker.name, "X-Voice": heard.part.voice.name, **instead}


async def _listed(speaker: Speaker) -> tuple[Voice, ...]:
    """A speaker that is far away makes nobody wait for long."""
    try:
        async with asyncio.timeout(LISTING_SECONDS):
            return await speaker.voices()
    except TimeoutError:
        return ()


async def _events(pieces: AsyncGenerator[bytes, None], record: Record) -> AsyncGenerator[bytes, None]:
    """Source: OpenAI's API reference, "speech.audio.delta" and "speech.audio.done"."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield _event("speech.audio.delta", {"audio": base64.b64encode(piece).decode()})
    prompt, sound = -(-(record.characters or 0) // 4), round((record.seconds or 0) * TOKENS_A_SECOND)
    usage = {"input_tokens": prompt, "output_tokens": sound, "total_tokens": prompt + sound}
    yield _event("speech.audio.done", {"usage": usage})


def _event(kind: str, fields: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


async def _read(heard: Heard) -> AsyncGenerator[bytes, None]:
    """A recording, piece by piece."""
    assert heard.file
    async with aiofiles.open(heard.file, "rb") as file:
        while piece := await file.read(PIECE):
            yield piece


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
