"""How much later a token comes through the service and the shipped nginx configuration than without them."""

from collections.abc import Iterator
from statistics import median

from asking import Asked, Contender, ask
from processes import Program, await_answer, await_socket, free_port, running
from rows import Bound, Options, Row, turns
from scenarios import Scenario
from shown import incomplete
from stream import upstream_command
from systems import nginx, service, shipped

# Streams begin one after the other: what so many beginnings at once take is another measure.
SCENARIO = Scenario("proxy", "1000 streams, a token each second", 1000, 1000, 20, 1_000_000, ramp=5.0)
BOUND = Bound("", 10, 10, " ms")


def proxy(options: Options) -> list[Row]:
    with running(upstream_command(port := free_port()), port) as upstream:
        await_answer(upstream, "/v1/models")
        socket = options.folder / "proxied/service.sock"
        with service(socket.parent, embedded=False, upstream=port, socket=socket) as ours:
            await_socket(ours, socket)
            return list(measured(options, shipped(socket), upstream))


def measured(options: Options, configuration: str, upstream: Program) -> Iterator[Row]:
    """Nothing where nginx is not installed."""
    with nginx(options.folder / "front", configuration) as front:
        if front is None:
            return
        await_answer(front, "/health/ready")
        through = Contender("through", "v2", front, {"provider": "Bench"})
        asked = {"direct": Contender("direct", "v1", upstream), "through": through}
        found: dict[str, list[Asked]] = {name: [] for name in asked}
        for _, name in turns(asked, options.rounds):
            found[name].append(ask(asked[name], SCENARIO))
        yield row(found["through"], found["direct"])


def row(through: list[Asked], direct: list[Asked]) -> Row:
    """The median of the rounds: one that something disturbs says nothing."""
    pairs = list(zip(through, direct, strict=True))
    p50, p99 = (
        median(one["delay"][name] - other["delay"][name] for one, other in pairs) / 1000
        for name in ("p50", "p99")
    )
    together = sum(one["together"] for one in through) / sum(one["tokens"] for one in through)
    lost = incomplete(through)
    result = f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; {together:.2%} of the tokens came with another one{lost}"
    measure = f"Through the shipped nginx file, {SCENARIO.what}: added delay of a token"
    return Row(measure, result, {}, [(BOUND, p99)], {"through": through, "direct": direct}, bool(lost))
