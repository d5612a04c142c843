"""What an operator decides: one typed tree. service.sources reads it; config/default.toml explains it.

No default is written here, config/default.toml has them all.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import fields, replace

DAY = 86_400.0

# Each type says in its description what an error asks for; an unprinted one may hold a secret.
LINE = r"[^\x00-\x1f\x7f\ud800-\udfff]"
UNPRINTED = {"unprinted": True}
Text = Annotated[str, Meta(pattern=rf"\A{LINE}*\Z", description="text on one line")]
Host = Annotated[str, Meta(pattern=r"\A[\w.:%-]+\Z", description="an address or a host name")]
Port = Annotated[int, Meta(ge=0, le=65_535, description="a port, 0 (any free one) to 65535")]
Socket = Annotated[str, Meta(pattern=rf"\A(/{LINE}*)?\Z", description="empty, or an absolute path")]
Switch = Annotated[bool, Meta(description="true or false")]
Seconds = Annotated[float, Meta(gt=0, le=DAY, description="a number of seconds, above 0 and at most 86400")]
SomeSeconds = Annotated[float, Meta(ge=0, le=DAY, description="a number of seconds, 0 to 86400")]
Bytes = Annotated[int, Meta(gt=0, description="an integer above 0 (bytes)")]
Count = Annotated[int, Meta(gt=0, description="an integer above 0")]
CountOrZero = Annotated[int, Meta(ge=0, description="an integer, 0 or more")]
Legacy = Annotated[Literal["auto", "on", "off"], Meta(description='"auto", "on" or "off"')]
Level = Annotated[
    Literal["debug", "info", "warning", "error"],
    Meta(description='"debug", "info", "warning" or "error"'),
]
Format = Annotated[Literal["text", "json"], Meta(description='"text" or "json"')]
Hosts = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A[^\s/@]+\Z")], ...],
    Meta(description='a list of host names, such as ["chat.example"]'),
]
Origins = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\Ahttps?://[^\s/@?#*]+\Z")], ...],
    Meta(description='a list of origins, such as ["https://chat.example"] (no path, no "*")'),
]
DatabaseUrl = Annotated[
    str,
    Meta(
        pattern=rf"\A((sqlite|postgresql)(\+\w+)?://{LINE}*)?\Z",
        description="empty, or an address that begins with sqlite:// or postgresql://",
        extra=UNPRINTED,
    ),
]
Name = Annotated[
    str,
    Meta(pattern=r"\A[\w.+-]+\Z", description="a name of letters, digits, dots, dashes (no space, no slash)"),
]
Url = Annotated[
    str,
    Meta(
        pattern=r"\Ahttps?://[^\s/?#@]+(/[^\s?#@]*)?\Z",
        description="an http or https address without user, password or query",
        extra=UNPRINTED,
    ),
]
Models = Annotated[tuple[Text, ...], Meta(description="a list of model names")]
KeyName = Annotated[
    str,
    Meta(
        pattern=r"\A([A-Z_][A-Z0-9_]*)?\Z",
        description="the NAME of the variable that holds the key, in capitals, never the key itself",
        extra=UNPRINTED,
    ),
]
Headers = Annotated[
    dict[Annotated[str, Meta(pattern=r"\A[\w!#$%&'*+.^`|~-]+\Z")], Text],
    Meta(description="a table of header names and their texts", extra=UNPRINTED),
]
Kind = Annotated[
    Literal["openai", "anthropic", "ollama"], Meta(description='"openai", "anthropic" or "ollama"')
]
Renamed = Annotated[dict[Text, Text], Meta(description="a table of our model names and the provider's")]
Options = Annotated[dict[str, Any], Meta(description="a table of parameters and their values")]
RowCount = Annotated[Annotated[int, Meta(gt=0)] | None, Meta(description="an integer above 0")]
RowSeconds = Annotated[
    Annotated[float, Meta(gt=0, le=DAY)] | None,
    Meta(description="a number of seconds, above 0 and at most 86400"),
]


class SettingsError(Exception):
    """What is wrong, where, and what to write instead: for the operator, and free of secrets."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the settings."""


class Server(Section, frozen=True):
    open_to_network: Switch
    hosts: Hosts
    origins: Origins
    body_limit: Bytes
    body_timeout: Seconds
    keepalive: Seconds
    shutdown_timeout: Seconds
    legacy: Legacy


class Stream(Section, frozen=True):
    heartbeat: Seconds
    first_event_timeout: SomeSeconds
    write_timeout: Seconds
    grace: Seconds
    keep: Seconds


class Embedded(Section, frozen=True):
    enabled: Switch
    model: Text
    context_length: CountOrZero
    parallel: Count
    threads: CountOrZero


class Upstream(Section, frozen=True):
    connect_timeout: Seconds
    first_token_timeout: Seconds
    idle_timeout: Seconds
    models_refresh: Seconds
    probe_timeout: Seconds
    connections: Count


class Routing(Section, frozen=True):
    failures: Count
    cool_down: Seconds
    patience: SomeSeconds


class Clients(Section, frozen=True):
    keys: Switch
    upstreams: Switch
    upstream_hosts: Hosts


class Database(Section, frozen=True):
    """The url may hold a password: it is not shown."""

    url: DatabaseUrl
    linger: SomeSeconds
    settle_timeout: Seconds

    def __repr__(self) -> str:
        return (
            f"Database(url={masked(self.url)!r}, linger={self.linger}, settle_timeout={self.settle_timeout})"
        )


class Scripted(Section, frozen=True):
    enabled: Switch


class Log(Section, frozen=True):
    level: Level
    format: Format


class ProviderRow(Section, frozen=True):
    """An upstream; an OpenAI-compatible one gets requests at `url` + /chat/completions and + /models.

    `key` names a variable; the headers' texts may be secrets and are not shown. `renamed` has the provider's
    names of models by ours; `options` are sent where the client is silent. What is None is as in [upstream].
    """

    name: Name
    url: Url
    label: Text = ""
    key: KeyName = ""
    local: Switch = False
    models: Models = ()
    headers: Headers = {}
    default_model: Text = ""
    kind: Kind = "openai"
    renamed: Renamed = {}
    proxy: Switch = True
    connections: RowCount = None
    options: Options = {}
    image_models: Models = ()
    connect_timeout: RowSeconds = None
    first_token_timeout: RowSeconds = None
    idle_timeout: RowSeconds = None

    def __repr__(self) -> str:
        return f"ProviderRow(name={self.name!r}, url={self.url!r}, key={self.key!r})"


class Secrets:
    """The keys of providers by the name of their variable; neither printed nor encoded."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str) -> str | None:
        return self._values.get(name)


class Written(Section, frozen=True):
    """What can be written in a file or a variable; beside it a file has [[providers]]."""

    host: Host
    port: Port
    socket: Socket
    state_dir: Text
    default_model: Text
    server: Server
    stream: Stream
    embedded: Embedded
    upstream: Upstream
    routing: Routing
    clients: Clients
    database: Database
    scripted: Scripted
    log: Log


class Settings(Written, frozen=True):
    """The whole tree. `origins` says where a value that overrides a default stands, by its dotted name."""

    providers: tuple[ProviderRow, ...]
    keys: Secrets
    origins: Mapping[str, str]

    @property
    def state(self) -> Path:
        """The state directory, absolute; it may not exist yet."""
        return Path(self.state_dir)

    def key(self, row: ProviderRow) -> str | None:
        """The row's secret; None where it names none, or its variable is not set."""
        return self.keys.get(row.key)

    def upstream_of(self, row: ProviderRow) -> Upstream:
        """[upstream] with the row's own timeouts in place."""
        own = {
            "connect_timeout": row.connect_timeout,
            "first_token_timeout": row.first_token_timeout,
            "idle_timeout": row.idle_timeout,
        }
        return replace(self.upstream, **{name: value for name, value in own.items() if value is not None})


def describe(settings: Settings) -> str:
    """What would run, as TOML without secrets; a comment says where a value stands that is no default."""
    rows = (_row(row, settings) for row in settings.providers)
    return "\n".join([*_lines(settings, settings.origins), *rows])


def _lines(section: Section, origins: Mapping[str, str], above: str = "") -> Iterator[str]:
    for field in fields(Written if isinstance(section, Settings) else section):
        name, value = above + field.name, getattr(section, field.name)
        if isinstance(value, Section):
            yield f"\n[{name}]"
            yield from _lines(value, origins, f"{name}.")
        else:
            yield _line(field.name, masked(value) if name == "database.url" else value, origins.get(name))


def _row(row: ProviderRow, settings: Settings) -> str:
    """A row's table, without what the row leaves out."""
    notes = {
        "name": settings.origins.get(f"providers.{row.name}"),
        "key": "set" if settings.key(row) else "not set",
    }
    told = {field.name: getattr(row, field.name) for field in fields(row)}
    told["headers"] = dict.fromkeys(row.headers, "(not shown)")
    silent = {field.name: field.default for field in fields(row)}
    lines = (
        _line(name, value, notes.get(name)) for name, value in told.items() if value and value != silent[name]
    )
    return "\n".join(["\n[[providers]]", *lines])


def _line(name: str, value: Any, note: str | None) -> str:
    return f"{name} = {_toml(value)}" + (f"  # {note}" if note else "")


def _toml(value: Any) -> str:
    """JSON is TOML for texts, numbers and lists of them; a table needs its equal signs."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(text)}" for name, text in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def masked(url: str) -> str:
    """A database's address without user, password and query."""
    return re.sub(r"\?.*", "?***", re.sub(r"://.*@", "://***@", url))
