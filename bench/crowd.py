"""What a stream takes while it is open: thousands of them at once."""

import json
import resource
import subprocess
import time

from processes import Program, await_answer, free_port, memory, running
from rows import Options, Row
from stream import LOAD_SECONDS, Scenario, load_command, upstream_command, warm_up
from systems import service

CROWD = Scenario("crowd", "4000 streams, a token each 3 s ± 90 %", 4000, 4000, 10, 3_000_000, "≤ 32 KiB")
KIND = "Anonymous"
"""Pages of its own; the share of others changes with whatever else the machine runs."""
LOOK_SECONDS = 0.2


def crowd(options: Options) -> list[Row]:
    take_files()
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        with service(options.folder / "crowd", embedded=False, upstream=port) as ours:
            await_answer(ours, "/health/ready")
            warm_up(ours, "backend")
            return [weighed(ours)]


def take_files() -> None:
    """As many as there may be, for what is started from here: a connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def weighed(program: Program) -> Row:
    """What the service has grown by at most, while the streams ran."""
    own, command = program.tree[0], load_command(program, "backend", CROWD)
    before = most = memory(own, KIND)
    deadline = time.monotonic() + LOAD_SECONDS
    with subprocess.Popen(command, stdout=subprocess.PIPE) as load:
        while load.poll() is None and time.monotonic() < deadline:
            most = max(most, memory(own, KIND))
            time.sleep(LOOK_SECONDS)
        load.kill()
        said = json.loads(load.communicate()[0])
    kibibytes = (most - before) * 1024 / CROWD.at_once
    result = f"{kibibytes:.1f} KiB"
    if lost := CROWD.streams - said["complete"]:
        result += f"; {lost} streams were not complete and in order"
    details: dict[str, object] = {"before": before, "most": most, **said}
    return Row(f"Memory of an open stream ({CROWD.what})", result, CROWD.aim, details, flawed=lost > 0)
