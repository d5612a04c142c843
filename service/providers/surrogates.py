"""Characters that an upstream has cut in two: no JSON, no socket and no database holds half of one.

Source: The Unicode Standard, §3.9, D91 (UTF-16): what lies beyond U+FFFF is a pair of surrogates.
"""

from typing import Any


class Halves:
    """Joins the pairs that were cut in two, each text by its name."""

    def __init__(self) -> None:
        self.dropped = 0
        """Halves whose other half never came."""
        self._held: dict[object, str] = {}

    def joined(self, name: object, text: str) -> str:
        """The next piece of a text, as far as its characters are whole; a first half waits for the second."""
        text = self._held.pop(name, "") + text
        if "\ud800" <= text[-1:] <= "\udbff":
            self._held[name], text = text[-1], text[:-1]
        joined = whole(text)
        self.dropped += _units(text) - _units(joined)
        return joined

    def end(self) -> None:
        """Nothing follows: what waits is dropped."""
        self.dropped += len(self._held)
        self._held.clear()


def whole(text: str) -> str:
    """The text with its pairs joined and without halves."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def mended(value: Any) -> Any:
    """JSON whose texts are whole."""
    match value:
        case str():
            return whole(value)
        case list():
            return [mended(item) for item in value]
        case dict():
            return {whole(name): mended(item) for name, item in value.items()}
        case _:
            return value


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
