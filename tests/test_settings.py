import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import fields

from service.commands.settings import describe
from service.settings import (
    Alias,
    ProviderRow,
    Section,
    Settings,
    SettingsError,
    Target,
    Written,
)
from service.sources import load, variable
from service.toml import lines

CONFIG = Path(__file__).parent.parent / "config"
CANARY = "sk-canary-0123456789"

Load = Callable[..., Settings]


@pytest.fixture(name="load_file")
def load_file_(tmp_path: Path) -> Load:
    """Loads a text as the operator's file, with further variables."""

    def load_file(text: str, **variables: str) -> Settings:
        file = tmp_path / "own.toml"
        file.write_text(text, "utf-8")
        return load({"CAUSERIE_CONFIG": str(file), **variables})

    return load_file


def leaves(kind: type[Section] = Written, above: str = "") -> Iterator[str]:
    for field in fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield from leaves(field.type, f"{above}{field.name}.")
        else:
            yield above + field.name


def value_of(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def all_keys(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*above, key)
        yield from all_keys(below, (*above, key))


def test_default_toml_has_every_setting_and_nothing_else() -> None:
    text = (CONFIG / "default.toml").read_text("utf-8")
    written = {".".join(map(str, keys)) for keys in lines(text) if not isinstance(keys[-1], int)}
    tables = {name.split(".")[0] for name in leaves() if "." in name}
    assert written == {*leaves(), *tables}


def test_default_toml_explains_every_setting() -> None:
    text = (CONFIG / "default.toml").read_text("utf-8")
    found = {".".join(map(str, keys)): line for keys, line in lines(text).items()}
    assert [name for name in leaves() if not text.split("\n")[found[name] - 2].startswith("# ")] == []


def test_default_toml_shows_a_whole_provider_row(load_file: Load) -> None:
    _, start, example = (CONFIG / "default.toml").read_text("utf-8").partition("# [[providers]]")
    text = (start + example).replace("\n# ", "\n").removeprefix("# ")
    assert tomllib.loads(text)["providers"][0].keys() == {field.name for field in fields(ProviderRow)}
    assert load_file(text).providers[0].headers == {"X-Department": "sales"}


def test_no_default_is_written_twice() -> None:
    assert [field.name for field in fields(Settings) if not field.required] == []
    sections = [field.type for field in fields(Written) if isinstance(field.type, type)]
    assert [field.name for section in sections for field in fields(section) if not field.required] == []


def test_defaults_are_those_of_the_file() -> None:
    settings = load({"HOME": "/home/ada"})
    content = tomllib.loads((CONFIG / "default.toml").read_text("utf-8"))
    for name in set(leaves()) - {"state_dir"}:
        table, _, key = name.rpartition(".")
        default = (content[table] if table else content)[key]
        assert value_of(settings, name) == (tuple(default) if isinstance(default, list) else default), name
    assert settings.origins == {}


def test_every_shipped_provider_has_a_key_or_is_on_this_machine() -> None:
    rows = {row.name: row for row in load({}).providers}
    assert len(rows) == 13
    for row in rows.values():
        assert row.local == row.url.startswith("http://127.0.0.1:")
        assert bool(row.key) != row.local
    assert rows["Gemini"].url.endswith("/v1beta/openai")
    assert not [row for row in rows.values() if f":{load({}).port}/" in row.url]


def test_each_source_wins_over_the_one_before(load_file: Load, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "CAUSERIE_STREAM_HEARTBEAT").write_text("4\n")
    settings = load_file(
        "port = 1\n[stream]\nheartbeat = 2\nwrite_timeout = 2\n",
        CAUSERIE_STREAM_HEARTBEAT="3",
        CAUSERIE_STREAM_WRITE_TIMEOUT="3.5",
        CREDENTIALS_DIRECTORY=str(credentials),
    )
    assert (settings.host, settings.port) == ("127.0.0.1", 1)
    assert settings.stream == msgspec.structs.replace(settings.stream, heartbeat=4.0, write_timeout=3.5)
    assert settings.origins == {
        "port": f"{tmp_path}/own.toml:1",
        "stream.heartbeat": f"{credentials}/CAUSERIE_STREAM_HEARTBEAT",
        "stream.write_timeout": "CAUSERIE_STREAM_WRITE_TIMEOUT",
    }


def test_every_setting_has_a_variable_of_its_own() -> None:
    assert len({variable(name) for name in leaves()}) == len(list(leaves()))
    for name in leaves():
        value = value_of(load({}), name)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        assert value_of(load({variable(name): text}), name) == value


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("https://a.example", ("https://a.example",)),
        ("https://a.example, http://b.example:81,", ("https://a.example", "http://b.example:81")),
        ('["https://a.example", "https://b.example"]', ("https://a.example", "https://b.example")),
        ("['https://a.example']", ("https://a.example",)),
    ],
)
def test_lists_in_variables(text: str, origins: tuple[str, ...]) -> None:
    assert load({"CAUSERIE_SERVER_ORIGINS": text}).server.origins == origins


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/causerie"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "/srv"}, "/srv/causerie"),
        ({"XDG_STATE_HOME": "/srv", "STATE_DIRECTORY": "/var/lib/causerie"}, "/var/lib/causerie"),
        ({"STATE_DIRECTORY": "/var/lib/causerie:/var/lib/other"}, "/var/lib/causerie"),
        ({"STATE_DIRECTORY": "/var/lib/causerie", "CAUSERIE_STATE_DIR": "/data"}, "/data"),
    ],
)
def test_state_directory(environment: dict[str, str], directory: str) -> None:
    assert load(environment).state == Path(directory)


def test_a_relative_state_directory_is_made_absolute() -> None:
    assert load({"CAUSERIE_STATE_DIR": "state"}).state == Path.cwd() / "state"


def test_own_rows_come_first_and_replace_shipped_ones(load_file: Load) -> None:
    settings = load_file(
        """
        [[providers]]
        name = "Zeta"
        url = "http://zeta.example:81/v1/"
        local = true
        idle_timeout = 7

        [[providers]]
        name = "Mistral"
        url = "https://mistral.example/v1"
        key = "OTHER_KEY"
        """,
        OTHER_KEY=f" {CANARY}\n",
        MISTRAL_API_KEY="unused",
    )
    zeta, mistral, *shipped = settings.providers
    assert (zeta.name, zeta.url, settings.key(zeta)) == ("Zeta", "http://zeta.example:81/v1", None)
    assert (mistral.url, settings.key(mistral)) == ("https://mistral.example/v1", CANARY)
    assert [row.name for row in shipped] == [row.name for row in load({}).providers if row.name != "Mistral"]
    assert settings.upstream_of(zeta) == msgspec.structs.replace(settings.upstream, idle_timeout=7.0)
    assert settings.upstream_of(mistral) == settings.upstream


def test_keys_come_from_the_credentials_directory_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "OPENAI_API_KEY").write_text(f"{CANARY}\n")
    (tmp_path / "certificate").write_bytes(b"\xff not text, and not ours")
    settings = load({"CREDENTIALS_DIRECTORY": str(tmp_path), "OPENAI_API_KEY": "older", "GROQ_API_KEY": ""})
    keys = {row.name: settings.key(row) for row in settings.providers}
    assert {name for name, key in keys.items() if key} == {"OpenAI"}
    assert keys["OpenAI"] == CANARY


def test_a_row_may_name_a_variable_that_looks_like_a_setting(load_file: Load) -> None:
    row = '[[providers]]\nname = "A"\nurl = "https://a.example/v1"\nkey = "CAUSERIE_A_KEY"'
    settings = load_file(row, CAUSERIE_A_KEY=CANARY)
    assert settings.key(settings.providers[0]) == CANARY


ROW = '[[providers]]\nname = "A"\nurl = "https://a.example/v1"\nkey = "A_KEY"\n'
BYTES = "server.body_limit must be an integer above 0 (bytes)"
PORT = "port must be a port, 0 (any free one) to 65535"
SECONDS = "must be a number of seconds, above 0 and at most 86400"
NAME = "providers.name must be a name of letters, digits, dots, dashes (no space, no slash)"
URL = "providers.url must be an http or https address without user, password or query."
LIST = "config/default.toml lists all settings."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[server]\n\nbody_limit = "1 MB"', f'3: {BYTES}, not "1 MB".'),
        ("server.body_limit = 0", f"1: {BYTES}, not 0."),
        ("server = { body_limit = true }", f"1: {BYTES}, not true."),
        ("port = 65536", f"1: {PORT}, not 65536."),
        ("port = 80.5", f"1: {PORT}, not 80.5."),
        ('host = ""', '1: host must be an address or a host name, not "".'),
        ("[host]\na = 1", '1: host must be an address or a host name, not {"a": 1}.'),
        ("prot = 1", "1: prot is not a setting. Did you mean port?"),
        ("zzz = 1", f"1: zzz is not a setting. {LIST}"),
        ("xyzzy = {}", f"1: xyzzy is not a setting. {LIST}"),
        ("[sever]\nhosts = []", "1: sever is not a setting. Did you mean server?"),
        ("body_limit = 1", "1: body_limit is not a setting. Did you mean server.body_limit?"),
        ("[stream]\nheart_beat = 1", "2: stream.heart_beat is not a setting. Did you mean stream.heartbeat?"),
        ("stream = 15", "1: stream must be a table, written as [stream]."),
        ("stream.heartbeat = 0", f"1: stream.heartbeat {SECONDS}, not 0."),
        ("stream.heartbeat = nan", f"1: stream.heartbeat {SECONDS}, not NaN."),
        ("stream.heartbeat = inf", f"1: stream.heartbeat {SECONDS}, not Infinity."),
        ("stream.heartbeat = true", f"1: stream.heartbeat {SECONDS}, not true."),
        ('log.level = "loud"', '1: log.level must be "debug", "info", "warning" or "error", not "loud".'),
        ('server.origins = ["https://a.example/"]', '(no path, no "*"), not ["https://a.example/"].'),
        ('server.origins = ["*"]', '(no path, no "*"), not ["*"].'),
        ('default_model = "a\\nb"', '1: default_model must be text on one line, not "a\\nb".'),
        ('database.url = "mysql://h/d"', "begins with sqlite:// or postgresql://."),
        ("port = \n", "1: Invalid value (at line 1, column 8)."),
        ("port = 1\nport = 2\n", "2: Cannot overwrite a value (at line 2, column 9)."),
        ('\nhost = """\n', "2: Unterminated string (at end of document)."),
        ("providers = 1", "1: providers must be tables, each written as [[providers]]."),
        ("[providers]\nA = 1", "1: providers must be tables, each written as [[providers]]."),
        (ROW + 'lable = "a"', "5: providers.lable is not a setting. Did you mean providers.label?"),
        (ROW + "models = 'a'", '5: providers.models must be a list of model names, not "a".'),
        (ROW + "idle_timeout = -1", f"5: providers.idle_timeout {SECONDS}, not -1."),
        (ROW + ROW, "6: the name A is taken, choose another."),
        (ROW.replace('"A"', '"Embedded"'), "2: the name Embedded is taken, choose another."),
        (ROW.replace('"A"', '"Custom"'), "2: the name Custom is taken, choose another."),
        (ROW.replace('"A"', '"A b"'), f'2: {NAME}, not "A b".'),
        (ROW.replace('"A"', '"A/b"'), f'2: {NAME}, not "A/b".'),
        (ROW.replace("https:", "ftp:"), f"3: {URL}"),
        (ROW.replace(".example", ":99999"), "3: providers.url is no address; check its host and port."),
        (ROW.replace("a.example", "[::1"), "3: providers.url is no address; check its host and port."),
        (ROW.replace("name = ", "label = "), "1: this provider has no name; give it one."),
        (
            ROW.replace("key = ", "label = "),
            "give this provider the name of its key's variable, or local = true.",
        ),
    ],
)
def test_errors_of_a_file(load_file: Load, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_file(text)
    assert str(error.value).startswith(f"{tmp_path}/own.toml:")
    assert str(error.value).endswith(message)


ALIAS = '[[aliases]]\nname = "fast"\n'
TARGET = 'targets = [{ provider = "Groq", model = "llama" }]\n'
TABLE = '[[aliases.targets]]\nprovider = "Groq"\n'
WEIGHT = "aliases.targets.weight must be a number above 0 and at most 1000000"


def test_aliases(load_file: Load, tmp_path: Path) -> None:
    second = '[[aliases]]\nname = "or/large"\ncontinuation = true\n[[aliases.targets]]\nprovider = "A"\n'
    settings = load_file(ROW + ALIAS + TARGET.replace('"llama"', '"llama", weight = 3') + second)
    assert settings.aliases == (
        Alias("fast", (Target("Groq", "llama", 3.0),)),
        Alias("or/large", (Target("A"),), continuation=True),
    )
    assert settings.origins["aliases.or/large"] == f"{tmp_path}/own.toml:8"
    assert f'name = "fast"  # {tmp_path}/own.toml:5\n' in describe(settings)
    assert load_file(describe(settings), A_KEY="k").aliases == settings.aliases
    assert load({}).aliases == ()


def test_default_toml_shows_a_whole_alias(load_file: Load) -> None:
    _, start, example = (CONFIG / "default.toml").read_text("utf-8").partition("# [[aliases]]")
    text = (start + example.partition("\n\n")[0]).replace("\n# ", "\n").removeprefix("# ")
    assert tomllib.loads(text)["aliases"][0].keys() == {field.name for field in fields(Alias)}
    (alias,) = load_file(text).aliases
    assert [target.provider for target in alias.targets] == ["Groq", "Together", "OpenAI"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aliases = 1", "1: aliases must be tables, each written as [[aliases]]."),
        (ALIAS, "1: this alias has no targets; write it as config/default.toml does."),
        (ALIAS + "targets = []", "1: this alias has no targets; write it as config/default.toml does."),
        ("[[aliases]]\n" + TARGET, "1: this alias has no name; write it as config/default.toml does."),
        (
            ALIAS + 'targets = ["Groq"]',
            "3: aliases.targets must be tables, each written as [[aliases.targets]].",
        ),
        (ALIAS + 'targets = [{ model = "a" }]', "3: this target has no provider; give it one."),
        (
            ALIAS + TABLE + "wait = 1",
            "5: aliases.targets.wait is not a setting. Did you mean aliases.targets.weight?",
        ),
        (ALIAS + TABLE + "weight = 0", f"5: {WEIGHT}, not 0."),
        (ALIAS + TABLE + "weight = nan", f"5: {WEIGHT}, not NaN."),
        (
            ALIAS + TARGET + "continue = 1",
            "4: aliases.continue is not a setting. Did you mean aliases.continuation?",
        ),
        (ALIAS + TARGET + ALIAS + TARGET, "5: the name fast is taken, choose another."),
        (ALIAS.replace("fast", "auto") + TARGET, "2: the name auto is taken, choose another."),
        (ALIAS.replace("fast", "") + TARGET, '2: aliases.name must be the name of a model, not "".'),
        (ALIAS.replace("fast", " x") + TARGET, '2: aliases.name must be the name of a model, not " x".'),
    ],
)
def test_errors_of_an_alias(load_file: Load, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_file(text)
    assert str(error.value) == f"{tmp_path}/own.toml:{message}"


@pytest.mark.parametrize("name", ["Grok", "AnyProvider", "groq", "fast"])
def test_an_alias_of_nobody(load_file: Load, tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_file(ALIAS + TABLE + 'model = "a"\n' + TABLE.replace("Groq", name))
    start = f"{tmp_path}/own.toml:7: there is no provider {name}, but there are "
    assert str(error.value).startswith(start)
    assert "Groq" in str(error.value).removeprefix(start)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("CAUSERIE_PROT", "1", " is not a setting. Did you mean CAUSERIE_PORT?"),
        ("CAUSERIE_SERVER_ORIGIN", "", " is not a setting. Did you mean CAUSERIE_SERVER_ORIGINS?"),
        ("CAUSERIE_KEYS", "", f" is not a setting. {LIST}"),
        ("CAUSERIE_PORT", "http", f': {PORT}, not "http".'),
        ("CAUSERIE_PORT", "", f': {PORT}, not "".'),
        ("CAUSERIE_SCRIPTED_ENABLED", "yes", ': scripted.enabled must be true or false, not "yes".'),
        ("CAUSERIE_LOG_FORMAT", '["text"', ': log.format must be "text" or "json", not "[\\"text\\"".'),
        ("CAUSERIE_DEFAULT_MODEL", "\udcff", ': default_model must be text on one line, not "\\udcff".'),
        (
            "CAUSERIE_CONFIG",
            "/nowhere/a.toml",
            ": /nowhere/a.toml cannot be read: No such file or directory.",
        ),
        ("CREDENTIALS_DIRECTORY", "/nowhere", ": /nowhere cannot be read: No such file or directory."),
    ],
)
def test_errors_of_a_variable(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({name: text})
    assert str(error.value) == name + message


def test_an_unfinished_list_in_a_variable() -> None:
    with pytest.raises(
        SettingsError, match=r"^CAUSERIE_SERVER_HOSTS: server.hosts must be a list of host names"
    ):
        load({"CAUSERIE_SERVER_HOSTS": '["a"'})


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b'host = "\xff"')
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load({"CAUSERIE_CONFIG": str(tmp_path / "own.toml")})


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xef\xbb\xbfport = 1\r\n\r\n[log]\r\nlevel = 'error'\r\n")
    settings = load({"CAUSERIE_CONFIG": str(tmp_path / "own.toml")})
    assert (settings.port, settings.log.level) == (1, "error")
    assert settings.origins["log.level"].endswith("own.toml:4")


TRICKY = '''\
# a = "not a key"
top = "has # no comment, [no.table] and no = sign"

"quoted key" = 1
'single.quoted' = 2
dotted . "k.e.y".deep = 3
text = """
[server]
fake = 1
"""
literal = \'\'\'
x = \\"""
\'\'\'
list = [  # comment ]
  "]", [1, 2],
  { inline = { deep = "}" } },
]
inline = { a = 1, b.c = "x = [" }

[table]  # [other]
key = 1
  [table.sub . "a.b"]
  key = 2
[[rows]]
name = 1
[rows.more]
key = 1
[[rows.inner]]
[[rows.inner]]
z = 1
[[rows]]
name = 2
[[rows.inner]]
z = 2
[rows.inner.deep]
end = 1979-05-27'''


def test_lines_of_a_tricky_file() -> None:
    found = lines(TRICKY)
    assert {keys: found[keys] for keys in found if len(keys) == 1} == {
        ("top",): 2,
        ("quoted key",): 4,
        ("single.quoted",): 5,
        ("dotted",): 6,
        ("text",): 7,
        ("literal",): 11,
        ("list",): 14,
        ("inline",): 18,
        ("table",): 20,
    }
    assert found["dotted", "k.e.y", "deep"] == 6
    assert found["list", 2, "inline", "deep"] == 14
    assert found["inline", "b", "c"] == 18
    assert found["table", "sub", "a.b", "key"] == 23
    assert [found["rows", row, "name"] for row in (0, 1)] == [25, 32]
    assert found["rows", 0, "more", "key"] == 27
    assert found["rows", 0, "inner", 0] == 28
    assert found["rows", 0, "inner", 1, "z"] == 30
    assert found["rows", 1, "inner", 0, "deep", "end"] == 36


@pytest.mark.parametrize(
    "text", [TRICKY, *((CONFIG / name).read_text("utf-8") for name in ("default.toml", "providers.toml"))]
)
def test_every_value_has_a_line(text: str) -> None:
    content = tomllib.loads(text)
    implied = {("rows",), ("rows", 0, "inner"), ("rows", 1, "inner"), ("table", "sub"), ("providers",)}
    assert set(all_keys(content)) - implied == set(lines(text))


def test_describe_is_toml_that_says_what_holds(load_file: Load, tmp_path: Path) -> None:
    settings = load_file(
        ROW + 'headers = { "X-Say" = "hush" }\n', CAUSERIE_PORT="0", HOME="/home/ada", A_KEY="k"
    )
    text = describe(settings)
    told = tomllib.loads(text)
    assert told["state_dir"] == "/home/ada/.local/state/causerie"
    assert told["server"]["legacy"] == "auto"
    assert told["providers"][0] == {
        "name": "A",
        "url": "https://a.example/v1",
        "key": "A_KEY",
        "headers": {"X-Say": "(not shown)"},
    }
    assert "port = 0  # CAUSERIE_PORT\n" in text
    assert f'name = "A"  # {tmp_path}/own.toml:1\n' in text
    assert 'key = "A_KEY"  # set\n' in text
    assert 'key = "OPENAI_API_KEY"  # not set\n' in text
    assert len(told["providers"]) == 14


def test_what_is_described_can_be_loaded_again(load_file: Load) -> None:
    settings = load({"HOME": "/home/ada", "CAUSERIE_SERVER_HOSTS": "чат.example"})
    again = load_file(describe(settings), HOME="/home/ada")
    assert again.providers == settings.providers
    assert [value_of(again, name) for name in leaves()] == [value_of(settings, name) for name in leaves()]


def test_secrets_are_never_shown(load_file: Load) -> None:
    settings = load_file(
        ROW + f'headers = {{ Authorization = "{CANARY}" }}\n',
        A_KEY=CANARY,
        OPENAI_API_KEY=CANARY,
        CAUSERIE_SECRET=2 * CANARY,
        CAUSERIE_DATABASE_URL=f"postgresql://ada:{CANARY}@db.example/chat?password={CANARY}",
    )
    assert settings.key(settings.providers[0]) == CANARY
    assert CANARY in settings.database.url
    for shown in (
        describe(settings),
        repr(settings),
        str(settings),
        repr(settings.secrets),
        repr(settings.database),
    ):
        assert CANARY not in shown
    assert "postgresql://***@db.example/chat?***" in describe(settings)
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (ROW.replace("A_KEY", CANARY), {}),
        (ROW.replace("a.example", f"ada:{CANARY}@a.example"), {}),
        (ROW.replace("/v1", f"/v1?key={CANARY}"), {}),
        (ROW + f'headers = "{CANARY}"', {}),
        (ROW + f'headers = {{ "Bad Name" = "{CANARY}" }}', {}),
        (ROW + f'headers.A = "{CANARY}\\n"', {}),
        (ROW + f'api_key = "{CANARY}"', {}),
        (f'database.url = "mysql://ada:{CANARY}@db.example"', {}),
        ("", {"CAUSERIE_DATABASE_URL": f"mysql://ada:{CANARY}@db.example"}),
        ("", {"CAUSERIE_OPENAI_KEY": CANARY}),
        ("", {"OPENAI_API_KEY": f"{CANARY}\nX-More: 1"}),
        ("", {"OPENAI_API_KEY": f"{CANARY}é"}),
        (f"key = {CANARY}", {}),
    ],
)
def test_errors_hold_no_secrets(load_file: Load, text: str, variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as error:
        load_file(text, **variables)
    assert CANARY not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
