"""Fenced blocks: what a model was asked to write, without what it says about it."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def fenced(text: str, language: str | None = None) -> str | None:
    """The body of the first fenced block, or of the first one in a language; None where there is none.

    A block that does not end goes to the end of the text (CommonMark 0.31, 4.5).
    """
    for token in _parser().parse(text):
        if token.type == "fence" and language in {None, _language(token.info)}:
            return token.content.removesuffix("\n")
    return None


def _language(info: str) -> str:
    return info.strip().partition(" ")[0].lower()


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable("inline")  # what stands in a line is of no interest
