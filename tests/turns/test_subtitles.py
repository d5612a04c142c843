"""Subtitles of what was spoken: what players read."""

import re
from itertools import pairwise

import pytest

from service.speakers.speaker import Mark
from service.turns.subtitles import subtitles

SENTENCES = (Mark(0.1, 0.9, "Good morning, Ada."), Mark(1.0, 62.5, "It is\n1 < 2 & so on -->"))
WORDS = (
    Mark(0.1, 0.3, "Good", "word"),
    Mark(0.4, 0.3, "morning", "word"),
    Mark(0.8, 0.2, "Ada", "word"),
    Mark(1.0, 0.1, "It", "word"),
    Mark(1.3, 0.1, "is", "word"),
)


def test_subrip_has_a_numbered_cue_for_each_sentence() -> None:
    assert subtitles(SENTENCES, "srt") == (
        "1\n00:00:00,100 --> 00:00:01,000\nGood morning, Ada.\n\n"
        "2\n00:00:01,000 --> 00:01:03,500\nIt is 1 < 2 & so on -->\n\n"
    )


def test_webvtt_has_the_time_of_each_word() -> None:
    assert subtitles(SENTENCES + WORDS, "vtt") == (
        "WEBVTT\n\n"
        "00:00:00.100 --> 00:00:01.000\nGood <00:00:00.400>morning, <00:00:00.800>Ada.\n\n"
        "00:00:01.000 --> 00:01:03.500\nIt <00:00:01.300>is 1 &lt; 2 &amp; so on --&gt;\n\n"
    )


def test_the_same_word_again_has_its_own_time() -> None:
    words = tuple(Mark(index * 0.5, 0.4, "no", "word") for index in range(3))
    assert subtitles((Mark(0, 2, "no, no, no"), *words), "vtt").endswith(
        "no, <00:00:00.500>no, <00:00:01.000>no\n\n"
    )


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_words_alone_make_lines(format: str) -> None:
    words = [Mark(index / 3, 0.3, f"word{index}", "word") for index in range(100)]
    times = re.findall(r"(\S+) --> (\S+)", subtitles(words, format))
    lines = [line for line in subtitles(words, format).splitlines() if "word" in line]
    assert len(lines) == len(times) > 5
    assert max(len(re.sub("<[^>]*>", "", line)) for line in lines) <= 80
    assert all(start < end for start, end in times)
    assert all(before <= after for (_, before), (after, _) in pairwise(times))


def test_a_sentence_ends_where_the_next_begins() -> None:
    assert "00:00:00.000 --> 00:00:01.000\nA" in subtitles((Mark(0, 9, "A"), Mark(1, 1, "B")), "vtt")


def test_nothing_said_is_an_empty_file() -> None:
    assert (subtitles((), "srt"), subtitles((), "vtt")) == ("", "WEBVTT\n\n")
