"""What is said in recordings, written down by a provider that can.

Source: OpenAI's API reference, "Create transcription" and "Create translation".
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, Literal

import msgspec

from service.context import Context
from service.errors import BadRequest, ProviderError, ServiceError, TooLarge, Unsupported
from service.handlers.endpoints import count
from service.handlers.skills import Skills
from service.multipart import Part, Parts
from service.providers.forms import File, Form, Said
from service.replies import Pieces, Text
from service.routes import form, route, user
from service.settings import Secrets
from service.stores.ledger import Record
from service.stores.names import plain
from service.turns.limits import Question

FIELD = re.compile(r"[\w.-]{1,64}(\[\])?", re.ASCII)
TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
FIELD_BYTES = 65_536
MOST_FIELDS = 32
TEXT = {"type": "string"}
FIELDS: dict[str, dict[str, Any]] = {
    "file": {"type": "string", "format": "binary"},
    "model": TEXT,
    "provider": TEXT,
    "prompt": TEXT,
    "response_format": {"enum": ["json", "text", "srt", "verbose_json", "vtt"]},
    "temperature": {"type": "number"},
    "stream": {"type": "boolean"},
}
HEARD: dict[str, dict[str, Any]] = {
    "language": TEXT,
    "timestamp_granularities[]": {"type": "array", "items": TEXT},
}
Skill = Literal["transcribe", "translate", "dictated"]
NO = frozenset({"false", "0", ""})
EVENTS = "text/event-stream"


class Subtitles(Text):
    content_type = "application/x-subrip"


class Captions(Text):
    content_type = "text/vtt"


KINDS: dict[str, type[Text]] = {"text": Text, "srt": Subtitles, "vtt": Captions}
"""Of the answers that are no JSON, by their `response_format`."""


class Transcription:
    """transcriptions, translations."""

    def __init__(self, context: Context) -> None:
        self._skills, self._keys, self._turns = Skills(context.registry), context.keys, context.turns
        self._longest = context.settings.speech.recording_limit
        self.routes = {
            "/v1/audio/transcriptions": route(POST=self.transcriptions),
            "/v1/audio/translations": route(POST=self.translations),
        }

    @user
    @form(**FIELDS, **HEARD)
    async def transcriptions(self, parts: Parts, record: Record) -> dict[str, Any] | Text | Pieces:
        """Writes down what is said in a recording, as text or as subtitles; with `stream` as events."""
        form, named = await self._read(parts)
        if not _streams(named):
            return await self._pass(form, named, "transcribe", record)
        dictated = await self._admitted(form, named, "dictated", record)
        return Pieces(_events(dictated(form, Secrets()), record), f"{EVENTS}; charset=utf-8")

    @user
    @form(**FIELDS)
    async def translations(self, parts: Parts, record: Record) -> dict[str, Any] | Text:
        """Writes down in English what is said in a recording; never as a stream."""
        form, named = await self._read(parts)
        if _streams(named):
            raise Unsupported("What is translated is written down as a whole. Leave out stream.", "stream")
        return await self._pass(form, named, "translate", record)

    async def _pass(
        self, form: Form, named: dict[str, str], skill: Skill, record: Record
    ) -> dict[str, Any] | Text:
        able = await self._admitted(form, named, skill, record)
        try:
            return _answered(await able(form, Secrets()), named.get("response_format", "json"), record)
        except ServiceError as error:
            record.error = type(error).__name__
            raise

    async def _admitted(self, form: Form, named: dict[str, str], skill: Skill, record: Record) -> Any:
        """Whoever can, with room reserved in the limits."""
        provider_name, model = named.get("provider") or None, form.model
        provider, able = self._skills.able(skill, provider_name, model, self._keys.allowed(record.key))
        record.wire, record.provider_asked, record.model_asked = "openai", provider_name, model
        await self._turns.reserve(record, Question(0, 0, [(provider.name, model)]))
        record.kind, record.attempts, record.bytes = "transcription", 1, len(form.file.data)
        record.provider, record.label, record.model = provider.name, provider.label, model
        return able

    async def _read(self, parts: Parts) -> tuple[Form, dict[str, str]]:
        """The recording with what goes along, and all fields. Raises `BadRequest` and `TooLarge`."""
        recording, fields = None, list[tuple[str, str]]()
        async for part in parts:
            if part.name == "file" and recording is None:
                recording = await self._recording(part)
            elif len(fields) == MOST_FIELDS:
                raise BadRequest(
                    f"The form has more than {MOST_FIELDS} fields. Send one file and its fields."
                )
            elif FIELD.fullmatch(part.name):
                fields.append((part.name, await part.text(FIELD_BYTES)))
            else:
                raise BadRequest(f"There is no field named {part.name[:40]!r}.", "file")
        if recording is None:
            raise BadRequest('The form has no recording: send one in the field "file".', "file")
        named = dict(fields)
        _check(named)
        along = [(name, text) for name, text in fields if name not in {"provider", "model"}]
        return Form(recording, named.get("model") or None, along), named

    async def _recording(self, part: Part) -> File:
        data = bytearray()
        async for chunk in part.chunks:
            data += chunk
            if len(data) > self._longest:
                raise TooLarge(
                    f"The recording is larger than the limit of {self._longest} bytes"
                    " (speech.recording_limit). Send it in pieces, or in another format.",
                    "file",
                )
        kind = part.content_type or ""
        name = plain(part.filename or "") or "recording"
        return File(name, kind if TYPE.fullmatch(kind) else "application/octet-stream", bytes(data))


def _check(fields: dict[str, str]) -> None:
    format = fields.get("response_format", "json")
    if format not in FIELDS["response_format"]["enum"]:
        known = ", ".join(FIELDS["response_format"]["enum"])
        raise BadRequest(f"response_format is one of {known}, not {format[:40]!r}.", "response_format")
    if _streams(fields) and format != "json":
        raise BadRequest(f"What is streamed is JSON: leave out stream, or {format}.", "response_format")


def _streams(fields: dict[str, str]) -> bool:
    return fields.get("stream", "false").lower() not in NO


async def _events(dictated: AsyncGenerator[Said, None], record: Record) -> AsyncGenerator[bytes, None]:
    """As the provider says them; the record learns what it counted.

    Source: OpenAI's API reference, "transcript.text.delta" and "transcript.text.done".
    """
    record.ending = "abandoned"
    try:
        async with aclosing(dictated) as answers:
            async for said in answers:
                if said.content_type == EVENTS:
                    yield b"data: %b\n\n" % said.data.replace(b"\n", b"\ndata: ")
                    _note(said, record)
                else:
                    whole = _decoded(said, record)
                    done = msgspec.json.encode({"type": "transcript.text.done", **whole})
                    yield b"data: %b\n\n" % done
        record.ending = "done"
    except ServiceError as error:
        record.ending, record.error = "failed", type(error).__name__
        raise


def _note(said: Said, record: Record) -> None:
    """Only the last event says how much it was; whether it makes sense is for the client to judge."""
    if b'"usage"' in said.data:
        with suppress(ServiceError):
            _decoded(said, record)


def _answered(said: Said, format: str, record: Record) -> dict[str, Any] | Text:
    """What the provider said, in the form that was asked for; the record learns what it counted."""
    if format not in KINDS:
        return _decoded(said, record)
    try:
        return KINDS[format](said.data.decode())
    except UnicodeDecodeError as error:
        raise _nonsense(record) from error


def _decoded(said: Said, record: Record) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(said.data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _nonsense(record) from error
    usage = answer.get("usage")
    count(usage, record)
    counted = usage.get("seconds") if isinstance(usage, dict) else None
    seconds = answer.get("duration", counted)
    if isinstance(seconds, int | float) and 0 <= seconds < 10**7:
        record.seconds = float(seconds)
    return answer


def _nonsense(record: Record) -> ProviderError:
    return ProviderError(f"{record.label} sent something that makes no sense. Check its url.")
