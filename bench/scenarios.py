"""What is asked of every system, and what we hold our figures against."""

from collections.abc import Mapping
from typing import NamedTuple

from rows import Bound


class Scenario(NamedTuple):
    """`gap` is the mean time between two tokens of a stream in microseconds; 0: as fast as they come.

    `shown` are the rows it makes: the CPU of a `unit`, the time to the first token, the delay of a token, the
    memory of a stream. Of every hundred clients `aborts` leave, and `slow` readers take 2 KB/s beside them.
    """

    name: str
    what: str
    at_once: int
    streams: int
    tokens: int
    gap: int = 0
    shown: tuple[str, ...] = ("cost",)
    unit: str = "token"
    bounds: Mapping[str, tuple[Bound, ...]] = {}
    whole: int = 0
    aborts: int = 0
    slow: int = 0
    ramp: float = 0.0
    rounds: int = 100
    asked: tuple[str, ...] = ("ours v2", "ours v1", "open v2", "open v1", "nginx", "LiteLLM", "g4f")


OURS = ("ours v2", "ours v1")
EVERYBODY = (*Scenario._field_defaults["asked"], "direct")
NGINX = Bound("nginx", 3.5, 2)
ONE_TOKEN = (Bound("LiteLLM", 40, 80),)
CROWD = {"v2": (Bound("", 32, 16, " KiB"),), "v1": (Bound("", 32, 16, " KiB"),)}

SCENARIOS = (
    Scenario(
        *("short16", "16 streams of one token at once", 16, 1000, 1),
        unit="stream",
        bounds={"v2": ONE_TOKEN, "v1": ONE_TOKEN},
    ),
    Scenario(
        *("burst50", "50 streams, tokens as fast as they come", 50, 250, 200),
        bounds={"v2": (Bound("nginx", 4, 2.5),)},
    ),
    Scenario("paced50", "50 streams, a token each 20 ms", 50, 100, 50, 20_000),
    Scenario(
        *("paced200", "200 streams, a token each 10 ms", 200, 200, 100, 10_000),
        shown=("cost", "first", "delay"),
        bounds={"v2": (NGINX, Bound("LiteLLM", 25, 50), Bound("g4f", 20, 40)), "v1": (NGINX,)},
        asked=EVERYBODY,
    ),
    Scenario(
        *("whole16", "16 requests at once, not streamed, of 20 tokens", 16, 1000, 20),
        unit="request",
        whole=1,
        bounds={"v1": (Bound("LiteLLM", 50, 100),)},
        asked=("ours v1", "open v1", "nginx", "LiteLLM"),
    ),
    Scenario(
        *("alone", "one stream at a time", 1, 100, 1),
        shown=("added",),
        bounds={"v2": (Bound("", 1, 0.4, " ms"),), "v1": (Bound("", 1, 0.4, " ms"),)},
        asked=EVERYBODY,
    ),
    Scenario(
        *("aborts", "50 streams at once, 30 % of the clients leave", 50, 300, 50, 10_000),
        shown=("cost", "left"),
        unit="stream",
        aborts=30,
        rounds=3,
    ),
    Scenario(
        *("open1000", "1000 open streams, a token each second", 1000, 1000, 10, 1_000_000),
        shown=("memory",),
        ramp=3.0,
        rounds=1,
        asked=(*OURS, "nginx", "LiteLLM", "g4f"),
    ),
    Scenario(
        *("open4000", "4000 open streams, a token each 3 s", 4000, 4000, 10, 3_000_000),
        shown=("memory",),
        bounds=CROWD,
        ramp=6.0,
        rounds=1,
        asked=(*OURS, "nginx"),
    ),
    Scenario(
        *("readers", "50 streams beside 50 readers of 2 KB/s", 50, 50, 100, 20_000),
        shown=("delay",),
        slow=50,
        rounds=2,
        asked=(*OURS, "nginx", "g4f", "direct"),
    ),
)
