"""Fenced blocks are found as CommonMark finds them."""

import pytest

from service.documents.fences import fenced

ANSWERS = {
    "alone": ('```json\n{"a": 1}\n```', '{"a": 1}'),
    "between sentences": ("Here it is:\n\n```json\n[]\n```\nAnything else?", "[]"),
    "right after a sentence": ("Here it is:\n```json\n[]\n```", "[]"),
    "the first of two": ("```json\n1\n```\n```json\n2\n```", "1"),
    "with tildes": ("~~~json\n```\n~~~", "```"),
    "with more backticks": ("````json\n```\n````", "```"),
    "in a list": ("1. So:\n   ```json\n   {\n     1\n   }\n   ```", "{\n  1\n}"),
    "in a quotation": ("> ```json\n> 1\n> ```", "1"),
    "in capitals": ("```JSON\n1\n```", "1"),
    "with a title": ('``` json title="a"\n1\n```', "1"),
    "with lines of its own": ("```json\n\n1\n\n```", "\n1\n"),
    "without an end": ('```json\n{"a":', '{"a":'),
    "with nothing in it": ("```json\n```", ""),
    "with Windows' line ends": ("```json\r\n1\r\n```\r\n", "1"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_block_is_found(name: str) -> None:
    text, block = ANSWERS[name]
    assert fenced(text) == fenced(text, "json") == block


@pytest.mark.parametrize(
    "text", ["", "No block.", "`json 1`", "A ```json 1``` in a line", "    ```json\n    1\n    ```"]
)
def test_what_is_no_block_is_not_found(text: str) -> None:
    assert fenced(text) is fenced(text, "json") is None


def test_a_language_is_looked_for_among_several() -> None:
    text = "```\n1\n```\n```python\n2\n```\n```py\n3\n```"
    assert fenced(text) == "1"
    assert fenced(text, "python") == "2"
    assert fenced(text, "py") == "3"
    assert fenced(text, "json") is None
