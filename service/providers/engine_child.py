"""The embedded engine's child: `python -m service.providers.engine_child`, parameters as JSON on stdin.

It serves until it gets SIGTERM or its parent is gone, whatever became of it. It imports next to nothing of
the service: it holds a model, and nothing that it need not know.
"""

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TypedDict

from service.child import die_with_parent

LISTENING = b"the engine listens\n"
EMBEDDED_TOKENS = 512
"""The longest text that is embedded: it is read in one go, for which answers must wait, at 0.5 MB a token."""


class Parameters(TypedDict):
    """What the parent asks for; `context_length` 0 is the model's own, `socket` is alone in its directory."""

    model: str
    name: str
    socket: str
    key: str
    context_length: int
    parallel: int
    threads: int
    batch_threads: int
    cache_prompt: bool


def main() -> None:
    # While it loads the model, xllamacpp holds the interpreter's lock: a gentler signal would have to wait.
    die_with_parent(signal.SIGKILL)
    # Blocked before there are threads: they inherit it, so that the signal waits for `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    parameters: Parameters = json.loads(sys.stdin.buffer.readline())
    _server = listen(parameters)  # it ends when nobody holds it
    die_with_parent(signal.SIGTERM)
    threading.Thread(target=await_parent, daemon=True).start()
    os.write(sys.stdout.fileno(), LISTENING)
    signal.sigwait({signal.SIGTERM})
    shutil.rmtree(Path(parameters["socket"]).parent, ignore_errors=True)
    # Nobody reads the live streams any more, and a graceful end would wait for them.
    os._exit(0)


def await_parent() -> None:
    """Stdin is a pipe that the parent holds open for as long as it lives."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def listen(wanted: Parameters) -> Any:
    """A llama.cpp server that has loaded its model and answers on the socket."""
    import xllamacpp  # after `die_with_parent`: it takes its time

    parameters = xllamacpp.CommonParams()
    parameters.model.path = wanted["model"]
    parameters.model_alias = {wanted["name"]}  # else clients see a path of this machine
    parameters.hostnames = [wanted["socket"]]
    parameters.api_keys = [wanted["key"]]
    parameters.cors_origins = ""  # its default is * with credentials
    parameters.ui = False
    parameters.verbosity = 1  # errors only: without them a model that cannot be loaded gives no cause
    parameters.cache_prompt = wanted["cache_prompt"]
    parameters.n_ctx = wanted["context_length"]
    parameters.n_parallel = wanted["parallel"]
    parameters.embedding = True  # beside answers, which it does not change
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN  # chat models name none
    parameters.n_ubatch = EMBEDDED_TOKENS
    parameters.kv_unified = True  # else each slot gets its part of the context and no more
    parameters.cache_ram_mib = 256  # of earlier prompts; its default is 8 GiB
    parameters.sse_ping_interval = 1  # seconds; by this it notices that a reader has gone
    parameters.cpuparams.n_threads = wanted["threads"]
    parameters.cpuparams_batch.n_threads = wanted["batch_threads"]
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError:
        sys.exit(1)  # its text names no cause; llama.cpp has written that to stderr


if __name__ == "__main__":
    main()
