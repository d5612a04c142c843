"""Files as users send them, made by hand: as small as their formats allow."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate

PACKAGE = "http://schemas.openxmlformats.org/package/2006/"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "application/vnd.openxmlformats-officedocument.{}.main+xml"
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
SHEET = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{OFFICE}"'
SLIDE = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    f' xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:r="{OFFICE}"'
)
OPEN = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table")
)
Files = Mapping[str, str | bytes]


def zipped(files: Files, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these, in their order."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, content in files.items():
            # OpenDocument and EPUB want theirs to be read without unpacking.
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else None)
    return written.getvalue()


def _related(*targets: tuple[str, str]) -> str:
    links = "".join(
        f'<Relationship Id="r{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{PACKAGE}relationships">{links}</Relationships>'


def _package(part: str, kind: str, files: Files) -> bytes:
    types = (
        f'<Types xmlns="{PACKAGE}content-types"><Default Extension="xml" ContentType="application/xml"/>'
        f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/{part}" ContentType="{MAIN.format(kind)}"/></Types>'
    )
    return zipped({"[Content_Types].xml": types, "_rels/.rels": _related(("officeDocument", part)), **files})


def paragraph(text: str, style: str = "") -> str:
    """Of a Word document."""
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{named}<w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


STYLES = (
    f'<w:styles {WORD}><w:style w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="21"><w:name w:val="Heading 2"/></w:style></w:styles>'
)


def docx(body: str, before: str = "", title: str = "", parts: Files | None = None) -> bytes:
    """`before` stands before the root, where a document type may; `parts` are in the folder "word"."""
    text = f"{before}<w:document {WORD}><w:body>{body}</w:body></w:document>"
    about = (
        f'<cp:coreProperties xmlns:cp="{PACKAGE}metadata/core-properties"'
        f' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></cp:coreProperties>'
    )
    files: dict[str, str | bytes] = {"word/document.xml": text, "word/styles.xml": STYLES}
    files |= {f"word/{name}": part for name, part in (parts or {}).items()}
    files |= {"docProps/core.xml": about} if title else {}
    return _package("word/document.xml", "wordprocessingml.document", files)


def cell(place: str, value: str | float) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'


def xlsx(sheets: Mapping[str, str]) -> bytes:
    """By their names the rows of each, as XML."""
    numbered = list(enumerate(sheets.items(), 1))
    names = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>' for number, (name, _) in numbered
    )
    files = {
        "xl/workbook.xml": f"<workbook {SHEET}><sheets>{names}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _related(
            *(("worksheet", f"worksheets/sheet{number}.xml") for number, _ in numbered)
        ),
    }
    for number, (_, rows) in numbered:
        files[f"xl/worksheets/sheet{number}.xml"] = f"<worksheet {SHEET}>{rows}</worksheet>"
    return _package("xl/workbook.xml", "spreadsheetml.sheet", files)


def _slide(texts: Sequence[str], root: str = "sld") -> str:
    shapes = "".join(
        f"<p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>" for text in texts
    )
    return f"<p:{root} {SLIDE}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:{root}>"


def pptx(slides: Sequence[Sequence[str]], note: str = "") -> bytes:
    """The texts on each slide; `note` is the first one's."""
    ids = "".join(f'<p:sldId id="{255 + n}" r:id="r{n}"/>' for n in range(1, len(slides) + 1))
    files = {
        "ppt/presentation.xml": f"<p:presentation {SLIDE}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _related(
            *(("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1))
        ),
        "ppt/slides/_rels/slide1.xml.rels": _related(("notesSlide", "../notesSlides/notesSlide1.xml")),
        "ppt/notesSlides/notesSlide1.xml": _slide([note], "notes"),
    }
    for number, texts in enumerate(slides, 1):
        files[f"ppt/slides/slide{number}.xml"] = _slide(texts)
    return _package("ppt/presentation.xml", "presentationml.presentation", files)


def open_document(kind: str, body: str, before: str = "") -> bytes:
    """`kind` is "text" or "spreadsheet"; `before` stands before the root."""
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"{before}<office:document-content {OPEN}><office:body><office:{kind}>{body}"
            f"</office:{kind}></office:body></office:document-content>",
            "META-INF/manifest.xml": "<manifest/>",
        }
    )


def epub(title: str, chapters: Mapping[str, str]) -> bytes:
    """By their headings the text of each."""
    names = [f"c{number}.xhtml" for number in range(len(chapters))]
    items = "".join(f'<item id="{n}" href="{n}" media-type="application/xhtml+xml"/>' for n in names)
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    files: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container version="1.0"'
        ' xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="b.opf"'
        ' media-type="application/oebps-package+xml"/></rootfiles></container>',
        "b.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i"><metadata'
        f' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title><dc:identifier id="i">x'
        f"</dc:identifier></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for name, (heading, text) in zip(names, chapters.items(), strict=True):
        files[name] = (
            f'<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>{heading}</h1><p>{text}</p></body></html>'
        )
    return zipped(files)


PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents %d 0 R/Resources<</Font<</F<</Type/Font"
PAGE += b"/Subtype/Type1/BaseFont/Helvetica>>>>>>>>"


def pdf_of(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A file of these objects, numbered from 1, which is the catalogue."""
    written = [b"%PDF-1.7\n"]
    written += (b"%d 0 obj\n%b\nendobj\n" % (number, content) for number, content in enumerate(objects, 1))
    places = list(accumulate(map(len, written)))
    table = b"".join(b"%010d 00000 n \n" % place for place in places[:-1])
    size = len(objects) + 1
    written.append(b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table))
    written.append(b"trailer\n<</Size %d/Root 1 0 R%b>>\n" % (size, trailer))
    return b"".join(written) + b"startxref\n%d\n%%%%EOF\n" % places[-1]


def content(drawn: bytes, filters: bytes = b"") -> bytes:
    return b"<</Length %d%b>>stream\n%b\nendstream" % (len(drawn), filters, drawn)


def pdf(pages: Sequence[str], trailer: bytes = b"", catalogue: bytes = b"") -> bytes:
    """A line of Latin letters on each page."""
    kids = b" ".join(b"%d 0 R" % (3 + 2 * number) for number in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R%b>>" % catalogue,
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages)),
    ]
    for number, text in enumerate(pages):
        line = b"BT /F 12 Tf 20 200 Td (%b) Tj ET" % text.encode("latin-1")
        objects += [PAGE % (4 + 2 * number), content(line)]
    return pdf_of(objects, trailer)


def png(width: int, height: int, rows: bytes) -> bytes:
    """RGBA of eight bits; `rows` are compressed, and as many as there are."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def gif(frames: int) -> bytes:
    """One red pixel, so many times."""
    frame = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\xff\0\0\0\0\0" + frame * frames + b";"
