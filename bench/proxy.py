"""How much later a token comes through the service and the shipped nginx configuration than without them."""

import json
import subprocess
import sys
from collections.abc import Iterator

from processes import ROOT, await_answer, await_socket, free_port, running
from rows import Options, Row, turns
from stream import upstream_command
from systems import nginx, service, shipped

STREAMS, TOKENS, GAP = 1000, 20, 1_000_000
LOAD_SECONDS = 150.0


def proxy(options: Options) -> list[Row]:
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        socket = options.folder / "proxied/service.sock"
        with service(socket.parent, embedded=False, upstream=port, socket=socket) as ours:
            await_socket(ours, socket)
            return list(measured(options, shipped(socket), port))


def measured(options: Options, configuration: str, upstream: int) -> Iterator[Row]:
    """Nothing where nginx is not installed."""
    with nginx(options.folder / "front", configuration) as front:
        if front is None:
            return
        await_answer(front, "/health/ready")
        ports = {"openai": upstream, "backend": front.port}
        found: dict[str, list[dict[str, int]]] = {wire: [] for wire in ports}
        for wire in turns(ports, options.rounds):
            found[wire].append(delays(wire, ports[wire]))
        yield row(found["backend"], found["openai"])


def delays(wire: str, port: int) -> dict[str, int]:
    sizes = [f"--streams={STREAMS}", f"--tokens={TOKENS}", f"--gap={GAP}"]
    command = [sys.executable, str(ROOT / "bench/delays.py"), f"--port={port}", f"--wire={wire}", *sizes]
    said = subprocess.run(command, stdout=subprocess.PIPE, timeout=LOAD_SECONDS, check=True).stdout
    found: dict[str, int] = json.loads(said)
    return found


def row(through: list[dict[str, int]], direct: list[dict[str, int]]) -> Row:
    """The median of the rounds: one that something disturbs says nothing."""
    added = {
        name: sorted(one[name] - other[name] for one, other in zip(through, direct, strict=True))
        for name in ("p50", "p99")
    }
    p50, p99 = (some[len(some) // 2] / 1000 for some in added.values())
    together = sum(one["together"] for one in through) / sum(one["tokens"] for one in through)
    flawed = any(one["complete"] < STREAMS or one["disordered"] for one in through)
    result = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; {together:.2%} of the tokens came with another one"
    measure = f"Added delay of a token, {STREAMS} streams through the shipped nginx file"
    return Row(measure, result, "p99 < 10 ms", {"through": through, "direct": direct}, flawed)
