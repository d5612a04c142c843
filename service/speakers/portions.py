"""Text that an engine chokes on, in portions that it can swallow."""

import re
from collections.abc import Callable

LONGEST_WORD = 30
"""Characters. Longer ones are no words; some engines leave them out, or never come back from them."""
LONGEST_NUMBER = 15


def chopped(text: str) -> str:
    """Long words and numbers with blanks in them."""
    text = re.sub(rf"\d{{{LONGEST_NUMBER}}}(?=\d)", r"\g<0> ", text)
    return re.sub(rf"\S{{{LONGEST_WORD}}}(?=\S)", r"\g<0> ", text)


def said(say: Callable[[str], bytes], text: str) -> bytes:
    """What cannot be said as a whole, in halves; a single word that cannot be said is left out."""
    try:
        return say(text)
    except (RuntimeError, LookupError):
        words = text.split()
        half = len(words) // 2
        return b"".join(said(say, " ".join(part)) for part in (words[:half], words[half:]) if half)
