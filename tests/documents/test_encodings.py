"""Texts of any encoding: they are read as they were written, without anybody saying how that was."""

import pytest

from service.documents.plain import decoded
from tests.documents.conftest import Files

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Кодовое слово: АНАНАС-42."
GERMAN = "Müller fährt über die Brücke nach Köln, und die Straße ist naß. Er heißt Jürgen."
JAPANESE = "これは日本語のテキストです。東京都に住んでいます。合言葉はパイナップルです。"
CHINESE = "我们在北京学习中文，这是一个测试文件。暗号是菠萝。"
KOREAN = "안녕하세요 한국어 텍스트입니다. 암호는 파인애플입니다."
GREEK = "Καλημέρα κόσμε, αυτό είναι ένα κείμενο. Η λέξη είναι ανανάς."
POLISH = "Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig."
ENGLISH = "The word is PINEAPPLE."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode(encoding: str) -> None:
    written = f"{RUSSIAN}\r\n{JAPANESE}\n{ENGLISH} \N{PINEAPPLE}"
    assert "".join(decoded(written.encode(encoding))) == written


def test_unicode_of_the_other_order() -> None:
    assert "".join(decoded(b"\xfe\xff" + RUSSIAN.encode("utf-16-be"))) == RUSSIAN


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", ENGLISH),
        ("cp1251", RUSSIAN),
        ("koi8-r", RUSSIAN),
        ("cp866", RUSSIAN),
        ("latin-1", GERMAN),
        ("cp1252", f"“{GERMAN}” – 5 €"),
        ("cp1250", POLISH),
        ("cp1253", GREEK),
        ("shift_jis", JAPANESE),
        ("euc-jp", JAPANESE),
        ("gb18030", CHINESE),
        ("euc-kr", KOREAN),
    ],
)
def test_encodings_that_nothing_announces(encoding: str, written: str) -> None:
    assert "".join(decoded(written.encode(encoding))) == written
    table = f"id;name\n1;{written}\n" * 3
    assert "".join(decoded(table.encode(encoding))) == table


def test_far_from_the_beginning() -> None:
    written = ENGLISH * 50_000 + RUSSIAN * 2_000
    assert "".join(decoded(written.encode("cp1251"))) == written


def test_what_cannot_be_decoded_is_replaced() -> None:
    torn = f"{ENGLISH} ".encode() * 5 + b"\xff\xfe\x81\x8d\x8f" + ENGLISH.encode()
    assert "".join(decoded(torn)).endswith(ENGLISH)


async def test_through_a_reader(files: Files) -> None:
    assert await files.text("a.txt", RUSSIAN.encode("cp1251")) == RUSSIAN
    assert await files.text("a.csv", JAPANESE.encode("shift_jis")) == JAPANESE
