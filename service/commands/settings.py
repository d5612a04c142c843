"""The settings as one TOML text that could be read again: each value with where it comes from."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import asdict, fields

from service.settings import Alias, ProviderRow, Section, Settings, SpeakerRow, Written, masked


def describe(settings: Settings) -> str:
    """What would run, as TOML without secrets; a comment says where a value stands that is no default."""
    rows = (_row(row, settings) for row in settings.providers)
    aliases = (_alias(alias, settings.origins) for alias in settings.aliases)
    speakers = (_speaker(row, settings) for row in settings.speakers)
    return "\n".join([*_lines(settings, settings.origins), *rows, *aliases, *speakers])


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
    return _table("providers", row, told, notes)


def _speaker(row: SpeakerRow, settings: Settings) -> str:
    notes = {
        "name": settings.origins.get(f"speakers.{row.name}"),
        "key": "set" if settings.key(row) else "not set",
    }
    return _table("speakers", row, asdict(row), notes)


def _table(name: str, row: Section, told: Mapping[str, Any], notes: Mapping[str, str | None]) -> str:
    """One of an array of tables, without what it leaves out."""
    silent = {field.name: field.default for field in fields(row)}
    lines = (
        _line(key, value, notes.get(key)) for key, value in told.items() if value and value != silent[key]
    )
    return "\n".join([f"\n[[{name}]]", *lines])


def _alias(alias: Alias, origins: Mapping[str, str]) -> str:
    """An alias' table; a target without what it leaves out."""
    targets = [
        {name: value for name, value in asdict(target).items() if value not in {None, ""}}
        for target in alias.targets
    ]
    lines = [
        _line("name", alias.name, origins.get(f"aliases.{alias.name}")),
        _line("targets", targets, None),
        *([_line("continuation", True, None)] if alias.continuation else []),
    ]
    return "\n".join(["\n[[aliases]]", *lines])


def _line(name: str, value: Any, note: str | None) -> str:
    return f"{name} = {_toml(value)}" + (f"  # {note}" if note else "")


def _toml(value: Any) -> str:
    """JSON is TOML for texts and numbers; a table needs its equal signs, also in a list."""
    if isinstance(value, Section):
        value = {name: inner for name, inner in asdict(value).items() if inner is not None}
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(text)}" for name, text in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
