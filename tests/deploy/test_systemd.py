"""The shipped units under a real systemd: sandbox, watchdog, and restarts that nobody notices."""

import asyncio
import io
import logging
import os
from collections.abc import Iterator

import aiohttp
import pytest
import soundfile

from tests.deploy.load import LOOK, TOLD, TURN, Load
from tests.deploy.machine import Machine, booted, missing
from tests.documents.made import docx, gif, paragraph, pdf
from tests.serving import CONVERSATION, Json
from tests.upstream import until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

log = logging.getLogger(__name__)

RESTARTS = int(os.environ.get("RESTARTS", "3"))
STREAMS, LOOPS = 50, 4
EXPOSURE = 11
"""In tenths, as `systemd-analyze security` counts; what is left are other hosts, and the paths to them."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


async def ask(socket: str | None = None, **body: str) -> bytes:
    """What a conversation is answered, over the service's own socket or else through nginx."""
    connector = aiohttp.UnixConnector(socket) if socket else aiohttp.TCPConnector()
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession("http://localhost", connector=connector) as http,
        http.post(CONVERSATION, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.read()


def answered(machine: Machine) -> bool:
    """Whether a turn over the service's socket comes to its end."""
    said = asyncio.run(ask(machine.socket, prompt="say here", provider="Scripted"))
    return b"\nevent: usage\n" in said


def test_it_is_active_once_it_is_ready(machine: Machine) -> None:
    assert (
        machine.run("systemctl", "is-active", "causerie.service", "causerie.socket").split() == ["active"] * 2
    )
    assert machine.shown("StatusText") == "On unix:/run/causerie/causerie.sock, turns running: 0"
    assert machine.shown("NRestarts") == "0"


def test_the_embedded_model_answers_in_the_sandbox(machine: Machine) -> None:
    question = "What is the capital of France?"
    over_the_socket = asyncio.run(ask(machine.socket, prompt=question, provider="Embedded"))
    assert b"Paris" in over_the_socket
    through_nginx = machine.client(lambda: ask(prompt=question, provider="Embedded"))
    assert b"Paris" in through_nginx


def test_the_sandbox_holds_for_every_process(machine: Machine) -> None:
    group = machine.run("cat", "/sys/fs/cgroup/system.slice/causerie.service/cgroup.procs")
    assert len(group.split()) == 2  # the service, and the embedded model
    for process in group.split():
        status = machine.run("cat", f"/proc/{process}/status")
        found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (int(found["CapEff"], 16), int(found["CapBnd"], 16)) == (0, 0)
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
        assert int(found["Uid"].split()[0]) >= 61184  # of systemd's dynamic users
    assert machine.run("stat", "-c", "%a", "/run/causerie/causerie.sock").strip() == "660"
    assert machine.run("stat", "-c", "%a", "/var/lib/private/causerie/causerie.db").strip() == "600"


def test_files_are_read_in_the_sandbox(machine: Machine) -> None:
    """What reads them loads libraries of its own, and unpacks one of them."""
    sound = io.BytesIO()
    soundfile.write(sound, [0.0] * 24_000, 24_000, format="WAV")
    files = {
        "a.pdf": pdf(["The launch code is PINEAPPLE."]),
        "b.docx": docx(paragraph("The launch code is TANGERINE.")),
        "c.gif": gif(2),
        "d.wav": sound.getvalue(),
    }
    added, text = asyncio.run(uploaded(machine.socket, files))
    assert "PINEAPPLE" in text and "TANGERINE" in text
    picture, heard = added["media"]
    assert picture["width"] > 0
    assert heard["duration"] == 1.0


async def uploaded(socket: str, files: dict[str, bytes]) -> tuple[Json, str]:
    """What the upload is answered, and the text of the bucket."""
    url, form = "http://localhost/backend-api/v2/files/bkt", aiohttp.FormData()
    for name, content in files.items():
        form.add_field("files", io.BytesIO(content), filename=name)
    connector = aiohttp.UnixConnector(socket)
    async with asyncio.timeout(60), aiohttp.ClientSession(connector=connector) as http:
        async with http.post(url, data=form) as answer:
            assert answer.status == 200, await answer.text()
            added: Json = await answer.json()
        async with http.get(url) as answer:
            return added, await answer.text()


@pytest.mark.parametrize("format", ["mp3", "wav", "opus", "flac"])
def test_texts_are_spoken_in_the_sandbox(machine: Machine, format: str) -> None:
    """No other host can be reached, so it is the voice on this machine."""
    wish = {"input": "Good morning, Ada.", "response_format": format}

    async def heard() -> bytes:
        connector = aiohttp.UnixConnector(machine.socket)
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession(connector=connector) as http,
            http.post("http://localhost/v1/audio/speech", json=wish) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.read()

    assert len(asyncio.run(heard())) > 2000


@pytest.mark.parametrize("unit", ["causerie.service", "causerie.socket"])
def test_the_units_have_no_typing_errors(machine: Machine, unit: str) -> None:
    assert machine.run("systemd-analyze", "verify", f"/run/systemd/system/{unit}") == ""


def test_the_sandbox_is_as_tight_as_it_was(machine: Machine) -> None:
    unit = "/run/systemd/system/causerie.service"
    score = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", unit]
    machine.run(*score)


def test_the_next_request_after_a_kill_is_answered(machine: Machine) -> None:
    before = int(machine.shown("NRestarts"))
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "causerie.service")
    assert answered(machine)
    assert int(machine.shown("NRestarts")) == before + 1


def test_a_process_that_does_nothing_is_started_again(machine: Machine) -> None:
    before = int(machine.shown("NRestarts"))
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "causerie.service")
    asyncio.run(until(lambda: int(machine.shown("NRestarts")) == before + 1, 30))
    assert answered(machine)
    assert "Watchdog timeout" in machine.log()
    assert "Fatal Python error: Aborted" in machine.log()


def test_restarts_are_not_noticed(machine: Machine) -> None:
    async def restarted() -> Load:
        async with aiohttp.ClientSession("http://127.0.0.1", connector=aiohttp.TCPConnector(limit=0)) as http:
            load = Load(http)
            async with load.running(STREAMS, LOOPS):
                for _ in range(RESTARTS):
                    await busy(load)
                    machine.run("systemctl", "reset-failed", "causerie.service")
                    await asyncio.to_thread(machine.run, "systemctl", "restart", "causerie.service")
                await busy(load)
        return load

    load = machine.client(restarted)
    log.info("%d restarts: %s, longest wait %.2f s", RESTARTS, dict(load.seen), load.longest)
    assert load.seen.keys() == {LOOK, TURN, TOLD}
    assert load.seen[TOLD] == RESTARTS * STREAMS


async def busy(load: Load) -> None:
    """Returns once all streams are open, and 100 further requests have been answered beside them."""
    await until(lambda: load.streams == STREAMS, 30)
    enough = load.seen[LOOK] + 100
    await until(lambda: load.seen[LOOK] >= enough, 30)


def test_stopped_and_started_it_has_its_books(machine: Machine) -> None:
    assert answered(machine)
    machine.run("systemctl", "stop", "causerie.service", "causerie.socket")
    assert machine.shown("Result") == "success"
    machine.run("systemctl", "start", "causerie.socket")
    assert machine.shown("ActiveState") == "inactive"
    assert answered(machine)  # the first client starts it
