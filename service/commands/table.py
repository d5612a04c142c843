"""What a command prints in columns."""

from collections.abc import Iterable


def show(rows: Iterable[tuple[str, ...]]) -> None:
    """Prints the rows, all as long as the first one, below each other."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
