"""What kreuzberg reads: PDF, office documents, EPUB, and the bodies of web pages."""

import re
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from service.documents.kinds import KINDS
from service.documents.plain import sections
from service.documents.protocol import Page
from service.documents.reading import Reading, Unreadable

if TYPE_CHECKING:
    from kreuzberg import ExtractionResult

ESCAPED = re.compile(r"\\([!-/:-@\[-`{}~])")


def pdf(data: bytes, reading: Reading) -> Iterator[Page]:
    result = extracted(data, "pdf", reading)
    for page in result.pages or []:
        yield from reading.page(_lines(page["content"]), page["page_number"])


def slides(data: bytes, reading: Reading) -> Iterator[Page]:
    """A page for each slide with its notes; its first line is its title."""
    mark = f"slide{secrets.token_hex(8)}"
    result = extracted(data, "pptx", reading, marker=mark + "n{page_num}n")
    before, *rest = re.split(rf"{mark}n(\d+)n\s*", result.content)
    for number, slide in zip(rest[::2], rest[1::2], strict=True):
        first = slide.partition("\n")[0]
        yield from reading.page(slide, int(number), first)
    if before.strip():
        yield from reading.page(before)


def sheets(extension: str) -> Callable[[bytes, Reading], Iterator[Page]]:
    """A page for each sheet: a line for each row, its cells told apart by tabs."""

    def read(data: bytes, reading: Reading) -> Iterator[Page]:
        result = extracted(data, extension, reading)
        names = result.metadata.get("sheet_names") or []
        for table in result.tables:
            number = table.page_number
            title = names[number - 1] if 0 < number <= len(names) else None
            yield from reading.page(_rows(table.cells), number, title)

    return read


def written(extension: str) -> Callable[[bytes, Reading], Iterator[Page]]:
    """Sections of a text with headings."""

    def read(data: bytes, reading: Reading) -> Iterator[Page]:
        result = extracted(data, extension, reading, output_format="markdown")
        return sections(unescaped(result.content), reading)

    return read


def unescaped(markdown: str) -> str:
    """What is written, for it shall be found: `a*b` and not `a\\*b`. Bars in tables stay as they are."""
    return ESCAPED.sub(r"\1", markdown.replace("&#9;", "\t"))


def extracted(
    data: bytes, extension: str, reading: Reading, output_format: str = "plain", marker: str | None = None
) -> "ExtractionResult":
    """Raises `Unreadable`; what kreuzberg does worse than that ends the process."""
    import kreuzberg  # it takes its time

    pages = kreuzberg.PageConfig(
        extract_pages=marker is None, insert_page_markers=marker is not None, marker_format=marker
    )
    options: dict[str, Any] = {
        "use_cache": False,
        "disable_ocr": True,
        "enable_quality_processing": False,
        "concurrency": kreuzberg.ConcurrencyConfig(max_threads=1),
        "output_format": output_format,
        "pages": pages,
        "content_filter": kreuzberg.ContentFilterConfig(
            include_headers=True, include_footers=True, strip_repeating_text=False
        ),
    }
    config = kreuzberg.ExtractionConfig(**options)
    config.max_archive_depth = 0
    try:
        result = kreuzberg.extract_bytes_sync(data, KINDS[extension].media_type, config=config)
    except kreuzberg.KreuzbergError as error:
        raise Unreadable(_flaw(str(error))) from None
    reading.tell(**_about(result.metadata))
    return result


def _flaw(message: str) -> str:
    if re.search("password|encrypt", message, re.IGNORECASE):
        return "is encrypted: send it without a password"
    if "Security limit" in message:
        return "unpacks to far more than it is: send it in parts"
    return "is damaged, or not what its name says"


def _about(metadata: Any) -> dict[str, object]:
    """What a document says of itself, by the same few names for all formats."""
    return {
        "title": metadata.get("title"),
        "author": ", ".join(metadata.get("authors") or []),
        "language": metadata.get("language"),
        "created": metadata.get("created_at"),
    }


def _rows(cells: list[list[str]]) -> str:
    """Line breaks in cells become blanks; empty cells at the end of a row are left out, and empty rows."""
    rows = ("\t".join(" ".join(cell.split()) for cell in row).rstrip("\t") for row in cells)
    return "".join(f"{row}\n" for row in rows if row)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
