"""What users send to do harm: it costs an error that names the limit, if anything; the next file is read."""

import asyncio
import io
import re
import struct
import zipfile
import zlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from service.errors import DocumentRefused
from tests.documents import made
from tests.documents.conftest import Files, reading

MIB = 1024 * 1024
LIMITS = {"unpacked": 32 * MIB, "memory": 384 * MIB, "text": 16 * MIB}
"""Less than the shipped ones, so that bombs are made fast; memory is held against what was really taken."""
WHOLE = made.pdf(["The next one is read"])
ENTITIES = (
    '<!DOCTYPE x [<!ENTITY outside SYSTEM "file:///etc/passwd"><!ENTITY a0 "lol">'
    + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(12))
    + "]>"
)
ENCRYPTED = b"/ID[<%b><%b>]/Encrypt<</Filter/Standard/V 1/R 2/Length 40/P -44/O<%b>/U<%b>>>" % (
    b"00" * 16,
    b"00" * 16,
    b"11" * 32,
    b"22" * 32,
)


@pytest.fixture
async def files(tmp_path: Path) -> AsyncGenerator[Files, None]:
    """Afterwards whole files are still read, and no process has taken more memory than it may."""
    async with reading(tmp_path, **LIMITS) as files:
        yield files
        assert await files.text("whole.pdf", WHOLE) == "The next one is read"
        assert files.extractor.processes
        for process in files.extractor.processes:
            assert peak(process) < LIMITS["memory"]


def peak(process: int) -> int:
    """The most memory that it ever held, in bytes."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


async def refused(files: Files, name: str, content: bytes) -> str:
    with pytest.raises(DocumentRefused) as refusal:
        await files.document(name, content)
    assert refusal.value.status == 422
    assert refusal.value.message.startswith(f"The file {name} ")
    return refusal.value.message


def members(size: int, count: int) -> bytes:
    return made.zipped({f"{number}.txt": b"0" * size for number in range(count)})


async def test_a_bomb(files: Files) -> None:
    assert "documents.unpacked" in await refused(files, "a.zip", members(40 * MIB, 1))


async def test_a_bomb_in_parts(tmp_path: Path) -> None:
    async with reading(tmp_path, unpacked=10 * MIB) as files:
        assert "documents.unpacked" in await refused(files, "a.zip", members(MIB, 11))
        assert len(await files.text("a.zip", members(MIB, 10))) == 10 * MIB


async def test_a_bomb_that_needs_memory_to_unpack(files: Files) -> None:
    packed = made.zipped({"a.txt": b"0" * (40 * MIB)}, zipfile.ZIP_LZMA)
    assert "documents.unpacked" in await refused(files, "a.zip", packed)


async def test_bombs_in_bombs(files: Files) -> None:
    bomb = members(MIB, 16)
    for _ in range(3):
        bomb = made.zipped({f"{number}.zip": bomb for number in range(16)})
    assert len(bomb) < 100_000  # of 64 GiB
    assert "documents.text" in await refused(files, "a.zip", bomb)


async def test_bombs_that_are_too_deep(tmp_path: Path) -> None:
    archive = made.zipped({"a.txt": "deep"})
    async with reading(tmp_path, depth=2) as files:
        assert await files.text("a.zip", made.zipped({"a.zip": archive})) == "deep"
        too_deep = made.zipped({"a.zip": made.zipped({"a.zip": archive})})
        assert "documents.depth" in await refused(files, "a.zip", too_deep)
    async with reading(tmp_path, depth=0) as files:
        assert "documents.depth" in await refused(files, "a.zip", archive)


async def test_a_hundred_thousand_members(files: Files) -> None:
    many = made.zipped({f"{number}.txt": "x" for number in range(100_000)}, zipfile.ZIP_STORED)
    assert "documents.members" in await refused(files, "a.zip", many)


async def test_members_add_up(tmp_path: Path) -> None:
    async with reading(tmp_path, members=10) as files:
        nine = {f"{number}.txt": "x" for number in range(9)}
        assert len((await files.document("a.zip", made.zipped({**nine, "a.txt": "x"}))).pages) == 10
        inner = made.zipped({"a.txt": "x", "b.txt": "x"})
        assert "documents.members" in await refused(files, "a.zip", made.zipped({**nine, "a.zip": inner}))


async def test_paths_lead_nowhere_and_links_are_not_followed(files: Files) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = 0o120777 << 16
    names = (
        "../../up.txt",
        "/etc/absolute.txt",
        "C:\\windows.txt",
        "a/./../b.txt",
        "..",
        "new\nline.txt",
        "x" * 900,
    )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        for name in names:
            archive.writestr(name, "text")
    titles = [page.title for page in (await files.document("a.zip", written.getvalue())).pages]
    assert titles == [
        "up.txt",
        "etc/absolute.txt",
        "C:/windows.txt",
        "a/b.txt",
        None,
        "new line.txt",
        "x" * 500,
    ]


async def test_encrypted_members_are_named(files: Files) -> None:
    content = bytearray(made.zipped({"secret.txt": "secret", "open.txt": "open"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    document = await files.document("a.zip", bytes(content))
    assert [page.text for page in document.pages] == ["open"]
    assert document.metadata["unread"] == "secret.txt is encrypted"


async def test_archives_that_are_no_archives(files: Files) -> None:
    whole = made.zipped({"a.txt": "x" * 1000})
    for content in (whole[: len(whole) // 2], b"PK\x03\x04" + bytes(1000), b"PK\x05\x06" + b"\xff" * 18):
        assert "damaged" in await refused(files, "a.zip", content)
    torn = bytearray(made.zipped({"a.txt": "x" * 1000, "b.txt": "whole"}))
    torn[40] ^= 0xFF
    document = await files.document("a.zip", bytes(torn))
    assert [page.text for page in document.pages] == ["whole"]
    assert document.metadata["unread"] == "a.txt is damaged"


async def test_office_files_that_are_bombs(files: Files) -> None:
    paragraphs = made.paragraph("A" * 1000) * 40_000
    assert "documents.unpacked" in await refused(files, "a.docx", made.docx(paragraphs))


def understated(content: bytes, member: bytes) -> bytes:
    """The same archive, of whose member it says that it unpacks to a kilobyte."""
    lying = bytearray(content)
    entry = next(
        match.start()
        for match in re.finditer(b"PK\x01\x02", content)
        if content[match.start() + 46 :].startswith(member)
    )
    struct.pack_into("<I", lying, entry + 24, 1024)
    (local,) = struct.unpack_from("<I", lying, entry + 42)
    struct.pack_into("<I", lying, local + 22, 1024)
    return bytes(lying)


async def test_office_files_that_lie_about_their_size(files: Files) -> None:
    body = made.docx(made.paragraph("A" * 1000) * 40_000)
    assert "damaged" in await refused(files, "a.docx", understated(body, b"word/document.xml"))
    rows = "".join(f'<row r="{row}">{made.cell(f"A{row}", "A" * 1000)}</row>' for row in range(1, 30_000))
    book = made.xlsx({"One": f"<sheetData>{rows}</sheetData>"})
    assert "documents.text" in await refused(files, "a.xlsx", understated(book, b"xl/worksheets/sheet1.xml"))


async def test_external_and_swelling_entities(files: Files) -> None:
    """Nothing is fetched, and nothing swells: neither is expanded, or the document is refused."""
    for entity in ("&outside;", "&a12;"):
        attempts = {
            "a.docx": made.docx(made.paragraph(f"before {entity} after"), before=ENTITIES),
            "a.xml": f"{ENTITIES}<x>{entity}</x>".encode(),
            "a.svg": f"{ENTITIES}<svg><text>{entity}</text></svg>".encode(),
            "a.html": f"{ENTITIES}<p>before {entity} after".encode(),
            "a.odt": made.open_document("text", f"<text:p>before {entity} after</text:p>", ENTITIES),
        }
        for name, content in attempts.items():
            try:
                written = await files.text(name, content)
            except DocumentRefused as refusal:
                written = refusal.message
                assert "damaged" in written
            assert "root:" not in written
            assert written.count("lol") <= 1


async def test_a_workbook_that_declares_a_huge_range(files: Files) -> None:
    one = made.cell("A1", "fact")
    declared = f'<dimension ref="A1:XFD1048576"/><sheetData><row r="1">{one}</row></sheetData>'
    assert await files.text("a.xlsx", made.xlsx({"One": declared})) == "fact\n"


async def test_a_workbook_with_a_cell_in_the_last_corner(files: Files) -> None:
    far = f'<row r="1048576">{made.cell("XFD1048576", "far")}</row>'
    rows = f'<sheetData><row r="1">{made.cell("A1", "fact")}</row>{far}</sheetData>'
    try:
        assert (await files.text("a.xlsx", made.xlsx({"One": rows}))).split() == ["fact", "far"]
    except DocumentRefused as refusal:
        assert "documents.memory" in refusal.message


async def test_tables_in_tables(files: Files) -> None:
    deep = "<w:tbl><w:tr><w:tc>" * 50_000 + made.paragraph("fact") + "</w:tc></w:tr></w:tbl>" * 50_000
    assert "damaged" in await refused(files, "a.docx", made.docx(deep))


@pytest.mark.parametrize("element", ["div", "b", "table", "ul", "blockquote", "x-y", "p", "li"])
async def test_deep_html(files: Files, element: str) -> None:
    try:
        assert "fact" in await files.text("a.html", f"<{element}>".encode() * 100_000 + b"fact")
    except DocumentRefused as refusal:
        assert "documents." in refusal.message


async def test_deep_json_and_xml_are_texts(files: Files) -> None:
    for name, content in (("a.json", b"[" * MIB), ("a.xml", b"<a>" * MIB)):
        assert await files.text(name, content) == content.decode()


async def test_forty_megabytes_of_text(tmp_path: Path) -> None:
    line = "The quick brown fox. Съешь же ещё этих мягких французских булок.\n"
    written = line * (40 * MIB // len(line.encode()))
    async with reading(tmp_path) as files:
        assert await files.text("a.txt", written.encode()) == written
        (process,) = files.extractor.processes
        assert peak(process) < 200 * MIB


async def test_too_much_text(tmp_path: Path) -> None:
    async with reading(tmp_path, text=MIB) as files:
        assert len(await files.text("a.txt", b"x" * MIB)) == MIB
        assert "documents.text" in await refused(files, "a.txt", b"x" * (MIB + 1))


async def test_too_many_pages(tmp_path: Path) -> None:
    async with reading(tmp_path, pages=20) as files:
        assert len((await files.document("a.pdf", made.pdf(["x"] * 20))).pages) == 20
        assert "documents.pages" in await refused(files, "a.pdf", made.pdf(["x"] * 21))


async def test_a_pdf_that_is_its_own_page(files: Files) -> None:
    looped = made.pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Parent 2 0 R/Kids[2 0 R 2 0 R 3 0 R]/Count 3>>",
            made.PAGE % 4,
            made.content(b"BT /F 12 Tf (x) Tj ET"),
        ]
    )
    assert "damaged" in await refused(files, "a.pdf", looped)


async def test_a_pdf_with_more_pages_than_it_has(files: Files) -> None:
    content = made.pdf(["fact"]).replace(b"/Count 1", b"/Count 2000000000")
    assert await files.text("a.pdf", content) == "fact"


async def test_a_pdf_with_a_script(files: Files) -> None:
    script = b"/OpenAction<</S/JavaScript/JS(while\\(1\\){app.alert\\(1\\)})>>"
    assert await files.text("a.pdf", made.pdf(["fact"], catalogue=script)) == "fact"


async def test_an_encrypted_pdf(files: Files) -> None:
    assert "is encrypted" in await refused(files, "a.pdf", made.pdf(["secret"], ENCRYPTED))


async def test_an_encrypted_office_file(files: Files) -> None:
    assert "is encrypted" in await refused(files, "a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2048))


async def test_a_pdf_that_swells(files: Files) -> None:
    bomb = zlib.compress(zlib.compress(b"0" * (512 * MIB), 9), 9)
    drawn = made.content(bomb, b"/Filter[/FlateDecode/FlateDecode]")
    pages = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    content = made.pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", pages, made.PAGE % 4, drawn])
    assert len(content) < 10_000
    assert "documents.memory" in await refused(files, "a.pdf", content)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.95])
async def test_files_that_were_cut_off(files: Files, share: float) -> None:
    whole = {
        "a.pdf": made.pdf(["x" * 60] * 20),
        "a.docx": made.docx("x" * 900),
        "a.epub": made.epub("T", {"A": "b"}),
    }
    for name, content in whole.items():
        cut = content[: int(len(content) * share)]
        assert "damaged" in await refused(files, name, cut.ljust(16, b"\0"))


async def test_a_name_says_nothing_it_should_not(files: Files) -> None:
    with pytest.raises(DocumentRefused) as refusal:
        await files.document("x" * 500 + "\r\n\x1b[31m\u202e.pdf", b"%PDF-1.7 no more")
    assert refusal.value.message.isprintable() and len(refusal.value.message) < 300


async def test_many_bombs_at_once_harm_nobody(files: Files) -> None:
    bomb = members(40 * MIB, 1)

    async def sent(number: int) -> str:
        name, content = (f"{number}.zip", bomb) if number % 2 else (f"{number}.txt", b"words")
        try:
            return await Files(files.extractor, files.folder(str(number))).text(name, content)
        except DocumentRefused as refusal:
            return refusal.message

    answers = await asyncio.gather(*map(sent, range(8)))
    assert answers[::2] == ["words"] * 4
    assert all("documents.unpacked" in answer for answer in answers[1::2])
    assert len(files.extractor.processes) <= 2
