"""Markdown as a person would read it to somebody."""

from time import process_time

import pytest

from service.speakers.phrases import PHRASES
from service.speakers.spoken import spoken

CASES = {
    "# A **title**\n\nSome *text*.": "A title.\nSome text.",
    "Use `make run` now": "Use make run now.",
    "See [the guide](https://example.com/a?b=c).": "See the guide.",
    "See https://www.python.org/downloads/, or <https://example.com/x>.": (
        "See link to python.org, or link to example.com."
    ),
    "```python\nprint(1)\n```\nDone.": "Code block in Python.\nDone.",
    "```\nx\n```": "Code block.",
    "| Name | Age |\n|---|---|\n| Ann | 30 |\n| Bob | |": "Name, Age.\nName: Ann, Age: 30.\nName: Bob.",
    "- one\n- two\n  - three": "one.\ntwo.\nthree.",
    "3. three\n4. four": "3: three.\n4: four.",
    "- [x] done": "done.",
    "~~old~~ new": "new.",
    "one\ntwo": "one two.",
    "one  \ntwo": "one.\ntwo.",
    "> quoted": "quoted.",
    "![a cat](cat.png)": "image: a cat.",
    "<div><b>bold</b> &amp; <i>more</i><br>next</div>": "bold & more.\nnext.",
    "It is <b>bold</b>.": "It is bold.",
    "<!-- hidden -->\nSeen": "Seen.",
    "Well done 🎉👩‍👩‍👧🇩🇪 1️⃣!": "Well done 1!",
    "A → B, C -> D": "A, B, C, D.",
    "5 * 3 = 15 and snake_case": "5 × 3 = 15 and snake_case.",
    "$$x^2$$ and \\(a+b\\), for $5": "formula and formula, for $5.",
    "one\n\n---\n\ntwo": "one.\ntwo.",
    "a\x00b\x1b\ud800c": "a b c.",
    "a < b & c > d": "a < b & c > d.",
}


@pytest.mark.parametrize("markdown", CASES)
def test_what_is_said(markdown: str) -> None:
    assert spoken(markdown, "en") == CASES[markdown]


@pytest.mark.parametrize("markdown", ["", " \n", "😀🎉", "***", "---", "| |\n|-|", "<br>", "![](x.png)"])
def test_what_has_no_words_is_not_said_in_other_languages(markdown: str) -> None:
    assert spoken(markdown, "xx") == ""


@pytest.mark.parametrize("language", PHRASES)
def test_code_is_named_in_the_language_of_the_text(language: str) -> None:
    assert spoken("```js\nx\n```", f"{language}-XX") == f"{PHRASES[language].code_in.format('JavaScript')}."


def test_words_of_another_language_are_better_not_said_at_all() -> None:
    assert spoken("```js\nx\n```\nDobrý den https://example.com", "cs") == "Dobrý den example.com."


@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000,
        "[" * 50_000,
        "*a **b " * 7000,
        "<a " * 16_000,
        "<!--" * 12_000,
        "$$" * 25_000,
        "\\(" * 25_000,
        "> " * 25_000,
        "- " * 25_000,
        "| a " * 12_000 + "\n" + "|---" * 12_000 + "\n| b",
        "https://" * 6000,
        "`a" * 25_000,
        "&amp;" * 10_000,
        " ->" * 16_000,
    ],
)
def test_nothing_takes_much_longer_than_prose(text: str) -> None:
    assert seconds(text) < 200 * seconds("The quick brown fox jumps. " * (len(text) // 27))


def seconds(text: str) -> float:
    began = process_time()
    spoken(text, "en")
    return process_time() - began
