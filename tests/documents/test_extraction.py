"""Documents to text, in real processes: what was written is found, where it stood, and nothing else."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from service.documents.extraction import Document
from service.documents.protocol import PIECE
from tests.documents import made
from tests.documents.conftest import Files, fact, reading, russian_fact

EVERYWHERE = "Plain, по-русски, 日本語で, हिन्दी"
LETTER = """From: Ann <ann@a.example>
To: Bo <bo@b.example>
Subject: =?utf-8?b?0J/RgNC40LLQtdGC?=
Date: Mon, 1 Jan 2024 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: text/plain; charset=koi8-r
Content-Transfer-Encoding: base64

8NLJ18XULCDzxczFzsE=
--outer
Content-Type: text/csv; name="sums.csv"
Content-Disposition: attachment; filename="../sums.csv"

tea,12
--outer
Content-Type: message/rfc822

Subject: Before
Content-Type: text/html; charset=utf-8

<p>What <b>was</b> asked</p>
--outer--
"""


def pages(document: Document) -> list[tuple[int | None, str | None, str]]:
    return [(page.number, page.title, page.text) for page in document.pages]


@pytest.mark.slow
async def test_a_printed_book(files: Files, printed: Callable[[int], Path]) -> None:
    document = await files.document("book.pdf", printed(300).read_bytes())
    assert [page.number for page in document.pages] == list(range(1, 301))
    assert document.metadata["title"] == "Planted"
    for page in document.pages:
        assert page.number
        assert fact(page.number) in page.text and russian_fact(page.number) in page.text
        assert page.text.startswith(f"Page {page.number}\n")


async def test_a_pdf_page_by_page(files: Files) -> None:
    document = await files.document("a.pdf", made.pdf(["First fact", "", "Third fact"]))
    assert pages(document) == [(1, None, "First fact"), (2, None, ""), (3, None, "Third fact")]
    assert document.media_type == "application/pdf"


async def test_a_word_document_in_sections(files: Files) -> None:
    row = f"<w:tr><w:tc>{made.paragraph('green|tea')}</w:tc><w:tc>{made.paragraph('12')}</w:tc></w:tr>"
    body = (
        made.paragraph("Before it begins")
        + made.paragraph("Prices", "Heading1")
        + made.paragraph(EVERYWHERE + " a*b R&amp;D &lt;tag&gt; \\d")
        + f"<w:tbl>{row * 2}</w:tbl>"
        + made.paragraph("Ends", "21")
        + "<w:p><w:r><w:t>Name:</w:t><w:tab/><w:t>Ann</w:t></w:r></w:p>"
    )
    document = await files.document("a.docx", made.docx(body, title="R&amp;D"))
    assert document.metadata["title"] == "R&D"
    assert pages(document) == [
        (None, None, "Before it begins\n\n"),
        (
            None,
            "Prices",
            f"# Prices\n\n{EVERYWHERE} a*b R&D <tag> \\d\n\n"
            "| green\\|tea | 12 |\n| --- | --- |\n| green\\|tea | 12 |\n\n",
        ),
        (None, "Ends", "## Ends\n\nName:\tAnn\n"),
    ]


async def test_what_stands_beside_a_word_documents_text(files: Files) -> None:
    box = f"<w:txbxContent>{made.paragraph('In the box')}</w:txbxContent>"
    again = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )
    deleted = "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
    note = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    body = f"<w:p><w:r><w:t>Before</w:t>{again}<w:t> and after</w:t></w:r>{note}{deleted}</w:p>"
    inner = f"<w:tbl><w:tr><w:tc>{made.paragraph('inner')}</w:tc></w:tr></w:tbl>"
    body += f"<w:sdt><w:sdtContent><w:tbl><w:tr><w:tc>{inner}</w:tc></w:tr></w:tbl></w:sdtContent></w:sdt>"
    separator = f'<w:footnote w:type="separator" w:id="0">{made.paragraph("no note")}</w:footnote>'
    notes = f'{separator}<w:footnote w:id="2">{made.paragraph("A note")}</w:footnote>'
    parts = {
        "footnotes.xml": f"<w:footnotes {made.WORD}>{notes}</w:footnotes>",
        "header1.xml": f"<w:hdr {made.WORD}>{made.paragraph('Above')}</w:hdr>",
        "header2.xml": f"<w:hdr {made.WORD}>{made.paragraph('Above')}</w:hdr>",
    }
    written = await files.text("a.docx", made.docx(body, parts=parts))
    assert written.strip().split("\n\n") == [
        "Before and after[^2]",
        "In the box",
        "| inner |\n| --- |",
        "[^2]: A note",
        "Above",
    ]


async def test_a_word_document_of_the_strict_kind(files: Files) -> None:
    content = made.docx(made.paragraph("Strictly"))
    strict = made.WORD.replace("http://schemas.openxmlformats.org", "http://purl.oclc.org/ooxml").replace(
        "/2006", ""
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {
            name: archive.read(name).replace(made.WORD.encode(), strict.encode())
            for name in archive.namelist()
        }
    assert await files.text("a.docx", made.zipped(parts)) == "Strictly\n"


async def test_a_workbook_keeps_its_columns(files: Files) -> None:
    rows = (
        f'<row r="1">{made.cell("A1", "Green tea | box")}{made.cell("B1", 12.5)}{made.cell("D1", 7)}</row>'
        f'<row r="3">{made.cell("B3", "два&#10;слова")}</row>'
    )
    workbook = made.xlsx({"Empty": "<sheetData/>", "Цены": f"<sheetData>{rows}</sheetData>"})
    document = await files.document("a.xlsx", workbook)
    assert pages(document) == [(2, "Цены", "Green tea | box\t12.5\t\t7\n\tдва слова\n")]


async def test_slides_with_their_notes(files: Files) -> None:
    document = await files.document(
        "a.pptx", made.pptx([["First", EVERYWHERE], ["Second", "x"]], "Say it slowly")
    )
    (first, second) = document.pages
    assert (first.number, first.title, second.number, second.title) == (1, "First", 2, "Second")
    assert EVERYWHERE in first.text and "Say it slowly" in first.text and "Second" not in first.text


async def test_open_documents(files: Files) -> None:
    text = "<text:h text:outline-level='1'>Head</text:h><text:p>" + EVERYWHERE + "</text:p>"
    assert pages(await files.document("a.odt", made.open_document("text", text))) == [
        (None, "Head", f"# Head\n\n{EVERYWHERE}\n")
    ]
    row = (
        "<table:table-row>"
        + "<table:table-cell office:value-type='string'><text:p>{}</text:p></table:table-cell>" * 2
    )
    sheet = f"<table:table table:name='One'>{row.format('a b', 'c')}</table:table-row></table:table>"
    document = await files.document("a.ods", made.open_document("spreadsheet", sheet))
    assert pages(document) == [(1, "One", "a b\tc\n")]


async def test_a_book_in_chapters(files: Files) -> None:
    document = await files.document("a.epub", made.epub("Book", {"One": EVERYWHERE, "Two": "Second text"}))
    assert [page.title for page in document.pages] == ["One", "Two"]
    assert EVERYWHERE in document.pages[0].text and "Second text" in document.pages[1].text
    assert document.metadata["title"] == "Book"


async def test_a_web_page_is_what_a_reader_sees(files: Files) -> None:
    source = f"""<!doctype html><html><head><title>A &amp; B</title><style>p {{ color: red }}</style></head>
        <body><h1>Head</h1><p>{EVERYWHERE} <b>bold</b></p><script>alert("never")</script>
        <img alt="a fox" src="data:image/png;base64,{"A" * 1000}">
        <table><tr><td>tea</td><td>12</td></tr></table><h2>Sub</h2><p>5 * 3 &lt; 16</p></body></html>"""
    document = await files.document("a.html", source.encode())
    assert document.metadata["title"] == "A & B"
    assert [page.title for page in document.pages] == ["Head", "Sub"]
    written = "".join(page.text for page in document.pages)
    assert (
        EVERYWHERE in written and "| tea | 12 |" in written and "a fox" in written and "5 * 3 < 16" in written
    )
    for unseen in ("never", "color", "AAAA", "A & B"):
        assert unseen not in written


async def test_a_web_page_of_another_encoding(files: Files) -> None:
    source = '<html><head><meta charset="windows-1251"></head><body><p>Привет</p></body></html>'
    assert (await files.text("a.html", source.encode("cp1251"))).strip() == "Привет"


async def test_no_depth_hides_a_text(files: Files) -> None:
    """Kreuzberg leaves out, without a word, what lies deeper than 63 elements."""
    for depth in (5, 62, 64, 5000):
        source = "<p>top</p>" + "<div>" * depth + "the fact" + "</div>" * depth + "<p>end</p>"
        assert (await files.text("a.html", source.encode())).split() == ["top", "the", "fact", "end"]


async def test_elements_that_nobody_ended(files: Files) -> None:
    """Kreuzberg keeps the first cell of such a row, and the first 63 of such paragraphs."""
    source = "".join(f"<p>paragraph {number}" for number in range(200))
    source += "<table><tr><td>one<td>two<tr><td>three</table><div>a</div><div>b</div>"
    written = await files.text("a.html", source.encode())
    assert [f"paragraph {number}" in written for number in range(200)] == [True] * 200
    assert re.search(r"\| one +\| two +\|\n.*\n\| three +\|", written) and "a\n\nb" in written


async def test_an_email_with_what_is_attached(files: Files) -> None:
    document = await files.document("a.eml", LETTER.encode())
    assert document.metadata["title"] == "Привет"
    assert [page.title for page in document.pages] == ["Привет", "sums.csv", "attachment.eml: Before"]
    letter, sums, before = (page.text for page in document.pages)
    assert "From: Ann <ann@a.example>\n" in letter and letter.endswith("\n\nПривет, Селена")
    assert sums.strip() == "tea,12"
    assert "What **was** asked" in before


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.py", "a.xml", "a.txt", "a.log", "a.rs", "Makefile"])
async def test_texts_stay_as_they_are(files: Files, name: str) -> None:
    written = f'\tx = "{EVERYWHERE}"  # 1\r\n\r\n\r\n<a b="c">;,\n  end \n\n'
    assert pages(await files.document(name, written.encode())) == [(None, None, written)]


async def test_markdown_in_sections_that_add_up(files: Files) -> None:
    written = "Intro\n\n# One\ntext\n```sh\n# no heading\n```\n## Two ##\nmore\n#### small\n# \n# Three"
    document = await files.document("a.md", written.encode())
    assert [page.title for page in document.pages] == [None, "One", "Two", "Three"]
    assert "".join(page.text for page in document.pages) == written


async def test_more_sections_than_pages_are_one(tmp_path: Path) -> None:
    async with reading(tmp_path, pages=10) as files:
        assert len((await files.document("a.md", b"# x\n" * 10)).pages) == 10
        assert pages(await files.document("a.md", b"# x\n" * 11)) == [(None, None, "# x\n" * 11)]


async def test_a_long_text_comes_in_pieces_that_add_up(files: Files) -> None:
    written = "Слово " * PIECE
    document = await files.document("a.txt", written.encode())
    assert "".join(page.text for page in document.pages) == written
    assert {(page.number, page.title) for page in document.pages} == {(None, None)}
    assert max(len(page.text) for page in document.pages) <= PIECE < len(written)


async def test_an_archive_and_what_is_in_it(files: Files) -> None:
    inner = made.zipped({"deep/table.csv": "a,b"})
    content = made.zipped(
        {
            "in/readme.md": "# Read\nme",
            "in/a.docx": made.docx(made.paragraph("Word")),
            "in/inner.zip": inner,
            "picture.png": made.png(1, 1, b"\0\0\0\0\0"),
            "broken.pdf": b"%PDF-1.7 no more",
            "empty.txt": "",
        }
    )
    document = await files.document("a.zip", content)
    assert pages(document) == [
        (None, "in/readme.md: Read", "# Read\nme"),
        (None, "in/a.docx", "Word\n"),
        (None, "in/inner.zip/deep/table.csv", "a,b"),
        (None, "empty.txt", ""),
    ]
    unread = document.metadata["unread"].split("; ")
    assert unread[0] == "picture.png is not a document"
    assert unread[1].startswith("broken.pdf is damaged")


async def test_content_goes_before_a_name(files: Files) -> None:
    document = await files.document("a.txt", made.docx(made.paragraph("Word")))
    assert document.media_type.endswith("wordprocessingml.document")
    assert document.pages[0].text == "Word\n"
    assert await files.text("a.pdf", b"only words") == "only words"


async def test_what_has_no_text_has_one_empty_page(files: Files) -> None:
    for name, content in (("a.txt", b""), ("a.md", b""), ("a.html", b""), ("a.docx", made.docx(""))):
        assert [page.text.strip() for page in (await files.document(name, content)).pages] == [""], name


async def test_nothing_that_a_database_does_not_take(files: Files) -> None:
    written = "a\0b \ud800 c".encode("utf-16-le", "surrogatepass")
    assert await files.text("a.txt", b"\xff\xfe" + written) == "ab \ufffd c"
