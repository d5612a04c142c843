"""Passages of documents are indexed as these are read, and dropped as they are removed."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TypeVar

from msgspec.structs import asdict

from service.documents.extraction import Document
from service.documents.passages import passages
from service.stores.buckets import Buckets, File
from service.stores.passages import BATCH, Passage, Passages

T = TypeVar("T")


class Indexing:
    """Fills the index, a commit at a time: between two of them everybody else's are written."""

    def __init__(self, buckets: Buckets, store: Passages) -> None:
        self._buckets, self._store = buckets, store

    async def index(self, file: File, document: Document) -> None:
        """Indexes a document anew; done when it can be searched. Raises `Unavailable`."""
        await self._store.drop(file.id)
        for batch in _batches(placed(file, document)):
            await self._store.add(batch)
            await asyncio.sleep(0)
        if not await self._buckets.existing([file.id]):  # it was removed meanwhile
            await self._store.drop(file.id)

    async def drop(self, files: Sequence[File]) -> None:
        """Forgets files that are gone."""
        for file in files:
            if file.is_document:
                await self._store.drop(file.id)

    async def sweep(self) -> None:
        """Drops what a crash has left of files that are gone."""
        async with aclosing(self._store.orphans()) as lost:
            for id in [id async for id in lost]:
                await self._store.drop(id)


def placed(file: File, document: Document) -> Iterator[Passage]:
    """The passages of a file's document, numbered."""
    for position, found in enumerate(passages(document.pages)):
        yield Passage(file=file.id, position=position, **asdict(found))


def _batches(every: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(every)
    while batch := list(islice(rest, BATCH)):
        yield batch
