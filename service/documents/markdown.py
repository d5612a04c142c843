"""Markdown, as models write it -> HTML that is safe to show.

Two walls: HTML in the source stays text, and what the renderer made is cleaned against an allow-list.
Nothing in the result makes a browser ask another host: images become links, styles become classes.
Parsers are imported at the first call: a process that renders nothing does not wait for them.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from html import escape
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict
    from nh3 import Cleaner

LONGEST_TEXT = 100_000
LONGEST_PARAGRAPH = 10_000
LONGEST_CODE = 50_000
LONGEST_PIECE = 3_000
SECONDS_FOR_COLOUR = 0.2

_TAGS = "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul"
_ADDRESS = re.compile(r"://[^\s<>\"'`|\\^\[\]«»“”]{1,2000}")
_LINE_BREAK = re.compile(r"<br\s{0,8}/?>", re.IGNORECASE)


def html(text: str) -> str:
    """CommonMark with tables, strikethrough and bare addresses -> clean HTML.

    Code carries pygments' classes; headings begin at h3, as an answer stands below headings of the page.
    Parts too long to be parsed in bounded time are shown as they are.
    """
    if len(text) > LONGEST_TEXT:
        return f"<pre>{escape(text)}</pre>"
    return _cleaner().clean(_parser().render(text))


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # breaks: models end a line where they mean it (verse, addresses) and never wrap paragraphs.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    # lheading: while an answer streams in, "text" above the first "-" of a list would flash up as a heading.
    parser.enable(["table", "strikethrough"]).disable("lheading")
    parser.core.ruler.after("block", "fit_the_page", _fit_the_page)
    parser.inline.ruler.before("autolink", "line_break", _line_break)
    parser.inline.ruler.after("text", "address", _address)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("fence", _fence)
    # Rules are compiled at the first text, one by one: no other thread may meet them half-done.
    parser.render("text")
    return parser


@cache
def _cleaner() -> "Cleaner":
    import nh3
    from pygments.token import STANDARD_TYPES

    sides = {"left", "center", "right"}
    return nh3.Cleaner(
        tags=set(_TAGS.split()),
        attributes={"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}},
        allowed_classes={"span": set(STANDARD_TYPES.values()), "td": sides, "th": sides},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
    )


def _fit_the_page(state: "StateCore") -> None:
    """Moves headings below the page's own, styles to classes, and takes endless paragraphs as plain text."""
    from markdown_it.token import Token

    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        elif style := token.attrs.pop("style", None):
            token.attrs["class"] = str(style).removeprefix("text-align:")
        elif token.type == "inline" and len(token.content) > LONGEST_PARAGRAPH:
            token.children = [Token("text", "", 0, content=token.content)]
            token.content = ""


def _line_break(state: "StateInline", silent: bool) -> bool:
    """`<br>`, the one tag that models need: a table's cell has no other way to break a line."""
    found = _LINE_BREAK.match(state.src, state.pos)
    if not found:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _address(state: "StateInline", silent: bool) -> bool:
    """A bare `https://…` becomes a link; what ends the sentence is left outside."""
    scheme = re.search(r"(?<!\w)https?$", state.src[max(0, state.pos - 6) : state.pos])
    found = scheme and not state.linkLevel and _ADDRESS.match(state.src, state.pos)
    if not scheme or not found:
        return False
    rest = _without_closing(found.group())
    target = state.md.normalizeLink(scheme.group() + rest)
    if len(rest) <= len("://") or not state.md.validateLink(target):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme.group())]
        state.push("link_open", "a", 1).attrs = {"href": target}
        state.push("text", "", 0).content = scheme.group() + rest
        state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def _without_closing(address: str) -> str:
    """Cuts the punctuation that follows an address; a `)` stays where its `(` is part of the address."""
    while address and (
        address[-1] in ".,;:!?*_~…" or (address[-1] == ")" and address.count("(") < address.count(")"))
    ):
        address = address[:-1]
    return address


def _image(
    renderer: "RendererHTML", tokens: Sequence["Token"], index: int, options: "OptionsDict", env: "EnvType"
) -> str:
    """An image is a link to it: to show it would tell its host who reads, and when."""
    image = tokens[index]
    source = str(image.attrs.get("src", ""))
    label = renderer.renderInlineAsText(image.children, options, env) or source[:200]
    return f'<a href="{escape(source)}">{escape(label)}</a>'


def _fence(
    renderer: "RendererHTML", tokens: Sequence["Token"], index: int, options: "OptionsDict", env: "EnvType"
) -> str:
    """A block of code, with pygments' short classes while this text has time left for them."""
    code, info = tokens[index].content, tokens[index].info.split(maxsplit=1)
    if not info:
        return f"<pre><code>{escape(code)}</code></pre>\n"
    language = escape(info[0][:30])
    return f'<pre><code class="language-{language}">{_coloured(code, language.lower(), env)}</code></pre>\n'


def _coloured(code: str, language: str, env: "EnvType") -> str:
    """Works piece by piece: on long input some of pygments' expressions take quadratic time."""
    pieces = _pieces(code)
    if len(code) > LONGEST_CODE or max(map(len, pieces)) > LONGEST_PIECE:
        return escape(code)
    return "".join(_within_budget(piece, language, env) for piece in pieces)


def _pieces(code: str) -> list[str]:
    """Cuts before lines that follow a blank one and are not indented, or where a piece would get too long."""
    pieces = [""]
    for line in code.splitlines(keepends=True):
        fresh = pieces[-1].endswith("\n\n") and not line[0].isspace()
        if len(pieces[-1]) + len(line) > (LONGEST_PIECE // 2 if fresh else LONGEST_PIECE):
            pieces.append("")
        pieces[-1] += line
    return pieces


def _within_budget(piece: str, language: str, env: "EnvType") -> str:
    if env.setdefault("colouring", 0.0) > SECONDS_FOR_COLOUR:
        return escape(piece)
    started = perf_counter()
    result = _coloured_piece(piece, language)
    env["colouring"] += perf_counter() - started
    return result


@lru_cache(maxsize=64)  # an answer that streams in is rendered again and again, with the same pieces
def _coloured_piece(code: str, language: str) -> str:
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
