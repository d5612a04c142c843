"""What is seen from outside: one registry of metrics, one format of logs."""

import logging
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.process_collector import ProcessCollector

request_id: ContextVar[str] = ContextVar("request_id", default="-")
turn_id: ContextVar[str] = ContextVar("turn_id", default="-")
"""Of what is being done; every log line carries them."""

CREDENTIALS = re.compile(r"ck-[a-z0-9]{8}-[\w-]{43}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", re.ASCII)
"""Keys of ours, and JSON Web Tokens: no log has one."""

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
CHUNK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Family:
    """A metric's children by their labels; each is looked up once, for that takes longer than counting."""

    def __init__(self, metric: MetricWrapperBase) -> None:
        self.labels: Callable[..., Any] = cache(metric.labels)


class Metrics:
    """The metrics by their names in the field; never a user, a text or a free model name as a label."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Family(
            Counter(
                "http_requests", "Answered requests.", ["method", "route", "status"], registry=self.registry
            )
        )
        self.request_seconds = Family(
            Histogram(
                "http_request_duration_seconds",
                "Time to the end of an answer.",
                ["route"],
                buckets=SECONDS,
                registry=self.registry,
            )
        )
        self.streams = Gauge("llm_streams_active", "Turns that are being answered.", registry=self.registry)
        self.endings = Family(
            Counter("llm_stream_end", "Ended turns.", ["provider", "reason"], registry=self.registry)
        )
        self.tokens = Family(
            Counter(
                "llm_tokens",
                "Tokens of ended turns.",
                ["direction", "provider", "model", "source"],
                registry=self.registry,
            )
        )
        self.first_token = Family(
            Histogram(
                "llm_time_to_first_token_seconds",
                "From the request to the first piece of an answer.",
                ["provider"],
                buckets=SECONDS,
                registry=self.registry,
            )
        )
        self.chunk_seconds = Family(
            Histogram(
                "llm_time_per_output_chunk_seconds",
                "From one piece of an answer to the next, a turn's mean.",
                ["provider"],
                buckets=CHUNK_SECONDS,
                registry=self.registry,
            )
        )
        self.queue = Gauge("db_writer_queue_depth", "Rows that wait to be written.", registry=self.registry)
        self.provider_up = Gauge(
            "provider_up", "1: a provider answers.", ["provider"], registry=self.registry
        )
        self.circuit = Gauge(
            "provider_circuit_state",
            "0: a provider is asked; 1: one question tries it; 2: it is left out.",
            ["provider"],
            registry=self.registry,
        )
        self.attempts = Family(
            Counter(
                "llm_attempts",
                "Questions to providers, by what they came to.",
                ["provider", "outcome"],
                registry=self.registry,
            )
        )

        self.cost = Family(
            Counter(
                "llm_cost_usd",
                "US dollars, of what has a price.",
                ["provider", "model"],
                registry=self.registry,
            )
        )
        self.unpriced = Family(
            Counter(
                "llm_unpriced",
                "Answers that nobody knows the price of.",
                ["provider"],
                registry=self.registry,
            )
        )
        self.first_sound = Family(
            Histogram(
                "speech_time_to_first_sound_seconds",
                "From the request to a speaker to its first sound.",
                ["speaker"],
                buckets=SECONDS,
                registry=self.registry,
            )
        )
        self.spoken = Family(
            Counter(
                "speech_characters",
                "Characters that were spoken; made, shared (somebody else heard it too) or kept.",
                ["speaker", "source"],
                registry=self.registry,
            )
        )
        self.fallbacks = Family(
            Counter(
                "speech_fallbacks",
                "Texts that somebody else has spoken than the first who should have.",
                ["speaker", "by"],
                registry=self.registry,
            )
        )
        self.rejections = Counter(
            "ratelimit_rejections",
            "Requests that a limit of ours refused.",
            ["limit"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The registry in Prometheus' text format."""
        return generate_latest(self.registry)


def unseen(text: str) -> str:
    """The text without the keys and tokens in it: what clients report may hold theirs."""
    return CREDENTIALS.sub("[a key]", text)


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s %(turn_id)s] %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return unseen(super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": record.__dict__.get("request_id"),
            "turn_id": record.__dict__.get("turn_id"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return unseen(msgspec.json.encode(line).decode())


def _stamp(record: logging.LogRecord) -> bool:
    record.__dict__.update(request_id=request_id.get(), turn_id=turn_id.get())
    return True


def set_up_logs(level: str, form: str) -> None:
    """One handler on standard error; `form` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handler.addFilter(_stamp)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiosqlite").setLevel(logging.INFO)  # its lines below that hold every row
