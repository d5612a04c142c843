"""TOML files of which every value knows its line."""

import re
import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from service.settings import SettingsError

Keys = tuple[str | int, ...]
"""Where a value stands in a file; tables of an array count from 0."""


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
