"""Rows as CSV for spreadsheets. Source: RFC 4180."""

import csv
from collections.abc import Sequence
from io import StringIO

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet may take for the beginning of a formula, which may call out."""


def csv_lines(rows: Sequence[Sequence[object]]) -> bytes:
    """A line each; None is empty, and text that looks like a formula is marked as text by an apostrophe."""
    text = StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode(errors="replace")


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")  # no exponent, which not everything reads
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
