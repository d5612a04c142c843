"""What clients call buckets and files, and what is kept of it (S12 of the corpus)."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.errors import BadRequest
from service.stores.names import LONGEST, bucket_id, file_name, numbered, plain

NOTHING = [
    "",
    "_",
    "-",
    ".",
    "..",
    "...",
    "%2e%2e",
    "%2E",
    "/",
    "\\",
    "\0",
    "%00",
    " ",
    "_/._",
    "\u200b",
    "🤔",
]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../evil name ü.txt", "evil_name_ü.txt"),
        ("notes.txt", "notes.txt"),
        ("3f0c-11", "3f0c-11"),
        ("a/../b", "a_.._b"),
        ("..%2f..%2fetc%2fpasswd", "etc_passwd"),
        ("a\0b.txt", "a_b.txt"),
        ("C:\\Windows\\system.ini", "C_Windows_system.ini"),
        ("CON", "CON"),
        ("file.txt::$DATA", "file.txt_DATA"),
        ("x\r\nSet-Cookie: a=b", "x_Set-Cookie_a_b"),
        ("Пример чата", "Пример_чата"),
        ("e\u0301tude.md", "étude.md"),
        ("a\udcffb", "a_b"),
    ],
)
def test_a_name_loses_what_could_mean_something(sent: str, kept: str) -> None:
    assert plain(sent) == kept == file_name(sent, ".txt")


@pytest.mark.parametrize("sent", NOTHING)
def test_a_bucket_has_a_name(sent: str) -> None:
    with pytest.raises(BadRequest, match="no id of a bucket") as raised:
        bucket_id(sent)
    assert raised.value.param == "bucket"


@pytest.mark.parametrize("sent", [None, "blob", "Blob", *NOTHING])
def test_a_file_without_a_name_is_called_after_what_it_is(sent: str | None) -> None:
    assert file_name(sent, ".png") == "file.png"


def test_a_long_name_keeps_its_end() -> None:
    assert plain("я" * 300) == "я" * 50
    assert file_name("я" * 300 + ".docx", "") == "я" * 47 + ".docx"
    assert file_name("a." + "b" * 300, "") == "a." + "b" * 98
    assert numbered("a" * 96 + ".txt", 12) == "a" * 93 + "-12.txt"


@pytest.mark.parametrize(
    ("name", "second"), [("notes.txt", "notes-2.txt"), ("Makefile", "Makefile-2"), ("a.tar.gz", "a.tar-2.gz")]
)
def test_a_number_stands_before_the_end(name: str, second: str) -> None:
    assert numbered(name, 2) == second


@given(some.text())
def test_a_name_that_comes_back_is_the_same(sent: str) -> None:
    for kept in (plain(sent), file_name(sent, ".txt"), numbered(file_name(sent, ".txt"), 7)):
        assert len(kept.encode()) <= LONGEST
        assert not set(kept) & set('/\\\0\r\n"%:')
        assert kept in {"", plain(kept)} or len(kept.encode()) == LONGEST
        assert file_name(kept, "") == kept or not kept
