"""What an engine chokes on, in portions."""

import pytest

from service.speakers.portions import LONGEST_NUMBER, LONGEST_WORD, chopped, said


@pytest.mark.parametrize("text", ["a" * 300, "1" * 300, "x1" * 100, "12,5 a" + "b" * 99, "one two"])
def test_no_word_and_no_number_is_too_long_and_nothing_is_lost(text: str) -> None:
    words = chopped(text).split()
    assert max(map(len, words)) <= (LONGEST_NUMBER if text.isdigit() else LONGEST_WORD)
    assert "".join(words) == text.replace(" ", "")
    assert chopped("one two 1234567") == "one two 1234567"


def test_what_cannot_be_said_is_left_out_and_the_rest_is_said() -> None:
    def say(text: str) -> bytes:
        if "bad" in text:
            raise RuntimeError("error in processing unit")
        return text.encode() + b"."

    assert said(say, "one two bad four five") == b"one two.four five."
    assert said(say, "bad") == said(say, "bad bad") == b""
