"""Somebody who reads files in real processes, and documents with planted facts."""

import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from service.documents.extraction import Document, Extractor
from service.documents.kinds import HEAD, kind_of
from service.settings import Documents
from service.sources import load
from service.tasks import Tasks

PRINT = "--headless --no-sandbox --disable-gpu --no-pdf-header-footer"
FOX = "The quick brown fox jumps over the lazy dog. Съешь же ещё этих мягких французских булок. "


class Files:
    """Sends files to an `Extractor`, as a bucket would."""

    def __init__(self, extractor: Extractor, folder: Path) -> None:
        self.extractor, self._folder = extractor, folder

    def folder(self, name: str) -> Path:
        """A new one, for who sends files at the same time."""
        folder = self._folder / name
        folder.mkdir()
        return folder

    async def document(self, name: str, content: bytes) -> Document:
        kind = kind_of(content[:HEAD], name)
        assert kind, name
        path = self._folder / "sent"
        path.write_bytes(content)
        return await self.extractor.text(path, name, kind)

    async def text(self, name: str, content: bytes) -> str:
        return "".join(page.text for page in (await self.document(name, content)).pages)


@asynccontextmanager
async def reading(folder: Path, **limits: Any) -> AsyncGenerator[Files, None]:
    """With other limits than the shipped ones."""
    tasks = Tasks()
    extractor = Extractor(replace(shipped(), **limits), tasks)
    try:
        yield Files(extractor, folder)
    finally:
        await extractor.close()
        await tasks.close()


def shipped() -> Documents:
    return load({}).documents


@pytest.fixture
async def files(tmp_path: Path) -> AsyncGenerator[Files, None]:
    async with reading(tmp_path) as files:
        yield files


def fact(page: int) -> str:
    return f"FACT-{page * 7919 % 100_000:05}"


def russian_fact(page: int) -> str:
    return f"ФАКТ-{page * 104_729 % 100_000:05}"


@pytest.fixture(scope="session")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A PDF of so many pages, as Chromium prints it, each with two facts; made once for all tests."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("needs Debian's chromium: apt-get install chromium")
    folder = tmp_path_factory.mktemp("printed")

    def book(pages: int) -> Path:
        target = folder / f"{pages}.pdf"
        if not target.exists():
            source = folder / f"{pages}.html"
            source.write_text(
                "<meta charset=utf-8><title>Planted</title>" + "".join(map(_page, range(1, pages + 1)))
            )
            command = [program, *PRINT.split(), f"--print-to-pdf={target}", str(source)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
        return target

    return book


def _page(number: int) -> str:
    facts = f"The code of page {number} is {fact(number)}. Код страницы {number}: {russian_fact(number)}."
    return (
        f"<section style='page-break-after: always'><h1>Page {number}</h1><p>{FOX * 20}</p>{facts}</section>"
    )
