"""What a reader gets from an answer: the marks mean something, the code is coloured, nothing runs."""

import re
from html import escape
from html.parser import HTMLParser
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.documents import markdown
from service.documents.markdown import html

TEXT = {"a", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "p", "pre", "s", "span", "strong"}
TAGS = TEXT | {"blockquote", "hr", "li", "ol", "ul", "table", "tbody", "td", "th", "thead", "tr"}
ATTRIBUTES = {
    "a": {"href", "title", "rel", "target"},
    "code": {"class"},
    "ol": {"start"},
    "span": {"class"},
    "td": {"class"},
    "th": {"class"},
}


class Tags(HTMLParser):
    """Every element of a fragment, as a browser would see it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_harmless(source: str) -> None:
    for tag, attributes in Tags(html(source)).found:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set())
        assert re.match(r"https?://|mailto:", attributes.get("href") or "http://")


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1)></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<<script>script>alert(1)<</script>/script>",
    "<br onclick=alert(1)>",
    "<br/onclick=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg/onload=alert(1)>)",
    "[x](file:///etc/passwd)",
    "[x](/backend-api/v2/log)",
    "[x](//evil.example/)",
    '[x](https://a.example "\\" onmouseover=alert(1) \\"")',
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "javascript://alert(1)",
    'https://a.example/"onmouseover="alert(1)',
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "![x](data:image/png;base64,AAAA)",
    '![" onerror="alert(1)](x)',
    "[![x](https://evil.example/x.png)](https://a.example)",
    '```"><script>alert(1)</script>\nx\n```',
    "```html\n<script>alert(1)</script><img src=x onerror=alert(1)>\n```",
    "```js onload=alert(1)\nx</code></pre><script>alert(1)</script>\n```",
    "`<script>alert(1)</script>`",
    "| a |\n|--:|\n| <img src=x onerror=alert(1)> |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php x ?><script>alert(1)</script>",
    "> - <script>alert(1)</script>",
    "\0<scr\0ipt>alert(1)</scr\0ipt>",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("around", ["{}", "**{}**", "- {}", "> {}", "x {} y"])
def test_nothing_in_an_answer_can_run_or_call_another_host(attack: str, around: str) -> None:
    assert_harmless(around.format(attack))


@given(st.text(alphabet="ab <>[]()!*_`~|-:\"'/&#\n\\x\0", max_size=60), st.sampled_from(ATTACKS))
def test_nor_in_any_mixture(text: str, attack: str) -> None:
    assert_harmless(text + attack + text)


def test_html_is_shown_as_it_was_written() -> None:
    for source in ("<script>alert(1)</script>", "<b>bold?</b>", "<img src=x onerror=alert(1)>"):
        assert html(source) == f"<p>{escape(source, quote=False)}</p>\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# Title", "<h3>Title</h3>\n"),
        ("###### Small", "<h6>Small</h6>\n"),
        ("**a** *b* ~~c~~ `d`", "<p><strong>a</strong> <em>b</em> <s>c</s> <code>d</code></p>\n"),
        ("3. c\n4. d", '<ol start="3">\n<li>c</li>\n<li>d</li>\n</ol>\n'),
        ("roses\nviolets", "<p>roses<br>\nviolets</p>\n"),
        ("**Привет**, _мир_!", "<p><strong>Привет</strong>, <em>мир</em>!</p>\n"),
        ("    plain <b>", "<pre><code>plain &lt;b&gt;\n</code></pre>\n"),
        ("a<br>b<BR />c", "<p>a<br>\nb<br>\nc</p>\n"),
    ],
)
def test_marks(source: str, expected: str) -> None:
    assert html(source) == expected


def test_table_aligns_by_classes_because_the_page_allows_no_styles() -> None:
    cells = [
        a.get("class") for t, a in Tags(html("|a|b|c|\n|:-|-:|---|\n|1|2|3|")).found if t in ("th", "td")
    ]
    assert cells == ["left", "right", None] * 2


@pytest.mark.parametrize(
    ("source", "address", "label"),
    [
        ("see https://a.example/b_c_d.", "https://a.example/b_c_d", None),
        ("(https://a.example/x)", "https://a.example/x", None),
        ("https://a.example/x_(y)", "https://a.example/x_(y)", None),
        ("**https://a.example**", "https://a.example", None),
        ("«http://a.example/путь»", "http://a.example/%D0%BF%D1%83%D1%82%D1%8C", "http://a.example/путь"),
        ("<https://a.example>", "https://a.example", None),
        ("<me@a.example>", "mailto:me@a.example", "me@a.example"),
        ("[word](https://a.example)", "https://a.example", "word"),
        ("[https://b.example](https://a.example)", "https://a.example", "https://b.example"),
        ("![a cat](https://a.example/cat.png)", "https://a.example/cat.png", "a cat"),
        ("![](https://a.example/cat.png)", "https://a.example/cat.png", None),
    ],
)
def test_links_open_elsewhere_and_tell_nothing(source: str, address: str, label: str | None) -> None:
    result = html(source)
    [(_, link)] = [found for found in Tags(result).found if found[0] == "a"]
    assert link == {"href": address, "target": "_blank", "rel": "noopener noreferrer nofollow"}
    assert f">{label or address}</a>" in result


@pytest.mark.parametrize(
    "source", ["xhttps://a.example", "https://", "http://.", "`https://a.example`", "a://b"]
)
def test_not_a_link(source: str) -> None:
    assert "<a" not in html(source)


def test_code_is_coloured() -> None:
    assert '<span class="k">def</span>' in html("```python\ndef f(): pass\n```")


@pytest.mark.parametrize("language", ["", "nosuchlanguage", "c" * 500])
def test_code_in_an_unknown_language_is_plain(language: str) -> None:
    found = Tags(html(f"```{language}\na < b\n```"))
    assert [tag for tag, _ in found.found] == ["pre", "code"]
    assert found.text == "a < b\n\n"


@pytest.mark.parametrize("lines", [1, 100, 1_000])
def test_code_arrives_whole_however_it_was_cut(lines: int) -> None:
    code = "".join(f'def f{i}():\n    """Привет"""\n\n    return {i} < 2\n\n' for i in range(lines))
    assert Tags(html(f"```python\n{code}```")).text.rstrip() == code.rstrip()


def test_long_blocks_and_long_lines_of_code_are_plain() -> None:
    for code in ("x = 1\n" * (markdown.LONGEST_CODE // 6 + 1), "x = 1; " * markdown.LONGEST_PIECE):
        assert "<span" not in html(f"```python\n{code}\n```")


def test_every_beginning_of_an_answer_can_be_shown() -> None:
    answer = (
        "# Hi\n\nSee:\n- **a** `b`\n\n| a |\n|---|\n| 1 |\n\n```python\nprint('<')\n```\n[x](https://a.b) Да"
    )
    for length in range(len(answer) + 1):
        assert_harmless(answer[:length])
    assert '<code class="language-python">' in html(answer[: answer.index("print") + 3])


def test_text_above_the_first_dash_of_a_list_does_not_flash_up_as_a_heading() -> None:
    assert "<h" not in html("My favourites:\n-")


def test_endless_input_is_shown_as_it_is() -> None:
    whole = "**a** <b> " * (markdown.LONGEST_TEXT // 10 + 1)
    assert html(whole) == f"<pre>{escape(whole)}</pre>"
    assert "<strong>" not in html("**a** " * (markdown.LONGEST_PARAGRAPH // 6 + 1))


@pytest.mark.parametrize(
    "part",
    ["[", "![", "*_", "a**b", "[a](", "> ", "- ", "`a", "<!--", "|a|\n|-|\n", "[a]: b\n", "https://a(", "&#"],
)
def test_input_that_is_quadratic_elsewhere_costs_little_more_than_prose(part: str) -> None:
    prose = "Some **words** and `code`, [a link](https://a.example).\n\n- one\n- two\n\n"
    assert seconds(part) < 40 * seconds(prose)


def seconds(part: str) -> float:
    size = markdown.LONGEST_TEXT
    started = perf_counter()
    html((part * size)[:size])
    return perf_counter() - started


@pytest.mark.parametrize("language", ["csharp", "java", "make", "typescript", "html"])
def test_code_that_pygments_is_slow_on_is_coloured_only_while_there_is_time(language: str) -> None:
    block = f"```{language}\n" + "a\n" * 20_000 + "```\n\n"
    found = Tags(html(block * 2))
    assert found.text.count("a\n") == 40_000
