"""HTML as Markdown."""

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from service.documents.office import extracted
from service.documents.plain import decoded, encoding_of, sections
from service.documents.protocol import Page
from service.documents.reading import Reading

HEAD = re.compile(r"<head[\s>]", re.IGNORECASE)
HEAD_END = re.compile(r"</head\s*>|(?=<body[\s>])", re.IGNORECASE)
TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)
BEGINNING = 64 * 1024
"""Characters in which a page's title stands."""
CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
BLOCK = re.compile(
    r"</?(?:div|section|article|main|header|footer|nav|aside|figure|figcaption|form|fieldset|address|details"
    r"|summary|center)\b[^<>]*>",
    re.IGNORECASE,
)
KEPT = set(
    "h1 h2 h3 h4 h5 h6 p ul ol li dl dt dd table thead tbody tfoot tr td th caption pre code kbd samp"  # noqa: SIM905
    " b strong i em s del a img br hr blockquote".split()
)
ATTRIBUTES = {"a": {"href"}, "img": {"alt"}}
PICTURE = re.compile(r"!\[([^\[\]]{0,500})\]\(<?>?\)")
EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")

ELEMENT = re.compile(r"<(/?)([a-z][\w-]*)[^<>]*>", re.IGNORECASE)
ENDLESS = frozenset(
    {"br", "hr", "img", "input", "link", "meta", "p", "li", "dt", "dd", "tr", "td", "th", "option"}
)
"""Elements that need no end."""
DEEPEST = 60
"""What lies in more elements than 63 kreuzberg leaves out, without a word."""
TIDIED = 1000
"""What lies in more than these takes too long to put in order."""
UNSEEN = frozenset({"script", "style", "template", "noscript"})
INLINE = frozenset(
    {"a", "abbr", "b", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "sup", "u"}
)


def web_page(data: bytes, reading: Reading) -> Iterator[Page]:
    """In sections, as its headings divide it."""
    source = _source(data)
    if title := TITLE.search(source[:BEGINNING]):
        reading.tell(title=html.unescape(title[1]))
    return sections(markdown(source, reading), reading)


def markdown(source: str, reading: Reading) -> str:
    """What a reader sees of it; where elements lie too deep in each other, without their meaning."""
    body = _headless(source)
    if _depth(body, ENDLESS) > TIDIED:
        return _plain(body)
    tidy = _tidied(body)
    if _depth(tidy, frozenset({"br", "hr", "img"})) > DEEPEST:
        return _plain(tidy)
    result = extracted(tidy.encode("utf-8", "replace"), "html", reading, output_format="markdown")
    return EMPTY_LINES.sub("\n\n", PICTURE.sub(r"\1", result.content)).lstrip("\n")


def _headless(source: str) -> str:
    """Without its head, of which kreuzberg would make a text."""
    head = HEAD.search(source)
    end = HEAD_END.search(source, head.end()) if head else None
    return source[: head.start()] + source[end.end() :] if head and end else source


def _tidied(body: str) -> str:
    """With every element ended, for kreuzberg loses what follows one that is not, and few of them."""
    import nh3  # it takes its time

    return nh3.clean(
        BLOCK.sub("<br>", body),
        tags=KEPT,
        attributes=ATTRIBUTES,
        clean_content_tags=set(UNSEEN),
        link_rel=None,
    )


def _source(data: bytes) -> str:
    """Valid UTF-8 is that, whatever it says; else it is believed if it names an encoding."""
    told = CHARSET.search(data[:1024])
    if told and encoding_of(data) != "utf-8":
        try:
            return data.decode(told[1].decode(), "replace")
        except LookupError:
            pass
    return "".join(decoded(data))


def _depth(source: str, endless: frozenset[str]) -> int:
    """How many elements lie in each other, at the most; those that are endless do not count."""
    depth = deepest = 0
    for element in ELEMENT.finditer(source):
        if element[2].lower() not in endless:
            depth += -1 if element[1] else 1
            deepest = max(deepest, depth)
    return deepest


class _Text(HTMLParser):
    """The text alone, a line for each block, whatever it lies in."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in UNSEEN
        if tag not in INLINE:
            self.written.append("\t" if tag in ("td", "th") else "\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in UNSEEN))

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.written.append(" ".join(data.split()) if data.strip() else " ")


def _plain(source: str) -> str:
    text = _Text()
    text.feed(source)
    text.close()
    return re.sub(r"\s*\n\s*", "\n", "".join(text.written)).strip() + "\n"
