"""Where settings are read from. Later wins: config/default.toml, the operator's file (CAUSERIE_CONFIG),
the environment, the credentials directory ($CREDENTIALS_DIRECTORY, as systemd provides it).
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

from msgspec import ValidationError, convert
from msgspec.structs import fields

from service.settings import (
    SECRET,
    Alias,
    ProviderRow,
    Secrets,
    Section,
    Settings,
    SettingsError,
    SpeakerRow,
    Target,
    Written,
)
from service.toml import File, Keys, read

SHIPPED = Path(__file__).parent.parent / "config"
PREFIX = "CAUSERIE_"
CONFIG = f"{PREFIX}CONFIG"
SHORTEST = 32
"""Characters of a secret that nobody guesses."""
TARGETS = {"Embedded", "Scripted"}
CUSTOM = "Custom"
BUILT_IN = {"AnyProvider", CUSTOM} | TARGETS
SPEAKERS = ("edge", "hibari", "local")
"""Those that need no row."""


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
    names = {row.value.name for row in rows.values()} | TARGETS
    aliases = {alias.name: alias for file in own for alias in _aliases(file, names)}
    speakers = {row.name: row for row in chain(*map(_speakers, own))}
    keys = {SECRET, *(row.value.key for row in chain(rows.values(), speakers.values()))} - {""}
    given = {leaf.name: leaf for leaf in chain(*map(_leaves, own), _assigned(variables, {CONFIG, *keys}))}
    leaves = {leaf.name: leaf for leaf in _leaves(read(SHIPPED / "default.toml"))} | given
    leaves["state_dir"] = _state_dir(leaves["state_dir"], variables)
    _check_order(leaves["speech.order"], [*SPEAKERS, *(row.value.name for row in speakers.values())])
    _check_embeddings(leaves["files.embeddings"], names)
    issuer = leaves["keys.jwt_issuer"]
    if issuer.value and not leaves["keys.jwt_audience"].value:
        raise SettingsError(f"{issuer.where}: keys.jwt_issuer needs keys.jwt_audience beside it.")
    whole = {
        **_tree(leaves),
        "providers": [row.value for row in rows.values()],
        "aliases": [alias.value for alias in aliases.values()],
        "speakers": [row.value for row in speakers.values()],
        "secrets": Secrets({name: key for name in keys if (key := _secret(name, variables))}),
        "origins": {name: leaf.where for name, leaf in (given | own_rows | aliases | speakers).items()},
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
ALIAS_LEAVES = _types(Alias, "aliases.")
TARGET_LEAVES = _types(Target, "aliases.targets.")
SPEAKER_LEAVES = _types(SpeakerRow, "speakers.")
TABLES = {name.split(".")[0] for name in LEAVES if "." in name}


def _leaves(file: File) -> Iterator[Leaf]:
    """What a file says, checked, its arrays of tables apart."""
    for name, value in file.content.items():
        where = file.where((name,))
        if name in {"providers", "aliases", "speakers"}:
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


def _rows(file: File) -> Iterator[Leaf]:
    """The rows of a file's [[providers]], in their order."""
    taken = set(BUILT_IN)
    for index, table in enumerate(_tables(file, file.content, ("providers",))):
        place: Keys = ("providers", index)
        row = _row(file, table, place)
        if row.name in taken:
            raise _taken(file, place, row.name)
        taken.add(row.name)
        yield Leaf(f"providers.{row.name}", row, file.where(place))


def _row(file: File, table: Mapping[str, Any], place: Keys) -> ProviderRow:
    said = _said(file, table, place, ROW_LEAVES)
    _check_row(said, file, place)
    return ProviderRow(**said | {"url": said["url"].rstrip("/")})


def _speakers(file: File) -> Iterator[Leaf]:
    """The rows of a file's [[speakers]], in their order."""
    taken = set(SPEAKERS)
    for index, table in enumerate(_tables(file, file.content, ("speakers",))):
        place: Keys = ("speakers", index)
        said = _said(file, table, place, SPEAKER_LEAVES)
        _check_row(said, file, place)
        if said["name"] in taken:
            raise _taken(file, place, said["name"])
        taken.add(said["name"])
        row = SpeakerRow(**said | {"url": said["url"].rstrip("/")})
        yield Leaf(f"speakers.{row.name}", row, file.where(place))


def _check_row(said: Mapping[str, Any], file: File, place: Keys) -> None:
    """What a provider's row and a speaker's must both have."""
    where, name = file.where(place), _dotted(place)
    if missing := {"name", "url"} - said.keys():
        raise SettingsError(f"{where}: this {name[:-1]} has no {min(missing)}; give it one.")
    if not said.get("key") and not said.get("local"):
        raise SettingsError(
            f"{where}: give this {name[:-1]} the name of its key's variable, or local = true."
        )
    if not _parsable(said["url"]):
        where = file.where((*place, "url"))
        raise SettingsError(f"{where}: {name}.url is no address; check its host and port.")


def _check_order(order: Leaf, known: list[str]) -> None:
    for name in order.value:
        if name not in known:
            raise SettingsError(
                f"{order.where}: speech.order: there is no speaker {name}, but there are {', '.join(known)}."
            )


def _check_embeddings(model: Leaf, providers: Set[str]) -> None:
    provider = model.value.partition("/")[0]
    if provider and provider not in providers:
        known = ", ".join(sorted(providers))
        raise SettingsError(
            f"{model.where}: files.embeddings: there is no provider {provider}, but there are {known}."
        )


def _aliases(file: File, providers: Set[str]) -> Iterator[Leaf]:
    """A file's [[aliases]], in their order; their targets are among these providers."""
    taken = {"auto"}
    for index, table in enumerate(_tables(file, file.content, ("aliases",))):
        place: Keys = ("aliases", index)
        alias = _alias(file, table, place, providers)
        if alias.name in taken:
            raise _taken(file, place, alias.name)
        taken.add(alias.name)
        yield Leaf(f"aliases.{alias.name}", alias, file.where(place))


def _alias(file: File, table: Mapping[str, Any], place: Keys, providers: Set[str]) -> Alias:
    below = (*place, "targets")
    targets = [
        _target(file, target, (*below, index), providers)
        for index, target in enumerate(_tables(file, table, below))
    ]
    own = {key: value for key, value in table.items() if key != "targets"}
    said = _said(file, own, place, ALIAS_LEAVES)
    if not targets or "name" not in said:
        missing = "name" if targets else "targets"
        raise SettingsError(
            f"{file.where(place)}: this alias has no {missing}; write it as config/default.toml does."
        )
    return Alias(targets=tuple(targets), **said)


def _target(file: File, table: Mapping[str, Any], place: Keys, providers: Set[str]) -> Target:
    said = _said(file, table, place, TARGET_LEAVES)
    if "provider" not in said:
        raise SettingsError(f"{file.where(place)}: this target has no provider; give it one.")
    if said["provider"] not in providers:
        where, known = file.where((*place, "provider")), ", ".join(sorted(providers))
        raise SettingsError(f"{where}: there is no provider {said['provider']}, but there are {known}.")
    return Target(**said)


def _tables(file: File, table: Mapping[str, Any], place: Keys) -> list[dict[str, Any]]:
    """What a table has under the last key of a place, which must be an array of tables."""
    found = table.get(str(place[-1]), [])
    if not isinstance(found, list) or not all(isinstance(inner, dict) for inner in found):
        name = _dotted(place)
        raise SettingsError(f"{file.where(place)}: {name} must be tables, each written as [[{name}]].")
    return found


def _said(file: File, table: Mapping[str, Any], place: Keys, types: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a table in an array of tables, checked."""
    name = _dotted(place)
    return {
        key: _leaf(f"{name}.{key}", value, file.where((*place, key)), types).value
        for key, value in table.items()
    }


def _dotted(place: Keys) -> str:
    return ".".join(key for key in place if isinstance(key, str))


def _taken(file: File, place: Keys, name: str) -> SettingsError:
    return SettingsError(f"{file.where((*place, 'name'))}: the name {name} is taken, choose another.")


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
    """A provider's key or our own; None where its variable is not set or empty."""
    key = (variables.get(name) or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(f"{variables.where(name)} holds no key: it has characters that no key has.")
    if name == SECRET and 0 < len(key) < SHORTEST:
        raise SettingsError(f"{variables.where(name)} is too short: give it {SHORTEST} random characters.")
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
