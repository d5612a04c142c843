"""Versions of installed packages."""

from functools import cache


@cache
def version_of(distribution: str) -> str:
    """`name version`; looked up when it is first needed."""
    from importlib.metadata import version

    return f"{distribution} {version(distribution)}"
