"""Where a speaker breathes."""

import pytest

from service.speakers.sentences import LONGEST, sentences

CASES = [
    (
        "en",
        'Dr. Smith paid $3.50 at 5 p.m.|Then he left.|"Really?" she said.|See e.g. section 2.1.|It works!',
    ),
    ("ru", "Это т. е. пример.|А. С. Пушкин родился в 1799 г. в Москве.|Он жил на ул. Пушкина, д. 5."),
    ("ru", "Это 3 млн. человек, напр. здесь.|Хватит! крикнул он."),
    ("en", "He came at approx. five.|What? he asked."),
    ("de", "Das ist z. B. ein Test.|Am 3. Mai kam Dr. Müller.|Er hat u. a. 3.000 Euro."),
    ("es", "El Sr. López llegó.|¿Qué tal?|¡Bien!|EE. UU. es grande."),
    ("fr", "M. Dupont est là.|C'est-à-dire, p. ex. ceci.|Voilà !"),
    ("it", "Il sig. Rossi è qui.|Va bene."),
]


@pytest.mark.parametrize(("language", "text"), CASES)
def test_sentences_end_where_they_end(language: str, text: str) -> None:
    wanted = text.split("|")
    assert sentences(" ".join(wanted), language) == wanted


def test_scripts_without_blanks() -> None:
    assert sentences("你好。世界。", "zh-CN") == ["你好。", "世界。"]
    assert sentences("これはペンです。あれは本です。", "ja") == ["これはペンです。", "あれは本です。"]


def test_a_line_ends_a_sentence_and_one_without_words_is_none() -> None:
    assert sentences("A title\nThe text.\n\n...\n😀\nThe end", "en") == ["A title", "The text.", "The end"]
    assert sentences(" \n…", "en") == []


@pytest.mark.parametrize("text", ["word " * 300, "x" * 900, "词" * 900, "one, two; " * 100, "a.b" * 300])
def test_none_is_too_long_and_nothing_is_lost(text: str) -> None:
    pieces = sentences(text, "en")
    assert max(map(len, pieces)) <= LONGEST
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_a_long_one_is_cut_where_one_breathes() -> None:
    text = f"Short.\n{'It goes on and on ' * 10}until here, {'and then it goes on once more ' * 5}to its end."
    assert [piece.endswith("until here,") for piece in sentences(text, "en")] == [False, True, False]


def test_a_long_first_one_is_cut_sooner() -> None:
    text = (
        "When somebody asks a question, he wants to hear the beginning of the answer at once,"
        + " and more" * 10
    )
    first, rest = sentences(f"{text}.", "en")
    assert first.endswith("at once,")
    assert sentences(f"Yes.\n{text}.", "en")[1] == f"{text}."
    assert rest.endswith("and more.")
