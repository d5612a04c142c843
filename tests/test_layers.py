"""Imports only point downwards, and what stands side by side does not know each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROCESS = frozenset({"app", "server", "supervisor", "commands", "__main__"})
REQUESTS = frozenset({"handlers", "middleware"})
FRAMEWORK = frozenset(
    {"bodies", "context", "downloads", "issuer", "multipart", "openapi", "replies", "routes", "streaming"}
)
VALUES = frozenset(
    {
        "child",
        "children",
        "messages",
        "events",
        "errors",
        "setting_types",
        "settings",
        "silence",
        "sources",
        "toml",
        "tasks",
        "telemetry",
    }
)
LAYERS = (
    PROCESS,
    REQUESTS,
    FRAMEWORK,
    frozenset({"turns"}),
    frozenset({"wire", "providers", "speakers", "documents", "stores"}),
    VALUES,
)
"""From the top down; a name is a module or a package of `service`."""
WITHIN = PROCESS | FRAMEWORK | VALUES
"""These may also import their neighbours in the layer."""
WEB = PROCESS | REQUESTS | FRAMEWORK
"""Only these know `aiohttp.web`; providers and speakers are clients, and know the rest of aiohttp."""

FILES = [file for file in sorted((ROOT / "service").rglob("*.py")) if file != ROOT / "service/__init__.py"]


def imported(file: Path) -> Iterator[str]:
    """Every name that a file imports, wherever in it; its own command, if it has one, may use everything."""
    module = ast.parse(file.read_text())
    body = [node for node in module.body if not ast.unparse(node).startswith("if __name__ == '__main__'")]
    for node in (inner for outer in body for inner in ast.walk(outer)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def part_of(file: Path) -> str:
    return file.relative_to(ROOT / "service").with_suffix("").parts[0]


def level(part: str) -> int:
    (found,) = (index for index, layer in enumerate(LAYERS) if part in layer)
    return found


def may_import(part: str, other: str) -> bool:
    return part == other or level(part) < level(other) or (level(part) == level(other) and part in WITHIN)


def named(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=named)
def test_imports_point_downwards(file: Path) -> None:
    parts = {name.split(".")[1] for name in imported(file) if name.startswith(("service.", "."))}
    assert {other for other in parts if not may_import(part_of(file), other)} == set()


@pytest.mark.parametrize("file", FILES, ids=named)
def test_the_web_framework_begins_with_the_routes(file: Path) -> None:
    names = [name for name in imported(file) if name.startswith("aiohttp")]
    if part_of(file) in {"providers", "speakers"}:
        assert [name for name in names if name.startswith("aiohttp.web")] == []
    elif part_of(file) not in WEB:
        assert names == []
