"""What an operator decides: one typed tree. service.sources reads it; config/default.toml explains it.

No default is written here, config/default.toml has them all.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from service.setting_types import (
    Account,
    Budget,
    Bytes,
    Claim,
    Count,
    CountOrZero,
    DatabaseUrl,
    Dollars,
    Format,
    Headers,
    Host,
    Hosts,
    KeyName,
    Kind,
    Legacy,
    Level,
    Limit,
    Messages,
    Model,
    ModelPath,
    Models,
    Name,
    Names,
    OptionalUrl,
    Options,
    Origins,
    Port,
    Renamed,
    RowCount,
    RowDollars,
    RowSeconds,
    Seconds,
    Size,
    Sizes,
    Socket,
    SomeSeconds,
    StorageUrl,
    Switch,
    Text,
    Titles,
    Url,
    Weight,
)


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
    direct: Switch


class Routing(Section, frozen=True):
    failures: Count
    cool_down: Seconds
    patience: SomeSeconds


class Clients(Section, frozen=True):
    keys: Switch
    upstreams: Switch
    upstream_hosts: Hosts


class Keys(Section, frozen=True):
    session: Seconds
    jwt_issuer: OptionalUrl
    jwt_audience: Text
    jwt_admin_claim: Claim


class Limits(Section, frozen=True):
    """0 is no limit; budgets are in US dollars."""

    requests_per_minute: Limit
    tokens_per_minute: Limit
    turns_at_once: Limit
    budget_day: Budget
    budget_month: Budget


class Database(Section, frozen=True):
    """The url may hold a password: it is not shown."""

    url: DatabaseUrl
    linger: SomeSeconds
    settle_timeout: Seconds

    def __repr__(self) -> str:
        return (
            f"Database(url={masked(self.url)!r}, linger={self.linger}, settle_timeout={self.settle_timeout})"
        )


class Ledger(Section, frozen=True):
    keep: CountOrZero


class Files(Section, frozen=True):
    """Sizes are in bytes; 0 is no limit where the type allows it."""

    url: StorageUrl
    file_limit: Bytes
    bucket_limit: Bytes
    bucket_files: Count
    user_quota: Limit
    total_quota: Limit
    upload_timeout: Seconds
    keep: CountOrZero
    question_limit: Bytes
    reading_timeout: SomeSeconds
    context_tokens: Count
    embeddings: ModelPath
    embeddings_timeout: Seconds
    embedded_passages: Count
    inline_text: Count
    media_count: CountOrZero
    media_timeout: Seconds
    media_hosts: Hosts
    downloads: CountOrZero
    cookies: Switch


class Speech(Section, frozen=True):
    enabled: Switch
    order: Names
    default_names: Models
    longest_text: Count
    edge_at_once: Count
    first_sound_timeout: Seconds
    idle_timeout: Seconds
    cool_down: Seconds
    cache_size: CountOrZero
    shared_cache: Switch
    recording_limit: Bytes


class Documents(Section, frozen=True):
    """What reading a file may take; `idle` and `timeout` are seconds, `memory` and `unpacked` bytes."""

    processes: Count
    idle: Seconds
    timeout: Seconds
    memory: Bytes
    unpacked: Bytes
    members: Count
    depth: CountOrZero
    pages: Count
    text: Count
    pixels: Count


class Chats(Section, frozen=True):
    """`keep` and `share_expiry` are in days, 0 is never. Sizes of what is kept here are in characters."""

    keep: CountOrZero
    user_chats: Count
    chat_messages: Messages
    chat_size: Size
    message_size: Size
    titles: Titles
    title_timeout: Seconds
    share_limit: Bytes
    share_quota: Bytes
    share_expiry: CountOrZero
    import_limit: Bytes
    longest_import: Bytes


class Scripted(Section, frozen=True):
    enabled: Switch


class Log(Section, frozen=True):
    level: Level
    format: Format


class Price(Section, frozen=True):
    """What a model takes, in US dollars for a million tokens; what is None, as much as for the prompt."""

    prompt: Dollars
    completion: Dollars
    cached: Dollars | None = None
    cache_write: Dollars | None = None


Prices = Annotated[
    dict[Text, Price],
    Meta(description='a table of models, or "*", such as { small = { prompt = 0.15, completion = 0.6 } }'),
]


class ProviderRow(Section, frozen=True):
    """An upstream; an OpenAI-compatible one gets requests at `url` + /chat/completions and + /models.

    `key` names a variable; the headers' texts may be secrets and are not shown. `renamed` has the provider's
    names of models by ours; `options` are sent where the client is silent, parameters that it `refuses`
    never, `web_search` where the client wants the provider to search, to the models that match
    `search_models` (none: to all). Files of the media types that it `reads` are sent as they are. `prices`
    are by the names of models, "*" is any. What is None is as in [upstream].
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
    quota: Account = ""
    renamed: Renamed = {}
    proxy: Switch = True
    connections: RowCount = None
    options: Options = {}
    refuses: Models = ()
    reads: Models = ()
    web_search: Options = {}
    search_models: Models = ()
    image_models: Models = ()
    image_sizes: Sizes = ()
    prices: Prices = {}
    connect_timeout: RowSeconds = None
    first_token_timeout: RowSeconds = None
    idle_timeout: RowSeconds = None

    def __repr__(self) -> str:
        return f"ProviderRow(name={self.name!r}, url={self.url!r}, key={self.key!r})"


class SpeakerRow(Section, frozen=True):
    """Somebody elsewhere who speaks: an OpenAI-compatible upstream, asked at `url` + /audio/speech.

    `key` names a variable. `languages` are those that it speaks, none are all of them; its first voice, of
    none OpenAI's, is for who names no other. `price` is in US dollars for a million characters.
    """

    name: Name
    url: Url
    label: Text = ""
    key: KeyName = ""
    local: Switch = False
    model: Text = "tts-1"
    voices: Models = ()
    languages: Models = ()
    price: RowDollars = None

    def __repr__(self) -> str:
        return f"SpeakerRow(name={self.name!r}, url={self.url!r}, key={self.key!r})"


class Target(Section, frozen=True):
    """Whom an alias means, with which model; without a model with the provider's own choice."""

    provider: Name
    model: Text = ""
    weight: Weight = None


class Alias(Section, frozen=True):
    """A model's name that stands for several, in their order; those with weights are drawn from.

    `continuation`: another one may go on where one has broken off, whatever the client says.
    """

    name: Model
    targets: tuple[Target, ...]
    continuation: Switch = False


SECRET = "CAUSERIE_SECRET"
"""The variable with our own secret; the state directory has one otherwise."""


class Secrets:
    """The keys of providers, and our own secret, by their variables' names; neither printed nor encoded."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def get(self, name: str) -> str | None:
        return self._values.get(name)


class Written(Section, frozen=True):
    """What can be written in a file or a variable.

    Beside it a file has [[providers]], [[aliases]] and [[speakers]].
    """

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
    keys: Keys
    limits: Limits
    user_limits: Limits
    database: Database
    ledger: Ledger
    files: Files
    speech: Speech
    documents: Documents
    chats: Chats
    scripted: Scripted
    log: Log


class Settings(Written, frozen=True):
    """The whole tree. `origins` says where a value that overrides a default stands, by its dotted name."""

    providers: tuple[ProviderRow, ...]
    aliases: tuple[Alias, ...]
    speakers: tuple[SpeakerRow, ...]
    secrets: Secrets
    origins: Mapping[str, str]

    @property
    def state(self) -> Path:
        """The state directory, absolute; it may not exist yet."""
        return Path(self.state_dir)

    @property
    def database_url(self) -> str:
        """Where the database is; by default in the state directory."""
        return self.database.url or f"sqlite:///{self.state}/causerie.db"

    @property
    def files_directory(self) -> Path:
        """Where uploaded files are kept, if no object storage does."""
        return self.state / "files"

    def key(self, row: ProviderRow | SpeakerRow) -> str | None:
        """The row's secret; None where it names none, or its variable is not set."""
        return self.secrets.get(row.key)

    def upstream_of(self, row: ProviderRow) -> Upstream:
        """[upstream] with the row's own timeouts in place."""
        own = {
            "connect_timeout": row.connect_timeout,
            "first_token_timeout": row.first_token_timeout,
            "idle_timeout": row.idle_timeout,
        }
        return replace(self.upstream, **{name: value for name, value in own.items() if value is not None})


def masked(url: str) -> str:
    """A database's address without user, password and query."""
    return re.sub(r"\?.*", "?***", re.sub(r"://.*@", "://***@", url))
