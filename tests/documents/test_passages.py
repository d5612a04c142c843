"""Passages: whole sentences that overlap, each with its place; nothing of a document is in none of them."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.passages import LONGEST, OVERLAP, Passage, passages
from service.documents.protocol import Page

SENTENCE = "This is sentence number {} of a text that has a good many of them, and they are all alike."


def texts(found: Sequence[Passage]) -> list[str]:
    return [passage.text for passage in found]


def test_a_short_page_is_one_passage() -> None:
    pages = [Page(1, None, "\n One. Two.\n\nThree. "), Page(2, "Title", "Four"), Page(3, None, " \n\n ")]
    assert list(passages(pages)) == [
        Passage(1, None, 2, "One. Two.\n\nThree."),
        Passage(2, "Title", 0, "Four"),
    ]
    assert list(passages([])) == []


def test_a_sentence_that_a_page_cuts_is_whole_where_it_begins() -> None:
    pages = [
        Page(1, None, "One. The launch code is"),
        Page(2, None, "PINEAPPLE. Two."),
        Page(3, None, "Three"),
    ]
    assert list(passages(pages)) == [
        Passage(1, None, 0, "One. The launch code is\nPINEAPPLE.", last_page=2),
        Passage(2, None, 0, "PINEAPPLE. Two."),
        Passage(3, None, 0, "Three"),
    ]
    for after in (Page(2, "Slide", "PINEAPPLE."), Page(3, None, "PINEAPPLE."), Page(2, None, "x" * 300)):
        assert next(passages([pages[0], after])).text == pages[0].text
    long = " ".join(SENTENCE.format(number) for number in range(50)) + " The launch code is"
    *_, last, _ = passages([Page(1, None, long), pages[1]])
    assert last.text.endswith("The launch code is\nPINEAPPLE.")
    assert long[last.start :].startswith(last.text.partition("\n")[0])


def test_a_long_page_is_cut_between_sentences_and_overlaps() -> None:
    text = " ".join(SENTENCE.format(number) for number in range(100))
    found = list(passages([Page(7, "T", text)]))
    assert len(found) > 5
    assert {(passage.page, passage.title) for passage in found} == {(7, "T")}
    for passage in found:
        assert len(passage.text) <= LONGEST
        assert passage.text.startswith("This is sentence") and passage.text.endswith("alike.")
        assert text[passage.start :].startswith(passage.text)
    for before, after in pairwise(found):
        shared = before.start + len(before.text) - after.start
        assert 0 < shared <= OVERLAP


def test_every_sentence_is_whole_in_one_passage() -> None:
    sentences = [SENTENCE.format(number) for number in range(100)]
    found = texts(list(passages([Page(None, None, " ".join(sentences))])))
    for sentence in sentences:
        assert any(sentence in text for text in found)


def test_paragraphs_and_other_scripts_have_ends() -> None:
    for sentence in (
        "東京都の人口は約千四百万人です。",
        "Договор действует три года. ",
        "A heading\n\n",
        "Why?! ",
    ):
        found = list(passages([Page(1, None, sentence * 400)]))
        assert len(found) > 2
        assert all(text.startswith(sentence[0]) for text in texts(found))
        assert all(text.endswith(sentence.strip()[-1]) for text in texts(found))


def test_what_has_no_end_is_cut_nonetheless() -> None:
    for text in ("x" * 10_000, "word " * 2_000, "row;of;a;table\n" * 700):
        found = list(passages([Page(1, None, text)]))
        assert all(len(passage.text) <= LONGEST for passage in found)
        assert all(text[passage.start :].startswith(passage.text) for passage in found)
        assert sum(map(len, texts(found))) >= len(text.strip()) - len(found)


def test_the_pieces_of_a_page_are_one_page() -> None:
    text = " ".join(SENTENCE.format(number) for number in range(60))
    whole = list(passages([Page(1, "T", text)]))
    for size in (10, 333, 4_000):
        pieces = [Page(1, "T", text[at : at + size]) for at in range(0, len(text), size)]
        cut = list(passages(pieces))
        assert all(text[passage.start :].startswith(passage.text) for passage in cut)
        assert cut[-1].start + len(cut[-1].text) == whole[-1].start + len(whole[-1].text) == len(text)


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="aя. \n東。", max_size=4_000),
    st.lists(st.integers(min_value=1, max_value=4_000), max_size=4),
)
def test_nothing_is_left_out(text: str, cuts: list[int]) -> None:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pages = [Page(1, None, text[begin:end]) for begin, end in pairwise(bounds)]
    covered = [False] * len(text)
    for passage in passages(pages):
        end = passage.start + len(passage.text)
        assert text[passage.start : end] == passage.text
        covered[passage.start : end] = [True] * len(passage.text)
    assert all(covered[place] or text[place].isspace() for place in range(len(text)))
