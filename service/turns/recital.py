"""One text, spoken once for all who want to hear it at the same time."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import msgspec
from msgspec import Struct

from service.errors import ServiceError, Unavailable
from service.providers.circuit import Question
from service.speakers.encoding import Encoders
from service.speakers.failures import CutOff, Overloaded, SpeakerError, Unreachable
from service.speakers.speaker import Manner, Mark, Native, Sound
from service.stores.recordings import Draft, Recordings
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.voices import Company, Part

log = logging.getLogger(__name__)

GRACE = 0.5
"""Seconds in which a speaker that watches the time itself may say why it is silent."""


class Script(Struct, frozen=True):
    """What is spoken, how, in which format; `names` of its recordings by the speakers'."""

    text: str
    language: str
    manner: Manner
    format: str
    names: Mapping[str, str]

    def file(self, part: Part) -> str:
        return f"{self.names[part.speaker.name]}.{self.format}"

    def notes(self, part: Part) -> str:
        return f"{self.names[part.speaker.name]}.json"


class Notes(Struct, frozen=True):
    """What is kept beside a recording: how many seconds it takes, and when what is said."""

    seconds: float
    marks: tuple[Mark, ...] = ()


class Patience(Struct, frozen=True):
    """How long a speaker may take, in seconds: to the first sound, and from one to the next."""

    first: float
    idle: float


class Recital:
    """Whoever listens hears it from its beginning; when nobody listens any more, the work stops.

    Until the first sound somebody else takes over from a speaker that fails, later nobody can.
    """

    def __init__(
        self,
        script: Script,
        parts: Sequence[Part],
        company: Company,
        encoders: Encoders,
        recordings: Recordings,
        patience: Patience,
        metrics: Metrics,
    ) -> None:
        self.script = script
        self.part: Part | None = None
        """Who speaks, from the first sound on."""
        self.asked: list[Part] = []
        """Who was asked, the last one also if there was no sound yet."""
        self.over, self.listeners = False, 0
        self._parts, self._company, self._encoders = parts, company, encoders
        self._recordings, self._patience, self._metrics = recordings, patience, metrics
        self._seconds, self._marks = 0.0, list[Mark]()
        self._draft: Draft | None = None
        self._error: ServiceError | None = None
        self._news = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    @property
    def notes(self) -> Notes:
        """As far as it was spoken."""
        return Notes(self._seconds, tuple(self._marks))

    @property
    def open(self) -> bool:
        """Whether somebody may still join."""
        return not self.over and not (self._work and self._work.cancelling())

    def start(self, tasks: Tasks) -> asyncio.Task[None]:
        """Has it spoken in the background."""
        self._work = tasks.start(self._run(), "a recital")
        return self._work

    def join(self) -> None:
        """Somebody listens; `leave` must follow, or `listen`."""
        self.listeners += 1

    def leave(self) -> None:
        """Somebody listens no longer."""
        self.listeners -= 1
        if not self.listeners and not self.over and self._work:
            self._work.cancel()

    async def begun(self) -> Part:
        """Who speaks, once there is a sound. Raises what it failed with before that."""
        while self.part is None:
            if self.over:
                raise self._failure()
            await self._heard()
        return self.part

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """All of it from the beginning; leaves at the end. Raises what it failed with."""
        position = 0
        try:
            while True:
                if self._draft and position < self._draft.size:
                    piece = await self._draft.read(position)
                    position += len(piece)
                    yield piece
                elif not self.over:
                    await self._heard()
                elif self._error:
                    raise self._error
                else:
                    return
        finally:
            self.leave()

    async def _run(self) -> None:
        """Has it spoken, and keeps it when it is whole."""
        try:
            self._draft = await self._recordings.begin()
            try:
                await self._speak(self._draft)
                await self._keep(self._draft)
            finally:
                await self._recordings.drop(self._draft)
        except ServiceError as error:
            self._error = error
        except asyncio.CancelledError:
            self._error = Unavailable("The service is being restarted. Ask again in a moment.")
            raise
        except Exception:
            log.exception("a text could not be spoken")
            self._error = ServiceError("The service failed while speaking; its log says why.")
        finally:
            self.over = True
            self._tell()

    async def _speak(self, draft: Draft) -> None:
        """By the first who can. Raises what they all failed with."""
        failures: list[ServiceError] = []
        for part in self._parts:
            self.asked.append(part)
            patience = self._patience.idle if part is self._parts[-1] else self._patience.first + GRACE
            try:
                await self._let_speak(part, draft, patience)
                return
            except ServiceError as error:
                if self.part or not error.elsewhere:
                    raise
                self._note(part, error)
                failures.append(error)
        raise _together(failures, self.script.language)

    async def _let_speak(self, part: Part, draft: Draft, patience: float) -> None:
        with self._company.circuit(part.speaker).asked() as question:
            try:
                async with asyncio.timeout(patience) as deadline:
                    await self._write(draft, part.speaker.native, self._sounds(part, question, deadline))
            except TimeoutError as error:
                raise self._silent(part, patience) from error
            if self.part is None:
                raise SpeakerError(f"{part.speaker.label} said nothing. Choose another voice.")

    async def _write(self, draft: Draft, native: Native, sounds: AsyncGenerator[Sound, None]) -> None:
        """Encodes what is said as it is said."""
        async with aclosing(self._encoders.encode(sounds, native, self.script.format)) as pieces:
            async for piece in pieces:
                await draft.write(piece.data)
                self._seconds += piece.seconds
                self._marks += piece.marks
                self._tell()
                for place, data in piece.corrections:
                    await draft.correct(place, data)

    async def _sounds(
        self, part: Part, question: Question, deadline: asyncio.Timeout
    ) -> AsyncGenerator[Sound, None]:
        """What a speaker says, noticed as it passes."""
        speaker, loop = part.speaker, asyncio.get_running_loop()
        async with aclosing(speaker.speak(self.script.text, part.voice, self.script.manner)) as sounds:
            async for sound in sounds:
                if self.part is None and sound.data:
                    self.part = part
                    question.heard()
                    self._metrics.first_sound.labels(speaker.name).observe(loop.time() - question.began)
                    self._tell()
                deadline.reschedule(loop.time() + self._patience.idle)
                yield sound

    async def _keep(self, draft: Draft) -> None:
        """What cannot be kept was heard nonetheless."""
        assert self.part
        try:
            notes = await self._recordings.begin()
            await notes.write(msgspec.json.encode(self.notes))
            await self._recordings.keep(notes, self.script.notes(self.part))
            await self._recordings.keep(draft, self.script.file(self.part))
        except (ServiceError, OSError) as error:
            log.warning("what was spoken is not kept: %s", error)

    def _note(self, part: Part, error: ServiceError) -> None:
        log.warning("%s did not speak: %s (%s)", part.speaker.name, error.message, error.code)
        if isinstance(error, Overloaded) and error.retry_after:
            self._company.circuit(part.speaker).leave_alone(error.retry_after)

    def _silent(self, part: Part, seconds: float) -> ServiceError:
        label = part.speaker.label
        if self.part:
            return CutOff(f"{label} fell silent in the middle of the text. Ask again.")
        return Unreachable(f"{label} made no sound within {seconds:g} s. Ask again in a moment.")

    def _failure(self) -> ServiceError:
        return self._error or ServiceError("Nothing was spoken; the service's log says why.")

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _heard(self) -> None:
        await self._news.wait()


def _together(failures: Sequence[ServiceError], language: str) -> ServiceError:
    """The last one, with what all of them say."""
    error = failures[-1]
    said = [failure.message for failure in failures]
    hint = f"Nobody else here can speak {language} now: name more speakers in speech.order in the settings."
    error.message = " ".join([*said, hint])
    return error
