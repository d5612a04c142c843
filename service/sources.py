"""Where settings are read from. Later wins: config/default.toml, the operator's file (CAUSERIE_CONFIG),
the environment, the credentials directory ($CREDENTIALS_DIRECTORY, as systemd provides it).
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

from msgspec import ValidationError, convert
from msgspec.structs import fields, replace

from service.settings import ProviderRow, Secrets, Section, Settings, SettingsError, Written

SHIPPED = Path(__file__).parent.parent / "config"
PREFIX = "CAUSERIE_"
CONFIG = f"{PREFIX}CONFIG"
BUILT_IN = ("AnyProvider", "Embedded", "Scripted")

Keys = tuple[str | int, ...]


class Leaf(NamedTuple):
    """One setting as it was written: its dotted name, its value, and where it stands."""

    name: str
    value: Any
    where: str


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads every source; raises SettingsError for the first thing that is wrong with one."""
    variables = Variables(environment)
    named = variables.get(CONFIG)
    own = [read(Path(named).absolute(), f"{variables.where(CONFIG)}: ")] if named else []
    own_rows = {row.name: row for row in chain(*map(_rows, own))}
    shipped = {row.name: row for row in _rows(read(SHIPPED / "providers.toml"))}
    rows = own_rows | {name: row for name, row in shipped.items() if name not in own_rows}
    keys = {row.value.key for row in rows.values()} - {""}
    given = {leaf.name: leaf for leaf in chain(*map(_leaves, own), _assigned(variables, {CONFIG, *keys}))}
    leaves = {leaf.name: leaf for leaf in _leaves(read(SHIPPED / "default.toml"))} | given
    leaves["state_dir"] = _state_dir(leaves["state_dir"], variables)
    whole = {
        **_tree(leaves),
        "providers": [row.value for row in rows.values()],
        "keys": Secrets({name: key for name in keys if (key := _secret(name, variables))}),
        "origins": {name: leaf.where for name, leaf in (given | own_rows).items()},
    }
    return convert(whole, Settings)


def variable(name: str) -> str:
    """The variable of a setting: CAUSERIE_SERVER_ORIGINS for server.origins."""
    return PREFIX + name.replace(".", "_").upper()


def _types(kind: type[Section], above: str = "") -> dict[str, Any]:
    """The type of each leaf by its dotted name."""
    types: dict[str, Any] = {}
    for field in fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            types |= _types(field.type, f"{above}{field.name}.")
        else:
            types[above + field.name] = field.type
    return types


LEAVES = _types(Written)
ROW_LEAVES = _types(ProviderRow, "providers.")
TABLES = {name.split(".")[0] for name in LEAVES if "." in name}


def _leaves(file: "File") -> Iterator[Leaf]:
    """What a file says, checked, its [[providers]] apart."""
    for name, value in file.content.items():
        where = file.where((name,))
        if name == "providers":
            continue
        if name not in TABLES:
            yield _leaf(name, value, where, LEAVES)
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield _leaf(f"{name}.{key}", inner, file.where((name, key)), LEAVES)
        else:
            raise SettingsError(f"{where}: {name} must be a table, written as [{name}].")


def _leaf(name: str, value: Any, where: str, types: Mapping[str, Any]) -> Leaf:
    if name not in types:
        raise SettingsError(f"{where}: {name} is not a setting. {_nearest(name, [*types, *TABLES])}")
    return Leaf(name, _checked(value, types[name], name, where), where)


def _rows(file: "File") -> Iterator[Leaf]:
    """The rows of a file's [[providers]], in their order."""
    tables = file.content.get("providers", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        where = file.where(("providers",))
        raise SettingsError(f"{where}: providers must be tables, each written as [[providers]].")
    taken = set(BUILT_IN)
    for index, table in enumerate(tables):
        place: Keys = ("providers", index)
        row = _row(table, {key: file.where((*place, key)) for key in table}, file.where(place))
        if row.name in taken:
            raise SettingsError(
                f"{file.where((*place, 'name'))}: the name {row.name} is taken, choose another."
            )
        taken.add(row.name)
        yield Leaf(f"providers.{row.name}", row, file.where(place))


def _row(table: Mapping[str, Any], places: Mapping[str, str], where: str) -> ProviderRow:
    leaves = {key: _leaf(f"providers.{key}", value, places[key], ROW_LEAVES) for key, value in table.items()}
    if missing := {"name", "url"} - leaves.keys():
        raise SettingsError(f"{where}: this provider has no {min(missing)}; give it one.")
    row = ProviderRow(**{key: leaf.value for key, leaf in leaves.items()})
    if not row.key and not row.local:
        raise SettingsError(f"{where}: give this provider the name of its key's variable, or local = true.")
    if not _parsable(row.url):
        raise SettingsError(f"{places['url']}: providers.url is no address; check its host and port.")
    return replace(row, url=row.url.rstrip("/"))


def _parsable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _assigned(variables: "Variables", others: Set[str]) -> Iterator[Leaf]:
    """What the variables say; one that begins like a setting's and is none of the others is an error."""
    names = {variable(name): name for name in LEAVES}
    for given in variables.starting(PREFIX):
        if given in names:
            kind, where = LEAVES[names[given]], variables.where(given)
            value = _parsed(variables.get(given) or "", kind)
            yield Leaf(names[given], _checked(value, kind, names[given], where, strict=False), where)
        elif given not in others:
            hint = _nearest(given, names, PREFIX)
            raise SettingsError(f"{variables.where(given)} is not a setting. {hint}")


def _parsed(text: str, kind: Any) -> Any:
    """A variable's text as a value: a list is a TOML or JSON array, or separated by commas."""
    if get_origin(get_args(kind)[0]) is not tuple:
        return text
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tomllib.loads(f"list = {text}")["list"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(value: Any, kind: Any, name: str, where: str, strict: bool = True) -> Any:
    """The value as its type, whose description is what an error asks for; some values are never shown."""
    try:
        return convert(value, kind, strict=strict)
    except ValidationError:
        meta = kind.__metadata__[-1]
        written = json.dumps(value, default=str, ensure_ascii=False)[:60].encode(errors="backslashreplace")
        shown = "" if meta.extra else f", not {written.decode()}"
        raise SettingsError(f"{where}: {name} must be {meta.description}{shown}.") from None


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A suggestion what was meant; what all names begin with makes none of them alike."""
    rests = [other.removeprefix(prefix) for other in known]
    close = difflib.get_close_matches(name.removeprefix(prefix), rests, n=1)
    return f"Did you mean {prefix}{close[0]}?" if close else "config/default.toml lists all settings."


def _state_dir(written: Leaf, variables: "Variables") -> Leaf:
    """The state directory as an absolute path: as written, or the customary one."""
    path = written.value
    if not path and (provided := variables.get("STATE_DIRECTORY")):
        path = provided.split(":")[0]  # systemd lists them all when a unit has several
    elif not path:
        path = (
            variables.get("XDG_STATE_HOME") or f"{variables.get('HOME') or '~'}/.local/state"
        ) + "/causerie"
    try:
        return written._replace(value=str(Path(path).expanduser().absolute()))
    except RuntimeError:
        raise SettingsError("There is no home directory to keep state in: set CAUSERIE_STATE_DIR.") from None


def _secret(name: str, variables: "Variables") -> str | None:
    """A provider's key; None where its variable is not set or empty."""
    key = (variables.get(name) or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(f"{variables.where(name)} holds no key: it has characters that no key has.")
    return key or None


def _tree(leaves: Mapping[str, Leaf]) -> dict[str, Any]:
    """Dotted names as tables."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        table, _, key = name.rpartition(".")
        (tree.setdefault(table, {}) if table else tree)[key] = leaf.value
    return tree


class Variables:
    """The environment, and over it the files of $CREDENTIALS_DIRECTORY, each a variable of its name."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        directory = environment.get("CREDENTIALS_DIRECTORY")
        self._files = _credentials(Path(directory)) if directory else {}

    def starting(self, prefix: str) -> list[str]:
        return sorted(name for name in {*self._environment, *self._files} if name.startswith(prefix))

    def get(self, name: str) -> str | None:
        """The variable's text; a file's without the newline it ends in."""
        if name not in self._files:
            return self._environment.get(name)
        try:
            return self._files[name].read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            raise SettingsError(f"{self._files[name]} cannot be read, or is not UTF-8 text.") from None

    def where(self, name: str) -> str:
        return str(self._files.get(name, name))


def _credentials(directory: Path) -> dict[str, Path]:
    try:
        return {path.name: path for path in directory.iterdir() if path.is_file()}
    except OSError as error:
        raise SettingsError(f"CREDENTIALS_DIRECTORY: {directory} cannot be read: {error.strerror}.") from None


class File:
    """A TOML file: its content, and where in it a key stands."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        self.content = tomllib.loads(text)

    @cached_property
    def lines(self) -> dict[Keys, int]:
        return lines(self.text)

    def where(self, keys: Keys) -> str:
        """`path:line` of a key, or of what is around it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines[keys]}" if keys else str(self.path)


def read(path: Path, named_by: str = "") -> File:
    """Raises SettingsError for a file that is missing, unreadable or not TOML."""
    try:
        text = path.read_text("utf-8-sig")
        return File(path, text)
    except OSError as error:
        raise SettingsError(f"{named_by}{path} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found[1] if found else text.rstrip().count("\n") + 1
        raise SettingsError(f"{path}:{line}: {error}.") from None
    except ValueError:
        raise SettingsError(f"{path} is not UTF-8 text; save it as such.") from None


def lines(text: str) -> dict[Keys, int]:
    """The line on which each key of valid TOML begins, from 1; tables of an array count from 0.

    tomllib gives no lines. But each statement of TOML is a document of its own, and an unfinished one
    is none: so a statement is grown line by line until it parses, and says itself what it defines.
    """
    found: dict[Keys, int] = {}
    latest: dict[Keys, int] = {}
    table: Keys = ()
    start, statement = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            content = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            table = _opened(content, latest)
            found.setdefault(table, start)
        else:
            for keys in _inner(content, table):
                found.setdefault(keys, start)
        start, statement = number + 1, ""
    return found


def _opened(header: dict[str, Any], latest: dict[Keys, int]) -> Keys:
    """What `[a.b]` or `[[a.b]]` opens; the name of an array of tables means the latest of them."""
    keys: Keys = ()
    inner: Any = header
    while inner:
        ((name, inner),) = inner.items()
        keys = (*keys, name)
        if isinstance(inner, list):
            latest[keys] = latest.get(keys, -1) + 1
            inner = inner[0]
        if keys in latest:
            keys = (*keys, latest[keys])
    return keys


def _inner(value: Any, above: Keys) -> Iterator[Keys]:
    """The keys of all that a value holds, however deep."""
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*above, key)
            yield from _inner(below, (*above, key))
