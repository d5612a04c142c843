"""What request headers say about who asks, and in which form he wants his answer."""

from collections.abc import Mapping

UNDERSCORED = ("x_user", "x_secret", "x_api_key", "x_api_base", "x_ignored")


def legacy(headers: Mapping[str, str], setting: str) -> bool:
    """Whether this is a web client of before 2025-09: these spell their headers with underscores.

    `setting` is `server.legacy`: "auto" looks, "on" and "off" know.
    """
    return setting == "on" or (setting == "auto" and any(name in headers for name in UNDERSCORED))


def prefers_text(headers: Mapping[str, str]) -> bool:
    """Whether plain text is named in `Accept`, and JSON not before it."""
    accept = headers.get("Accept", "")
    return "text/plain" in accept.partition("application/json")[0]


def wants_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser asks."""
    return "text/html" in headers.get("Accept", "")


def wants_lines(headers: Mapping[str, str]) -> bool:
    return "application/x-ndjson" in headers.get("Accept", "")
