"""Children of one trade, seen from the service: started when there is work, kept warm, ended when idle."""

import asyncio
import contextlib
import logging
import signal
from asyncio import Future
from asyncio.subprocess import DEVNULL, Process
from collections import deque
from collections.abc import Iterator

from service.children import kill, start
from service.speakers import jobs
from service.speakers.failures import Crashed, Mute, SpeakerError
from service.tasks import Tasks

log = logging.getLogger(__name__)

ENVIRONMENT = ("OMP_", "OPENBLAS_")
"""Beside what every child sees: on how many threads numpy counts."""


class Workers:
    """Jobs in turn: first sentences before later ones, else as they come, so that everybody gets a share.

    A child that dies costs the job that it had, and is replaced with the next. A job that nobody waits for
    any longer is not begun; one that has begun is finished unheard, which takes less than a new child.
    `idle` and `deadline`, of one job, in seconds.
    """

    def __init__(self, trade: str, *, count: int = 1, idle: float = 300.0, deadline: float = 20.0) -> None:
        self.trade = trade
        self._idle, self._deadline = idle, deadline
        self._workers = [_Worker(trade) for _ in range(count)]
        self._free = self._workers.copy()  # the one that worked last is taken first: it is warm
        self._waiting: tuple[deque[Future[_Worker]], ...] = (deque(), deque())
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: Tasks

    @property
    def pids(self) -> list[int]:
        """Of the children that live."""
        return [worker.pid for worker in self._workers if worker.pid]

    def open(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        for worker in self._workers:
            await worker.end()

    async def do(self, job: jobs.Job, *, first: bool = True) -> jobs.Done:
        """Raises `Crashed` where the child died of it, `SpeakerError` where it could not do it."""
        worker = await self._turn(first)
        exchange = self._tasks.start(self._exchange(worker, job), f"a job for {self.trade}")
        # Shielded: who leaves in the middle must not leave half an answer in the pipe.
        result = await asyncio.shield(exchange)
        if isinstance(result, SpeakerError):
            raise result
        return result

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """In here children are not ended for being idle: they keep something between two jobs."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def _turn(self, first: bool) -> "_Worker":
        if self._free:
            return self._free.pop()
        turn: Future[_Worker] = asyncio.get_running_loop().create_future()
        self._waiting[0 if first else 1].append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(turn.result())
            raise

    def _release(self, worker: "_Worker") -> None:
        for queue in self._waiting:
            while queue:
                if not (turn := queue.popleft()).done():
                    turn.set_result(worker)
                    return
        self._free.append(worker)
        self._rest_later()

    async def _exchange(self, worker: "_Worker", job: jobs.Job) -> jobs.Done | SpeakerError:
        try:
            result = await worker.ask(job, self._deadline)
        except Crashed as error:
            return error
        finally:
            self._release(worker)
        if isinstance(result, jobs.Failed):
            log.warning("%s could not do a job: %s", self.trade, result.reason)
            return Mute(f"The engine {self.trade} cannot say this text. Choose another voice.")
        return result

    def _rest_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle, self._rest)

    def _rest(self) -> None:
        if self._held:
            self._rest_later()
            return
        for worker in self._free:
            self._tasks.start(worker.end(), f"the end of {self.trade}")


class _Worker:
    """A child, or the place of one: it is started with the first job, and again after its death."""

    def __init__(self, trade: str) -> None:
        self._trade = trade
        self._child: Process | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self._child.returncode is None else None

    async def ask(self, job: jobs.Job, deadline: float) -> jobs.Result:
        """Raises `Crashed`; whatever it raises, the child is gone then."""
        try:
            async with asyncio.timeout(deadline):
                return await self._answer(job)
        except TimeoutError as error:
            await self.end()
            raise self._crashed(f"took longer than {deadline:.0f} s") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await self._child.wait() if self._child else 0
            self._child = None
            raise self._crashed(_ending(code)) from error
        except BaseException:
            await self.end()
            raise

    async def _answer(self, job: jobs.Job) -> jobs.Result:
        child = self._child
        if child is None or child.returncode is not None:
            child = self._child = await start(
                f"service.speakers.{self._trade}", environment=ENVIRONMENT, stderr=DEVNULL
            )
        assert child.stdin and child.stdout
        child.stdin.write(jobs.framed(job))
        await child.stdin.drain()
        length = await child.stdout.readexactly(jobs.LENGTH)
        result: jobs.Result = jobs.result(await child.stdout.readexactly(int.from_bytes(length, "big")))
        return result

    async def end(self) -> None:
        """At once: it holds nothing that a gentle end would save."""
        child, self._child = self._child, None
        if child:
            await kill(child)

    def _crashed(self, how: str) -> Crashed:
        log.warning("the process of %s %s; it will be started again", self._trade, how)
        return Crashed(
            f"The engine {self._trade} {how} with this text. Choose another voice, or change the text."
        )


def _ending(code: int) -> str:
    return f"crashed ({signal.strsignal(-code) or -code})" if code < 0 else f"ended with status {code}"
