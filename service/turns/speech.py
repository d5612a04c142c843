"""Texts that are heard: spoken once for all who ask, kept for a while, and accounted for."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
from msgspec import Struct

from service.errors import ServiceError, Unsupported
from service.messages import Allowed
from service.settings import Settings
from service.speakers.encoding import Encoders
from service.speakers.language import Languages
from service.speakers.speaker import Speaker
from service.stores.ledger import Record
from service.stores.recordings import Recordings
from service.tasks import Tasks
from service.telemetry import Metrics
from service.turns.admission import Turns
from service.turns.costs import BY_CHARACTERS, NOTHING, spoken
from service.turns.limits import Question
from service.turns.recital import Notes, Patience, Recital
from service.turns.voices import Company, Part
from service.turns.wishes import Plan, Planner, Wish


class Heard(Struct, frozen=True):
    """What is heard, and of whom: a `file` that is whole, else `pieces` as they are made.

    `instead_of` is the speaker who should have spoken, and did not.
    """

    part: Part
    instead_of: str | None
    file: Path | None = None
    pieces: AsyncGenerator[bytes, None] | None = None


class Speech:
    """Speaks, or plays what was spoken before. Raises `ServiceError` as long as there is no sound."""

    def __init__(
        self,
        settings: Settings,
        speakers: Sequence[Speaker],
        encoders: Encoders,
        languages: Languages,
        recordings: Recordings,
        turns: Turns,
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        own = settings.speech
        self.enabled = own.enabled
        self.company = Company(speakers, own, settings.speakers, metrics)
        self._planner = Planner(own, self.company, languages, recordings)
        self._patience = Patience(own.first_sound_timeout, own.idle_timeout)
        self._encoders, self._languages = encoders, languages
        self._recordings, self._turns, self._tasks, self._metrics = recordings, turns, tasks, metrics
        self.running: dict[tuple[object, ...], list[Recital]] = {}
        """By what is spoken, one for each format."""

    async def open(self) -> None:
        """Costs nothing until somebody is to be heard."""
        self._encoders.open(self._tasks)
        self._languages.open(self._tasks)
        for speaker in self.company:
            await speaker.open(self._tasks)

    async def close(self) -> None:
        for speaker in self.company:
            await speaker.close()
        await self._languages.close()
        await self._encoders.close()

    async def forget(self, user: str) -> None:
        """Removes what was spoken for a user."""
        await self._recordings.forget(user)

    async def speak(self, wish: Wish, record: Record, allowed: Allowed) -> Heard:
        """Returns once there is a sound."""
        plan = await self._admitted(wish, record, allowed)
        if kept := await self._kept(plan, plan.script.file):
            part, file = kept
            notes = await self._noted(plan, part)
            record.seconds = notes.seconds if notes else None
            self._account(plan, part, record, "kept")
            return Heard(part, plan.instead_of(part), file)
        recital, part = await self._begun(plan, record)
        return Heard(part, plan.instead_of(part), pieces=_told(recital, record))

    async def notes(self, wish: Wish, record: Record, allowed: Allowed) -> tuple[Heard, Notes]:
        """When what is said; has it spoken where it is not yet, and waits for the end."""
        plan = await self._admitted(wish, record, allowed)
        if kept := await self._kept(plan, plan.script.notes):
            part, _ = kept
            if notes := await self._noted(plan, part):
                record.seconds = notes.seconds
                self._account(plan, part, record, "kept")
                return Heard(part, plan.instead_of(part)), notes
        recital, part = await self._begun(plan, record, any_format=True)
        async with aclosing(_told(recital, record)) as pieces:
            async for _ in pieces:
                pass
        return Heard(part, plan.instead_of(part)), recital.notes

    async def look(self, wish: Wish, record: Record, allowed: Allowed) -> Heard:
        """What is there already, or who would speak first: nobody is asked."""
        plan = await self._planned(wish, record, allowed)
        part, file = await self._kept(plan, plan.script.file) or (plan.parts[0], None)
        return Heard(part, plan.instead_of(part), file)

    async def _planned(self, wish: Wish, record: Record, allowed: Allowed) -> Plan:
        if not self.enabled:
            raise Unsupported("Nothing is spoken here: the operator has switched speech.enabled off.")
        await self._recordings.open()
        return await self._planner.plan(wish, record.user, allowed)

    async def _admitted(self, wish: Wish, record: Record, allowed: Allowed) -> Plan:
        plan = await self._planned(wish, record, allowed)
        record.provider_asked, record.model_asked = wish.speaker, wish.voice
        await self._turns.reserve(record, Question(0, 0, (), self._dearest(plan)))
        record.kind, record.characters = BY_CHARACTERS, plan.characters
        record.cost, record.price = NOTHING.amount, NOTHING.price
        return plan

    def _dearest(self, plan: Plan) -> int | None:
        """What it may come to; what is played again costs nothing."""
        if self._recordings.has(plan.script.file(plan.parts[0])):
            return 0
        costs = [spoken(plan.characters, part.row).amount for part in plan.parts]
        return None if None in costs else max(cost or 0 for cost in costs)

    async def _kept(self, plan: Plan, file: Callable[[Part], str]) -> tuple[Part, Path] | None:
        """What is kept of the first who has something, if nobody before him could speak now."""
        for part in plan.parts:
            if path := await self._recordings.find(file(part)):
                return part, path
            if self.company.circuit(part.speaker).free:
                return None
        return None

    async def _noted(self, plan: Plan, part: Part) -> Notes | None:
        """None where they are gone."""
        path = await self._recordings.find(plan.script.notes(part))
        try:
            data = await asyncio.to_thread(path.read_bytes) if path else b""
            return msgspec.json.decode(data, type=Notes)
        except (OSError, msgspec.DecodeError):
            return None

    async def _begun(self, plan: Plan, record: Record, *, any_format: bool = False) -> tuple[Recital, Part]:
        """Joins who is speaking this, or has it spoken; until there is a sound."""
        recital = self._found(plan, any_format=any_format)
        source = "shared" if recital else "made"
        recital = recital or self._begin(plan)
        recital.join()
        try:
            part = await recital.begun()
        except BaseException as error:
            recital.leave()
            if isinstance(error, ServiceError):
                record.error = type(error).__name__
            elif source == "made" and recital.asked:  # whoever leaves early has had it made nonetheless
                self._account(plan, recital.asked[-1], record, source)
            raise
        finally:
            record.attempts = len(recital.asked) if source == "made" else 0
        self._account(plan, part, record, source)
        return recital, part

    def _found(self, plan: Plan, *, any_format: bool) -> Recital | None:
        for recital in self.running.get(plan.key, ()):
            if recital.open and (any_format or recital.script.format == plan.script.format):
                return recital
        return None

    def _begin(self, plan: Plan) -> Recital:
        recital = Recital(
            plan.script,
            self.company.free(plan.parts),
            self.company,
            self._encoders,
            self._recordings,
            self._patience,
            self._metrics,
        )
        self.running.setdefault(plan.key, []).append(recital)
        recital.start(self._tasks).add_done_callback(lambda _: self._forget(plan, recital))
        return recital

    def _forget(self, plan: Plan, recital: Recital) -> None:
        self.running[plan.key].remove(recital)
        if not self.running[plan.key]:
            del self.running[plan.key]

    def _account(self, plan: Plan, part: Part, record: Record, source: str) -> None:
        """Only who has had it made pays for it."""
        speaker = part.speaker
        record.provider, record.label, record.model = speaker.name, speaker.label, part.voice.name
        if source == "made":
            cost = spoken(plan.characters, part.row)
            record.cost, record.price = cost.amount, cost.price
        self._metrics.spoken.labels(speaker.name, source).inc(plan.characters)
        if first := plan.instead_of(part):
            self._metrics.fallbacks.labels(first, speaker.name).inc()


async def _told(recital: Recital, record: Record) -> AsyncGenerator[bytes, None]:
    """What is spoken; the record learns how long it was heard."""
    record.ending = "abandoned"
    try:
        async with aclosing(recital.listen()) as pieces:
            async for piece in pieces:
                yield piece
        record.ending = "done"
    except ServiceError as error:
        record.ending, record.error = "failed", type(error).__name__
        raise
    finally:
        record.seconds = recital.notes.seconds
