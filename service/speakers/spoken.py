"""Markdown -> what a person would say who reads it to somebody.

The parser is imported at the first call: a process that speaks nothing does not wait for it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import unescape
from typing import TYPE_CHECKING

from service.speakers.phrases import Phrases, phrases
from service.speakers.speaker import sayable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

LONGEST_PARAGRAPH = 10_000
"""Characters; what is longer is taken as plain text: to parse it might take longer than to say it."""
LANGUAGES_OF_CODE = {
    "bash": "Bash", "c": "C", "cpp": "C++", "c++": "C++", "cs": "C#", "csharp": "C#", "css": "CSS",
    "go": "Go", "html": "HTML", "java": "Java", "javascript": "JavaScript", "js": "JavaScript",
    "json": "JSON", "kotlin": "Kotlin", "php": "PHP", "py": "Python", "python": "Python", "ruby": "Ruby",
    "rust": "Rust", "sh": "Shell", "shell": "Shell", "sql": "SQL", "swift": "Swift", "toml": "TOML",
    "ts": "TypeScript", "typescript": "TypeScript", "xml": "XML", "yaml": "YAML",
}  # fmt: skip

# Pictographs, flags, keycaps, dingbats, and what joins and varies them.
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\ufe0e\ufe0f\u200d\u20e3\U000e0000-\U000e007f]+"
)
_UNHEARD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff]")
_TAG = re.compile(r"<!--(?:(?!<!--).)*?-->|</?[a-zA-Z][^<>]{0,2000}>", re.DOTALL)
_BREAK = re.compile(r"<(br|/p|/div|/li|/tr|/h[1-6])\b[^<>]{0,200}>", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?://|www\.)([^\s/<>\"'`?#:]{1,253})[^\s<>\"'`]{0,2000}", re.IGNORECASE)
_FORMULA = re.compile(r"\$\$.{1,2000}?\$\$|\\\[.{1,2000}?\\\]|\\\(.{1,500}?\\\)", re.DOTALL)
_ARROWS = re.compile(r"\s*(?:[←-⇿]|[-=]{1,2}>)\s*")
_TIMES = re.compile(r"(?<=\d) ?\* ?(?=\d)")
_TASK = re.compile(r"\A\[[ xX]\]\s+")
_BARE_RUNS = re.compile(r"[*_#~|=•·]{2,}|(?<!\w)[*_#•·](?!\w)")


def spoken(markdown: str, language: str) -> str:
    """A sentence or a paragraph a line, without marks and pictures; empty where nothing is left to say.

    Code and formulas are named, links said by their text or their host, tables row by row with the names of
    the columns. Takes about 3 ms for 1000 characters: long texts belong into a thread.
    """
    words = phrases(language)
    source = _FORMULA.sub(f" {words.formula} ", _UNHEARD.sub(" ", markdown.replace("\r\n", "\n")))
    lines = (_plain(line) for line in _Reader(words).lines(_parser().parse(source)))
    return "\n".join(line for line in lines if line)


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).disable("lheading")
    parser.core.ruler.after("block", "endless", _shorten)
    # Rules are compiled at the first text, one by one: no other thread may meet them half-done.
    parser.parse("text")
    return parser


def _shorten(state: "StateCore") -> None:
    from markdown_it.token import Token

    for token in state.tokens:
        if token.type == "inline" and len(token.content) > LONGEST_PARAGRAPH:
            token.children = [Token("text", "", 0, content=token.content)]
            token.content = ""


class _Reader:
    """Reads the parser's tokens from first to last."""

    def __init__(self, words: Phrases) -> None:
        self._words = words
        self._numbers: list[int | None] = []
        """Of the lists that it stands in: that of the next item, None where they have none."""
        self._item = ""
        self._columns: list[str] = []
        self._cells: list[str] = []

    def lines(self, tokens: Sequence["Token"]) -> Iterator[str]:
        for token in tokens:
            match token.type:
                case "ordered_list_open":
                    self._numbers.append(int(token.attrs.get("start", 1)))
                case "bullet_list_open":
                    self._numbers.append(None)
                case "ordered_list_close" | "bullet_list_close":
                    self._numbers.pop()
                case "list_item_open":
                    self._item = self._number()
                case "thead_open" | "tr_open":
                    self._cells = []
                case "thead_close":
                    self._columns = self._cells
                case "tr_close" if self._cells is not self._columns:
                    yield self._row()
                case "td_open" | "th_open":
                    self._cells.append("")
                case "table_close":
                    self._columns = self._cells = []
                case "inline":
                    yield from self._inline(token)
                case "fence" | "code_block":
                    yield self._code(token.info)
                case "html_block":
                    yield from _BREAK.sub("\n", token.content).splitlines()
                case _:
                    pass

    def _inline(self, token: "Token") -> Iterator[str]:
        said = self._said(token.children or [])
        if self._cells:
            self._cells[-1] = said.replace("\n", " ").strip()
            return
        said, self._item = self._item + _TASK.sub("", said), ""
        yield from said.split("\n")

    def _said(self, tokens: Sequence["Token"]) -> str:
        """What stands in a line; what is struck out is left out."""
        struck, pieces = 0, []
        for token in tokens:
            struck += {"s_open": 1, "s_close": -1}.get(token.type, 0)
            pieces.append("" if struck else self._piece(token))
        return "".join(pieces)

    def _piece(self, token: "Token") -> str:
        match token.type:
            case "text" | "code_inline":
                return _ADDRESS.sub(self._host, token.content)
            case "softbreak":
                return " "
            case "hardbreak":
                return "\n"
            case "html_inline":
                return "\n" if _BREAK.match(token.content) else ""
            case "image":
                return (
                    f" {self._words.image_of.format(token.content) if token.content else self._words.image} "
                )
            case _:
                return ""

    def _host(self, address: re.Match[str]) -> str:
        ending = address.group()[len(address.group().rstrip(".,;:!?)")) :]
        host = address[1].rstrip(".,;:!?)").removeprefix("www.")
        return self._words.link.format(host) + ending

    def _number(self) -> str:
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            return ""
        self._numbers[-1] = number + 1
        return f"{number}: "

    def _row(self) -> str:
        named = zip(self._columns or self._cells, self._cells, strict=False)
        cells = (f"{name}: {cell}" if name and name != cell else cell for name, cell in named if cell)
        return f"{', '.join(cells)}."

    def _code(self, info: str) -> str:
        name = LANGUAGES_OF_CODE.get(info.split(maxsplit=1)[0].casefold(), "") if info.strip() else ""
        said = self._words.code_in.format(name) if name else self._words.code
        return said and f"{said}."


def _plain(line: str) -> str:
    """Without tags, pictures and marks that are left; with an end, so that a pause follows."""
    line = _EMOJI.sub(" ", unescape(_TAG.sub(" ", line)))
    line = _BARE_RUNS.sub(" ", _ARROWS.sub(", ", _TIMES.sub(" × ", line)))
    line = re.sub(r"\s+([,.;:!?…])", r"\1", " ".join(line.split()))
    if not sayable(line):
        return ""
    return f"{line}." if line[-1].isalnum() else line
